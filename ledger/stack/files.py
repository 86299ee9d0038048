"""The paths of an embedded stack, and writing files so that a crash leaves all or nothing."""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import StackError
from ledger.settings import STACK_FILE

# The suffix of files and directories that are not whole yet.
PARTIAL = ".part"
PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
OTHERS_BITS = 0o077
"""The permission bits of everybody but the owner."""
# What an interrupted `up` may leave before it writes the identity, or a new file system contains.
_AT_FIRST = {".lock", "log", "secrets", "clients", "workers", STACK_FILE, "lost+found"}


@dataclass(frozen=True)
class Layout:
    """The paths inside one data directory; `root` is absolute."""

    root: Path

    @property
    def stack_file(self) -> Path:
        """Addresses and process records, the file that `ledger.settings.load` reads."""
        return self.root / STACK_FILE

    @property
    def identity_file(self) -> Path:
        """Ports, passwords and the Kafka cluster's id: what must survive `down`."""
        return self.root / "identity.json"

    @property
    def remembered_file(self) -> Path:
        """How many workers and API processes `up` starts, and the ports of these."""
        return self.root / "remembered.json"

    @property
    def lock_file(self) -> Path:
        """Held by `up` and `down` for as long as they work."""
        return self.root / ".lock"

    @property
    def postgres(self) -> Path:
        """PGDATA."""
        return self.root / "postgres"

    def database(self, name: str) -> Path:
        """PGDATA of one of several."""
        return self.root / name

    def broker(self, name: str) -> Path:
        """One broker's configuration, and its log directory in `data`."""
        return self.root / name

    @property
    def secrets(self) -> Path:
        """The directory of certificates, keys and passwords, a file each."""
        return self.root / "secrets"

    def password_file(self, user: str) -> Path:
        """The password of a user of Kafka and the registry."""
        return self.secrets / f"{user}.password"

    def passfile(self, role: str) -> Path:
        """The password of a role of the database, as PostgreSQL's clients read it."""
        return self.secrets / f"{role}.pgpass"

    def certificate(self, part: str) -> Path:
        """A part's key and certificate, PEM, in one file."""
        return self.secrets / f"{part}.pem"

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that signed the others."""
        return self.secrets / "ca.pem"

    def client_file(self, role: str) -> Path:
        """The settings of a client in that role; FAUST_LEDGER_CONFIG names such a file."""
        return self.root / "clients" / f"{role}.toml"

    def log(self, part: str) -> Path:
        """Everything a part prints."""
        return self.root / "log" / f"{part}.log"

    def worker(self, name: str) -> Path:
        """The directory of a worker's tables and of the address where it answers."""
        return self.root / "workers" / name

    def api(self, name: str) -> Path:
        """An API process's own directory."""
        return self.root / "api" / name

    @property
    def api_key(self) -> Path:
        """The key that signs the API's position tokens and cursors."""
        return self.root / "api.key"


def layout(data_dir: Path) -> Layout:
    """The layout of `data_dir`, absolute and without links, so that two names make one stack."""
    return Layout(data_dir.expanduser().resolve())


def create_directories(place: Layout) -> None:
    """Create the directories, for their owner alone.

    `StackError` names the one that could not be created and why, or says that the data directory
    holds other things, which may not be meant to be closed to others.
    """
    require_own(place)
    try:
        place.root.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
        require_ours(place)
        place.root.chmod(PRIVATE_DIR)
        for path in (place.log("x").parent, place.secrets, place.client_file("x").parent):
            path.mkdir(exist_ok=True, mode=PRIVATE_DIR)
        place.lock_file.touch(mode=PRIVATE_FILE)
        close_to_others(place.root)
    except OSError as error:
        raise StackError(
            f"The data directory {place.root} cannot be used: {error.strerror} "
            f"({error.filename}). Choose another with --data-dir."
        ) from error


def require_ours(place: Layout) -> None:
    """`StackError` when others can read the data directory and it is not one of ours."""
    root = place.root.stat()
    if not root.st_mode & OTHERS_BITS:
        return
    foreign = [] if place.identity_file.exists() else foreign_files(place.root)
    if root.st_uid != os.geteuid() or foreign:
        held = f"has other things in it ({foreign[0]})" if foreign else "belongs to another user"
        raise StackError(
            f"The data directory {place.root} {held} and is open to others, and a stack's must be "
            "closed to them. Nothing was changed. Choose a directory of its own with --data-dir, "
            "or close this one first (chown, chmod 700)."
        )


def foreign_files(root: Path) -> list[str]:
    """The names in a directory that are not those of a stack whose first `up` was interrupted."""
    names = (each.name for each in root.iterdir())
    return sorted(each for each in names if each not in _AT_FIRST and not each.endswith(PARTIAL))


def close_to_others(root: Path) -> None:
    """Remove all rights but the owner's from our files below `root`.

    Earlier versions left them to the umask.
    """
    for folder, _, names in os.walk(root):
        for name in ("", *names):
            path = Path(folder, name)
            try:
                found = path.lstat()
                if (
                    found.st_uid == os.geteuid()
                    and found.st_mode & OTHERS_BITS
                    and not path.is_symlink()
                ):
                    path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS_BITS)
            except FileNotFoundError:
                # A process of the stack has removed it meanwhile.
                continue


def private_opener(path: str, flags: int) -> int:
    """An opener for `open` that creates files for their owner alone."""
    return os.open(path, flags, PRIVATE_FILE)


def require_own(place: Layout) -> None:
    """`StackError` when the stack in this directory belongs to another user."""
    try:
        other = place.identity_file.exists() and not owned(place.identity_file)
    except PermissionError:
        other = True
    if other:
        raise StackError(
            f"The stack in {place.root} belongs to another user. Run this as that user, or "
            "choose another --data-dir."
        )


def owned(path: Path) -> bool:
    """Whether the path belongs to the user that runs this."""
    return path.stat().st_uid == os.geteuid()


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text`, mode 0600; a reader sees the old file or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    # Not open() and chmod: between the two, others could read a password.
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def partial_directory(parent: Path) -> Iterator[Path]:
    """A new directory in `parent`, removed afterwards unless it was moved to its place.

    Its name is new every time: a process of an interrupted `up` may still write to an old one.
    """
    for left in parent.glob(f".*{PARTIAL}"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
    path = parent / f".{os.getpid()}.{time.time_ns()}{PARTIAL}"
    path.mkdir(mode=PRIVATE_DIR)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented as a quotation; a sentence where there are none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "  (it has no log)"
    last = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"  | {line[:300]}" for line in last) or "  (its log is empty)"

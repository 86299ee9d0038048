"""A folder to hand over: what a role needs to connect to this stack, and nothing of another's."""

from pathlib import Path

from ledger.errors import StackError
from ledger.settings_sources import DEFAULT_FILE
from ledger.stack import credentials
from ledger.stack.credentials import DATABASE_SETTINGS, SecretFiles
from ledger.stack.files import PRIVATE_DIR, Layout, write_private
from ledger.stack.identity import USERS, Identity

KEY_FILE = "api.key"
ROLES = tuple(user for user in USERS if user != "broker")
HERE = SecretFiles("ca.pem", "password", lambda role: "pgpass")
"""The files beside the settings, so that the folder may lie anywhere."""


def export(place: Layout, me: Identity, role: str, folder: Path) -> list[Path]:
    """Write the settings, passwords and certificates of `role` to `folder`; the files' paths.

    `StackError` unless the folder is new or empty: nothing is written over or mixed up.
    """
    require_empty(folder)
    if role not in me.passwords:
        raise StackError(
            f"This stack was made before there was a role {role}. `faust-ledger up` adds it."
        )
    contents = {DEFAULT_FILE: header(role) + settings_text(place, me, role)}
    if me.secure:
        contents |= {
            HERE.password: me.passwords[role] + "\n",
            HERE.ca: place.ca_file.read_text(),
        }
    if database_roles := sorted(set(DATABASE_SETTINGS.get(role, {}).values())):
        lines = (credentials.pgpass_line(me, each) for each in database_roles)
        contents[HERE.passfile("")] = "".join(lines)
    if role == credentials.API and place.api_key.exists():
        # Processes elsewhere give out and take the same tokens.
        contents[KEY_FILE] = place.api_key.read_text()
        contents[DEFAULT_FILE] += credentials.as_toml({"api_key_file": KEY_FILE})
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
        folder.chmod(PRIVATE_DIR)
        for name, text in contents.items():
            write_private(folder / name, text)
    except OSError as error:
        raise StackError(
            f"The folder {folder} cannot be written: {error.strerror}. Choose another with --to."
        ) from error
    return [folder / name for name in contents]


def require_empty(folder: Path) -> None:
    """`StackError` for a folder that has something in it, and for a file."""
    if folder.is_dir():
        held = sorted(each.name for each in folder.iterdir())
        if not held:
            return
        what = f"has other things in it ({held[0]})"
    elif folder.exists():
        what = "is a file"
    else:
        return
    raise StackError(f"{folder} {what}. Nothing was written: choose a new folder with --to.")


def header(role: str) -> str:
    """How the file is used, as a comment."""
    return (
        f"# What {role} needs to connect, written by `faust-ledger clients export`.\n"
        f"# Use it with FAUST_LEDGER_CONFIG=<this folder>/{DEFAULT_FILE}, or in this folder.\n"
        "# Paths are relative to this file.\n"
    )


def settings_text(place: Layout, me: Identity, role: str) -> str:
    """The settings, with the paths of HERE."""
    return credentials.as_toml(credentials.connection_settings(place, me, role, HERE))

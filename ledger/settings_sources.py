"""The sources of settings, and the reasons for refusing one. No setting is silently ignored."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ledger.errors import SettingsError
from ledger.unfit import why_unfit

if TYPE_CHECKING:
    from pydantic import ValidationError

PREFIX = "FAUST_LEDGER_"
CONFIG = f"{PREFIX}CONFIG"
DEFAULT_FILE = "faust-ledger.toml"
OTHERS = ("CONFIG", "CACHE_DIR", "DEBUG", "WORKER_PYTHONPATH")
"""Variables with the prefix that are not settings."""
OF_TESTS = ("ALTERATIONS", "CENTRES_", "FAULT_", "FAULTS_", "FUZZ_", "HISTORY_SEEDS", "HOSTILE_",
            "ORACLE_DSN", "SEEDS", "SHARED", "SOAK_", "TEST_")  # fmt: skip
"""Prefixes of the variables of the project's tests, which commands inherit from them."""
_KUBERNETES = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(?:TCP|UDP|SCTP)\w*)|(?:\w+_)?PORT(?=\n\w+://)"
)
"""Variables that Kubernetes sets for a Service named faust-ledger or faust-ledger-…, with the value
where the name alone is ambiguous."""
MAX_SHOWN = 40
PATHS = ("passfile", "sslcert", "sslcrl", "sslcrldir", "sslkey", "sslrootcert")
"""Parameters of a database's address that are paths; sslrootcert may also be the word system."""


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def variables() -> dict[str, tuple[str, str]]:
    """The variables with our prefix in any case, by the rest of the name: (name, value)."""
    return {
        name.upper().removeprefix(PREFIX): (name, value)
        for name, value in os.environ.items()
        if name.upper().startswith(PREFIX)
    }


def check_environment(known: Collection[str]) -> None:
    """Raises SettingsError for an unknown or empty variable with our prefix."""
    for name, (spelt, value) in variables().items():
        if name.lower() in known or spelt in map(PREFIX.__add__, OTHERS):
            if not value:
                raise SettingsError(
                    f"The environment variable {spelt} is set, but empty. Give it a value, or "
                    f"unset it: unset {spelt}"
                )
        elif not name.startswith(OF_TESTS) and not _KUBERNETES.match(f"{name}\n{value}"):
            choice = [variable_of(each) for each in known] + [PREFIX + each for each in OTHERS]
            raise SettingsError(
                f"The environment variable {spelt} is no setting.{nearest(PREFIX + name, choice)} "
                "`faust-ledger settings` lists them all; unset what is not meant for the ledger."
            )


def nearest(name: str, known: Collection[str]) -> str:
    """A question that names the most similar known name; "" if none is similar."""
    import difflib

    spelt = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), spelt, n=1)
    return f" Did you mean {spelt[found[0]]}?" if found else ""


def config_file() -> Path | None:
    """The file that FAUST_LEDGER_CONFIG names, else that of the working directory, if any."""
    given = os.environ.get(CONFIG)
    if given is not None:
        return Path(given)
    default = Path(DEFAULT_FILE)
    # A broken link counts too: it is an error to report.
    return default if os.path.lexists(default) else None


def in_file(known: Collection[str]) -> dict[str, Any]:
    """The settings in the file, with its paths relative to it.

    Raises SettingsError for an unknown name or an unreadable file.
    """
    file = config_file()
    if file is None:
        return {}
    found = _read(file)
    for name, value in found.items():
        if name not in known:
            table = " Settings are not in tables." if isinstance(value, dict) else ""
            raise SettingsError(
                f"{file} has {name!r}, which is no setting.{table}{nearest(name, known)} "
                "`faust-ledger settings` lists them all."
            )
    folder = file.absolute().parent
    return {name: _beside(name, value, folder) for name, value in found.items()}


def _beside(name: str, value: Any, folder: Path) -> Any:
    """A setting's value, whose path, if it has one, is relative to `folder`."""
    if not isinstance(value, str) or not value:
        return value
    if name == "data_dir" or name.endswith("_file"):
        return str(folder / value)
    address, mark, query = value.partition("?")
    if mark and name.endswith("_url"):
        return f"{address}?{'&'.join(_parameter_beside(each, folder) for each in query.split('&'))}"
    return value


def _parameter_beside(pair: str, folder: Path) -> str:
    name, _, value = pair.partition("=")
    path = unquote(value)
    if name not in PATHS or not path or path == "system":
        return pair
    return f"{name}={quote(str(folder / path), safe='')}"


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    named = f"{file}, which {CONFIG} names," if CONFIG in os.environ else str(file)
    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"The settings in {named} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"The settings in {named} cannot be read: the file is not UTF-8 text (byte "
            f"{error.start}). Save it as UTF-8."
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"The settings in {named} are not TOML: {error}.") from None


def explained(error: "ValidationError", given: Mapping[str, Any], quoted: Collection[str]) -> str:
    """A sentence for each refused value, with its source and the reason.

    `given`: values passed as arguments. Only values of the settings `quoted` are repeated; others
    may be secrets.
    """
    environment, sentences = variables(), []
    for each in error.errors(include_url=False):
        name = str(each["loc"][0]) if each["loc"] else ""
        if name in given:
            where = f"The setting {name}"
        elif name.upper() in environment:
            where = f"The environment variable {environment[name.upper()][0]}"
        else:
            where = f"The setting {name} in {config_file()}"
        value = f" ({each['input']!r:.{MAX_SHOWN}})" if name in quoted else ""
        sentences.append(f"{where}{value} is refused: {why_unfit(each)}.")
    return " ".join(sentences)

"""`faust-ledger settings`: every setting, its value, where that is from, what it means."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import typer

from ledger.cli.output import AsJson, DataDir, print_json, print_table

_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@/]*@")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command("settings")(settings)


def settings(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every setting. Passwords in addresses are shown as ***.

    A setting comes from the environment (FAUST_LEDGER_ and its name in capitals), else from the
    TOML file that FAUST_LEDGER_CONFIG names, else, addresses only, from the running embedded
    stack, else it is the default.
    """
    found = listed(data_dir)
    if as_json:
        print_json({row.pop("name"): row for row in found})
        return
    columns = {"name": "left", "value": "left", "source": "left", "description": "left"}
    print_table(columns, [[str(row[name]) for name in columns] for row in found])


def listed(data_dir: Path | None) -> list[dict[str, Any]]:
    """For each setting its name, value, source, default and description."""
    from ledger.settings import Settings, load

    effective = load(data_dir)
    plain = Settings() if data_dir is None else Settings(data_dir=data_dir)
    in_file = _names_in_file()
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(effective, name)
        if name == "data_dir" and data_dir is not None:
            source = "option or environment"
        elif f"FAUST_LEDGER_{name.upper()}" in os.environ:
            source = "environment"
        elif name in in_file:
            source = "file"
        else:
            source = "default" if value == getattr(plain, name) else "stack"
        rows.append(
            {
                "name": name,
                "value": _shown(value),
                "source": source,
                "default": _shown(field.default),
                "description": field.description,
            }
        )
    return rows


def _names_in_file() -> set[str]:
    file = Path(os.environ.get("FAUST_LEDGER_CONFIG", "faust-ledger.toml"))
    return set(tomllib.loads(file.read_text())) if file.exists() else set()


def _shown(value: Any) -> Any:
    if isinstance(value, int):
        return value
    return _PASSWORD.sub(r"\1:***@", str(value))

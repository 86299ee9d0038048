"""`faust-ledger settings`: every setting, its value, where that is from, what it means."""

from pathlib import Path
from typing import Any

import typer

from ledger.cli.output import AsJson, DataDir, print_json, print_table
from ledger.hiding import shown_url


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command("settings")(settings)


def settings(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List every setting, its value and where that is from.

    Passwords in addresses are shown as ***.

    A setting comes from the environment (FAUST_LEDGER_ and its name in capitals), else from the
    TOML file that FAUST_LEDGER_CONFIG names (default: faust-ledger.toml in the working directory,
    if any), else, addresses only, from the running embedded stack, else it is the default.
    A name that is no setting, a value of another type, an empty variable and a file that cannot be
    read are refused by every command, exit code 3.
    """
    found = listed(data_dir)
    if as_json:
        print_json({row.pop("name"): row for row in found})
        return
    columns = {"name": "left", "value": "left", "source": "left", "description": "prose"}
    print_table(columns, [[str(row[name]) for name in columns] for row in found])


def listed(data_dir: Path | None) -> list[dict[str, Any]]:
    """For each setting its name, value, source, default and description."""
    from ledger.settings import Settings, load
    from ledger.settings_sources import in_file, variables

    effective = load(data_dir)
    plain = Settings() if data_dir is None else Settings(data_dir=data_dir)
    file, environment = in_file(Settings.model_fields), variables()
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(effective, name)
        if name == "data_dir" and data_dir is not None:
            source = "option or environment"
        elif name.upper() in environment:
            source = "environment"
        elif name in file:
            source = "file"
        else:
            source = "default" if value == getattr(plain, name) else "stack"
        rows.append(
            {
                "name": name,
                "value": _shown(name, value),
                "source": source,
                "default": _shown(name, field.default),
                "description": field.description,
            }
        )
    return rows


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, int):
        return value
    return shown_url(str(value)) if name.endswith("_url") else str(value)

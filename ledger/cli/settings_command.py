"""`faust-ledger settings`: list every setting, its value, its source and its meaning."""

from pathlib import Path
from typing import Any

from ledger.cli.output import AsJson, DataDir, print_json, print_plain
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of
from ledger.hiding import shown_url
from ledger.terminal import console

COLUMNS = (
    Column("name", "name", "code"), Column("value", "value", "path"),
    Column("source", "source", "code"), Column("description", "description", "prose"),
)  # fmt: skip


def list_settings(
    data_dir: DataDir = None, fmt: FormatOption = None, as_json: AsJson = False
) -> None:
    """List every setting, its value and the source of the value.

    Passwords in addresses are shown as ***.

    The sources of a setting are, in this order: the environment (FAUST_LEDGER_ and its name in
    capitals); the TOML file that FAUST_LEDGER_CONFIG names (default: faust-ledger.toml in the
    working directory, if there is one); for addresses, the running embedded stack; the default.

    Every command refuses an unknown name, a value of another type, an empty variable and a file
    that cannot be read, with exit code 3.
    """
    chosen = format_of(fmt, as_json=as_json, whole=True)
    found = setting_rows(data_dir)
    if chosen is None:
        print_json({row.pop("name"): row for row in found})
    elif chosen is Format.TABLE:
        print_settings(found)
    else:
        print_table_of(COLUMNS, found, chosen, nothing="")


def print_settings(rows: list[dict[str, Any]]) -> None:
    """Each setting with its value and source; its meaning below, folded to a terminal's width."""
    from rich.padding import Padding
    from rich.text import Text

    on = console()
    for row in rows:
        value = "not set" if row["value"] in ("", "None") else row["value"]
        print_plain(f"{row['name']:<23} {value}  ({row['source']})")
        on.print(Padding(Text(row["description"]), (0, 0, 0, 4), expand=False))


def setting_rows(data_dir: Path | None) -> list[dict[str, Any]]:
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
    from ledger.settings import NO_DATABASE

    is_address = name.endswith("_url") and value != NO_DATABASE
    return shown_url(str(value)) if is_address else str(value)

"""How `--help` reads: commands by what they are for, paragraphs as wide as the terminal."""

import inspect

import typer
from rich.markup import escape
from typer.models import CommandInfo, TyperInfo

PANELS = {
    "Begin": ("demo", "up", "down", "status", "doctor"),
    "Publish and read": ("publish", "balances", "trial-balance", "rejects"),
    "Check": ("reconcile", "verify"),
    "What decisions depend on": ("assets", "accounts", "policy", "clock", "reference"),
    "Repair": ("replay", "rebuild", "void", "shadows", "topics"),
    "Run and measure": ("worker", "settings", "bench"),
}
"""Commands and groups of commands, in the order of `faust-ledger --help`."""


def arrange(app: typer.Typer) -> None:
    """Put each command of `app` in its panel, in their order, and have its help flow."""
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        command.rich_help_panel = panels[name_of(command)]
    for group in app.registered_groups:
        group.rich_help_panel = panels[name_of(group)]
    order = list(panels)
    app.registered_commands.sort(key=lambda info: order.index(name_of(info)))
    app.registered_groups.sort(key=lambda info: order.index(name_of(info)))
    _flow(app)


def name_of(info: CommandInfo | TyperInfo) -> str:
    """As a person types it."""
    if isinstance(info, TyperInfo):
        inside = info.typer_instance.info.name if info.typer_instance else None
        return info.name if isinstance(info.name, str) else str(inside)
    return info.name or str(getattr(info.callback, "__name__", ""))


def _flow(app: typer.Typer) -> None:
    for command in app.registered_commands:
        command.help = flowing(command.help or (command.callback and command.callback.__doc__))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        _flow(group.typer_instance)


def flowing(text: str | None) -> str:
    """`text` with a line a paragraph, and nothing in it taken for markup."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(escape(" ".join(each.split())) for each in paragraphs if each.strip())

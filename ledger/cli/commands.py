"""Every command, its module and its panel in `--help`; modules are imported when they are used."""

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer

PANELS = {
    "Begin": {"demo": "demo", "up": "stack", "down": "stack", "status": "stack", "doctor": "stack"},
    "Publish and read": {
        "publish": "publish", "balances": "read", "trial-balance": "read", "rejects": "rejects",
    },
    "Check": {"reconcile": "reconcile", "verify": "verify"},
    "What decisions depend on": {
        "assets": "imports", "accounts": "imports", "policy": "policy", "clock": "policy",
        "reference": "reference_copy",
    },
    "Repair": {
        "replay": "replay", "rebuild": "rebuild", "void": "void", "shadows": "replay",
        "topics": "topics",
    },
    "Run and measure": {"worker": "worker", "settings": "settings_command", "bench": "bench"},
}  # fmt: skip
"""By panel, in the order of `faust-ledger --help`: a command or group, and its module."""

PLACES = {
    name: (panel, module) for panel, names in PANELS.items() for name, module in names.items()
}


class LazyCommands(Mapping[str, Any]):
    """Click's command by name. Looking one up imports its module, which registers it with typer."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            _, module = PLACES[name]
            app = typer.Typer()
            import_module(f"ledger.cli.{module}").register(app)
            commands: Mapping[str, Any] = typer.main.get_group(app).commands
            for each, command in commands.items():
                command.rich_help_panel = PLACES[each][0]
                _reflow(command)
                self._loaded[each] = command
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


def _reflow(command: Any) -> None:
    command.help = reflowed(command.help)
    for inner in getattr(command, "commands", {}).values():
        _reflow(inner)


def reflowed(text: str | None) -> str:
    """`text` with one line for each paragraph, and nothing in it taken for markup."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    flowing = "\n\n".join(" ".join(each.split()) for each in paragraphs if each.strip())
    if "[" not in flowing:
        return flowing
    # Imported only where there is markup to escape: it takes a tenth of the start-up time.
    from rich.markup import escape

    return escape(flowing)

"""Every command of `faust-ledger`; a command's module is imported when the command is used."""

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer

from ledger.cli.completion import BY_OPTION
from ledger.cli.help import Command, CommandGroup


class Group(NamedTuple):
    """A group of commands by name: each is a module of `ledger.cli`, and a function."""

    help: str
    commands: Mapping[str, str]


PANELS: Mapping[str, Mapping[str, str | Group]] = {
    "Run": {
        "demo": "demo.run_demo",
        "up": "stack.up",
        "down": "stack.down",
        "status": "stack.status",
        "doctor": "stack.doctor",
        "setup": "setup.set_up",
        "worker": "worker.worker",
        "api": "api.api",
        "health": "health.print_health",
        "settings": "settings_command.list_settings",
        "clients": Group(
            "Hand over what a role of the embedded stack connects with.",
            {"export": "clients.export_client"},
        ),
        "tokens": Group(
            "Create, list and revoke the bearer tokens of the API.",
            {
                "create": "tokens.create_token",
                "list": "tokens.list_tokens",
                "revoke": "tokens.revoke_token",
            },
        ),
        "policy": Group(
            "Show and change the ledger's policy, such as how long it remembers ids.",
            {
                "init": "policy.init_policy",
                "show": "policy.show_policy",
                "set": "policy.set_policy",
            },
        ),
        "bench": "bench.bench",
    },
    "Publish": {
        "publish": "publish.publish",
        "check": "check.check",
        "reverse": "reverse.reverse",
    },
    "Read": {
        "balances": "read.print_balances",
        "trial-balance": "trial_balance.print_trial_balance",
        "register": "register.print_register",
        "report": "report.print_report",
        "export": "export.export_books",
        "explain": "explain.explain_balance",
        "transaction": Group(
            "Show one transaction, from the log to the books.",
            {"show": "transaction.show_transaction"},
        ),
        "accounts": Group(
            "Declare and list accounts: their currency, opening and closing.",
            {
                "import": "imports.import_accounts",
                "list": "accounts.list_accounts",
                "show": "accounts.show_account",
            },
        ),
        "assets": Group(
            "Register and list assets, such as shares and coins, beside those of ISO 4217.",
            {"import": "imports.import_assets", "list": "assets.list_assets"},
        ),
        "statements": Group(
            "Import, prove and show statements of banks and custodians.",
            {
                "import": "statements.import_statements",
                "list": "statements.list_statements",
                "show": "statements.show_statement",
                "save-mapping": "statement_mappings.save_mapping",
                "mappings": "statement_mappings.list_mappings",
            },
        ),
        "rejects": Group(
            "List refused transactions, and send them again.",
            {"list": "rejects.list_rejects", "replay": "rejects_replay.replay_rejects"},
        ),
    },
    "Check": {
        "reconcile": "reconcile.reconcile_ledger",
        "verify": "verify.print_findings",
        "audit-log": "audit_log.print_audit_log",
        "topics": Group(
            "Check, create and repair the topics in Kafka.",
            {
                "check": "topics.check_topics",
                "create": "topics.create_topics",
                "recover": "topics.recover_records",
            },
        ),
    },
    "Repair": {
        "psql": "database.psql",
        "dump": "database.dump",
        "restore": "database.restore",
        "database": Group(
            "Move the general ledger to the replica of its database.",
            {"promote": "failover.promote_replica"},
        ),
        "replay": "replay.replay_to_shadow",
        "rebuild": Group(
            "Rebuild the general ledger, tables, balances or history.",
            {
                "ledger": "rebuild.build_ledger",
                "tables": "rebuild.remove_tables",
                "balances": "rebuild.republish_balances",
                "history": "rebuild.refold_history",
            },
        ),
        "void": Group(
            "List and void transactions that cannot be posted.",
            {"list": "void.list_voids", "add": "void.add_voids"},
        ),
        "shadows": Group(
            "List and drop the shadow ledgers that replay and rebuild make.",
            {"list": "replay.list_shadows", "drop": "replay.drop_shadow"},
        ),
        "clock": Group(
            "Repair a shard after a broker's clock was ahead.",
            {"limit": "policy.limit_shard_clock"},
        ),
        "reference": Group(
            "Copy the reference data (assets, accounts, policy), and restore a copy.",
            {
                "save": "reference_copy.save_reference",
                "restore": "reference_copy.restore_reference",
            },
        ),
    },
}
"""By panel, in the order of `faust-ledger --help`."""


class LazyCommands(Mapping[str, Any]):
    """Click's commands by name; looking one up imports its module."""

    def __init__(
        self, places: Mapping[str, str | Group], panels: Mapping[str, str] | None = None
    ) -> None:
        self._places, self._panels = places, panels or {}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = command = _load(name, self._places[name])
            command.rich_help_panel = self._panels.get(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def all_commands() -> LazyCommands:
    """The commands and groups of the program."""
    panels = {name: panel for panel, places in PANELS.items() for name in places}
    return LazyCommands(
        {name: place for places in PANELS.values() for name, place in places.items()}, panels
    )


def _load(name: str, place: str | Group) -> Any:
    if isinstance(place, Group):
        inner: Any = LazyCommands(place.commands)
        return CommandGroup(
            name=name, help=place.help, no_args_is_help=True, commands=inner, rich_markup_mode=None
        )
    module, _, function = place.partition(".")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Command)(getattr(import_module(f"ledger.cli.{module}"), function))
    command = typer.main.get_command(app)
    command.help = reflowed(command.help)
    for param in command.params:
        _complete_values(param)
    return command


def _complete_values(param: Any) -> None:
    """Let the shell complete an option's values by its name, unless the option itself does."""
    for name in param.opts:
        if name in BY_OPTION and param._custom_shell_complete is None:
            # typer has no public way once an option is made.
            complete = typer.main.get_param_completion(BY_OPTION[name])
            typer.core._typer_param_setup_autocompletion_compat(param, autocompletion=complete)


def reflowed(text: str | None) -> str:
    """`text` with one line for each paragraph."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs if each.strip())

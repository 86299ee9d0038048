"""Faults, raised when something other than the input is wrong.

A refusal of bad input is a value (`ledger.domain.refusal`), and never one of these.
"""


class LedgerError(Exception):
    """A fault; its message has what happened, why, and what to do next."""


class InvariantBroken(LedgerError):
    """Our own state contradicts itself; the shard stops."""


class Unavailable(LedgerError):
    """Kafka, the registry or the database does not answer now; waiting may help."""


class StackError(LedgerError):
    """The embedded stack could not be started, found or stopped."""


class SettingsError(LedgerError):
    """A setting is refused. The message names its source, and never repeats a password."""


def sentence(text: str) -> str:
    """`text` with a full stop, unless it has an end already; for what others' messages end."""
    return text if text.rstrip().endswith((".", "?", "!")) else f"{text}."

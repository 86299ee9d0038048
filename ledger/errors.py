"""Faults: what the ledger raises when something other than the input is wrong.

A refusal of bad input is a value (`ledger.domain.refusal`), never one of these.
"""


class LedgerError(Exception):
    """A fault whose message says what happened, why, and what to do next."""


class InvariantBroken(LedgerError):
    """Our own state contradicts itself; the shard stops rather than guess."""


class Unavailable(LedgerError):
    """Kafka, the registry or the database does not answer at the moment; waiting may help."""


class StackError(LedgerError):
    """The embedded stack could not be started, found or stopped."""


class SettingsError(LedgerError):
    """What was set cannot be what is meant; says where it was set. Never repeats a password."""

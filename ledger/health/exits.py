"""The statuses with which an application of a worker ends, and what each means."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses, numbered as in sysexits.h; docs/operations.md lists each."""

    DAMAGED = 65
    """EX_DATAERR: a table's files are damaged."""
    FAULT = 70
    """EX_SOFTWARE: a fault of the program that has no other status here."""
    DISK = 74
    """EX_IOERR: the worker's disk is full, or fails."""
    REPLACED = 75
    """EX_TEMPFAIL: other workers have its shards by now. Not a fault."""
    BROKEN = 76
    """EX_PROTOCOL: an invariant is broken that concerns more than one shard."""
    SETTINGS = 78
    """EX_CONFIG: the settings, the schemas or the topics are not those of this ledger."""


_RESTARTS = "The supervisor restarts it"
_MEANINGS: dict[int, str] = {
    Exit.DAMAGED: "A table's files are damaged. Their content is in Kafka and is read again.",
    Exit.FAULT: "A fault of the program; nothing was acknowledged that was not done.",
    Exit.BROKEN: "The ledger's state contradicts itself in more than one shard.",
    Exit.DISK: "The worker's disk is full, or fails; other workers have its shards meanwhile.",
    Exit.REPLACED: "It was paused or cut off for longer than its session, and replaced.",
    Exit.SETTINGS: "The settings, schemas or topics are not those of this ledger.",
}
_ADVICE: dict[int, str] = {
    Exit.DAMAGED: f"{_RESTARTS}, and it restores them; if it happens again, check the disk",
    Exit.FAULT: f"{_RESTARTS}; if it keeps ending, keep the log above and report it",
    Exit.BROKEN: "follow its log; `faust-ledger reconcile --full` shows the differences",
    Exit.DISK: "free space below its directory, or repair the disk; it tries again by itself",
    Exit.REPLACED: f"{_RESTARTS}; if it keeps ending, the machine is overloaded or its clock stops",
    Exit.SETTINGS: "follow its log; it tries again by itself",
}


def meaning_of(status: int) -> str:
    """The meaning of any status of a process; a negative one is the number of a signal."""
    if status < 0:
        return f"It was ended by signal {-status}."
    return _MEANINGS.get(status, "It ended by itself.")


def advice_of(status: int) -> str:
    """What an operator does about any status of a process."""
    return _ADVICE.get(status, f"{_RESTARTS}; its log says why it ended")

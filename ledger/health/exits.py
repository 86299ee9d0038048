"""With which status an application of a worker ends, and what that means."""

from enum import IntEnum


class Exit(IntEnum):
    """The numbers are sysexits.h's; each is listed in docs/operations.md."""

    DAMAGED = 65
    """EX_DATAERR: a table's files are not as they were written."""
    FAULT = 70
    """EX_SOFTWARE: a fault of ours that nothing else here names."""
    DISK = 74
    """EX_IOERR: this worker's disk takes no more, or fails."""
    REPLACED = 75
    """EX_TEMPFAIL: others have its shards by now. Not a fault."""
    BROKEN = 76
    """EX_PROTOCOL: an invariant is broken outside of any one shard."""
    SETTINGS = 78
    """EX_CONFIG: the settings, the schemas or the topics are not those of this ledger."""

    @property
    def meaning(self) -> str:
        """What happened, and what happens next."""
        return _MEANINGS[self]

    @property
    def advice(self) -> str:
        """What a person does about it."""
        return _ADVICE[self]


_AGAIN = "It is started again by itself"
_MEANINGS = {
    Exit.DAMAGED: "A table's files are damaged. What they had is in Kafka and is read again.",
    Exit.FAULT: "A fault of the program; nothing was acknowledged that was not done.",
    Exit.BROKEN: "The ledger's state contradicts itself where it concerns more than one shard.",
    Exit.DISK: "The worker's disk takes no more, or fails; others have its shards meanwhile.",
    Exit.REPLACED: "It was paused or cut off for longer than its session, and replaced.",
    Exit.SETTINGS: "The settings, schemas or topics are not those of this ledger.",
}
_ADVICE = {
    Exit.DAMAGED: f"{_AGAIN} and mends them; if it happens again, look at the disk",
    Exit.FAULT: f"{_AGAIN}; if it goes on, keep the log above and report it",
    Exit.BROKEN: "do as its log says; `faust-ledger reconcile --full` shows what differs",
    Exit.DISK: "make room below its directory, or mend the disk; it looks again by itself",
    Exit.REPLACED: f"{_AGAIN}; if it goes on, the machine is overloaded or its clock is halted",
    Exit.SETTINGS: "do as its log says; it looks again by itself",
}


def meaning_of(status: int) -> str:
    """In words, of any status that a process can end with; negative: a signal's number."""
    if status < 0:
        return f"It was ended by signal {-status}."
    return Exit(status).meaning if status in set(Exit) else "It ended of itself."


def advice_of(status: int) -> str:
    """What a person does about any status."""
    known = status in set(Exit)
    return Exit(status).advice if known else f"{_AGAIN}; its log says why it ended"

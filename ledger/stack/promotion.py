"""Fail-over: the replica of the database becomes the primary, once the old one takes no writes.

A person decides that, not a program: two servers without a third cannot tell a dead primary from
one that they cannot reach, and nothing is lost by waiting, for what is decided is in the log.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ledger.errors import StackError
from ledger.stack import cache, files, identity, parts, postgres
from ledger.stack import record as records
from ledger.stack import replica as replicas
from ledger.stack.files import Layout
from ledger.stack.identity import Identity
from ledger.stack.orphans import clear_leftovers
from ledger.stack.record import Record
from ledger.stack.services import Service, Services, by_kind
from ledger.stack.stack import Say, ensure_running, locked, running_part, unsaid


@dataclass(frozen=True)
class Promotion:
    """What was done: `fenced` is the server that was the primary.

    `last_commit`: of the new primary, when it was promoted; None where it had none.
    """

    primary: str
    fenced: str
    last_commit: datetime | None


def promote_replica(data_dir: Path, *, switch_over: bool = False, say: Say = unsaid) -> Promotion:
    """Make the replica the primary, in an order in which at no time two servers take writes.

    `switch_over`: the primary answers, and is to give its place up; it hands over all that it has.
    Raises `StackError`, with nothing changed, where the primary answers and that was not asked for,
    or where there is no replica to promote.
    """
    place = files.layout(data_dir)
    files.require_own(place)
    with locked(place, say):
        me = identity.require_identity(place)
        server = replicas.replica_of(me)
        found = by_kind(place, me, cache.cache_dir())
        record = records.load_record(place) or records.new_record(place, me)
        # 1 The replica answers, and is one.
        record = have_replica(place, me, record, found, say)
        # 2 The old primary ends, and takes no writes if anybody starts it again.
        fence(place, record, found.database, say, switch_over=switch_over)
        # 3 From here `up` starts the new one as the primary, also after a crash.
        me = replace(me, primary=server.name)
        identity.save_identity(place, me)
        # 4 It takes writes.
        last = replicas.promote(place, me)
    return Promotion(server.name, found.database.name, last)


def have_replica(place: Layout, me: Identity, record: Record, found: Services, say: Say) -> Record:
    """The record with a replica that answers; `StackError` where there is none."""
    service, server = found.replica, replicas.replica_of(me)
    assert service is not None, "it has a server"
    directory = place.database(server.name)
    is_copy = (directory / replicas.STANDBY).exists() and not (directory / replicas.STALE).exists()
    if not is_copy:
        raise StackError(
            f"{server.name} has no copy of the database: there is nothing to promote, and nothing "
            f"was changed. `faust-ledger up` starts {me.primary} and copies it."
        )
    record = ensure_running(place, record, service, say)
    part = record.part(service.name)
    assert part is not None, "it was started just now"
    parts.await_ready(
        part, lambda: postgres.missing(place, me, server), seconds=service.ready_seconds
    )
    return record


def fence(place: Layout, record: Record, primary: Service, say: Say, *, switch_over: bool) -> None:
    """Stop the primary, and mark its directory so that it starts as a replica alone."""
    part, directory = running_part(record, primary), place.database(primary.name)
    if part is not None:
        answers = primary.missing() is None
        if answers and not switch_over:
            raise StackError(
                f"{primary.name} (pid {part.pid}) answers and takes writes. Nothing was changed. "
                "To have the replica take its place all the same, in order and without losing "
                "anything: `faust-ledger database promote --switch-over`."
            )
        seconds = primary.stop_seconds if answers else 0.0
        parts.stop_together([part], say, first=primary.stop_signal, seconds=seconds)
        if parts.running(part):
            raise StackError(
                f"{primary.name} (pid {part.pid}) does not end, so it may still take writes. "
                "Nothing was promoted. End that process, then try again."
            )
    # The processes of one that was killed may live on for a moment, and commit.
    clear_leftovers(directory)
    replicas.mark_stale(directory)

"""What a write's answer says: where the transaction is, and how far."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ledger.api.flow.fate import Fate, Level
from ledger.api.positions import Position
from ledger.api.problems import REFUSALS, Problem, refusal
from ledger.client.drafts import rfc3339
from ledger.client.outcomes import OpenBreak, Outcome
from ledger.domain.refusal import Reason, Refused

PUBLISHED, DUPLICATE = "published", "duplicate"


@dataclass(frozen=True, slots=True)
class Written:
    """`status`: published, decided, posted, reconciled or duplicate.

    `first`: of a duplicate, where the transaction is that it repeats. `reached`: how far it, or
    what it repeats, is. `applied`: the level that was waited for and is reached.
    """

    transaction_id: str
    position: Position
    token: str
    status: str = PUBLISHED
    reached: Level | None = None
    applied: Level | None = None
    first: Position | None = None
    times: dict[str, str | None] = field(default_factory=dict)
    breaks: tuple[OpenBreak, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether it is known to be in the ledger, by this write."""
        return self.applied is not None and self.status != DUPLICATE

    @property
    def is_repetition(self) -> bool:
        """Whether it is known to repeat another one, as far as was waited for."""
        return self.status == DUPLICATE

    @property
    def path(self) -> str:
        """Its id as a segment of a URL."""
        return quote(self.transaction_id, safe="")

    def as_json(self) -> dict[str, Any]:
        """The object of the answer."""
        return {
            "transaction_id": self.transaction_id,
            "token": self.token,
            "status": self.status,
            "shard": self.position.shard,
            "offset": self.position.offset,
            "reached": self.reached,
            "first": self.first and {"shard": self.first.shard, "offset": self.first.offset},
            **{name: self.times.get(name) for name in ("decided_at", "posted_at", "compared_at")},
            "breaks": [each._asdict() for each in self.breaks],
        }


def written(
    name: str,
    token: str,
    fate: Fate,
    level: Level | None,
    first: Position | None,
    *,
    repeated: bool = False,
) -> Written:
    """The answer once `level` was waited for. Raises Problem for what is refused, or void.

    `repeated`: `fate` is that of the transaction that a write repeats, which was not published.
    """
    position, verdict = Position(fate.shard, fate.offset), fate.verdict
    if verdict is not None and verdict.outcome in (Outcome.REFUSED, Outcome.VOIDED):
        raise _refused(name, token, fate)
    # Decided is not accepted: what is not known to be either is only known to be in the log.
    reached = fate.level if verdict is not None or repeated else None
    return Written(
        name,
        position,
        token,
        status=DUPLICATE if fate.is_duplicate or repeated else reached or PUBLISHED,
        reached=reached,
        applied=level if level and reached and _order(reached) >= _order(level) else None,
        first=first,
        times=times_of(fate),
        breaks=tuple(fate.breaks),
    )


def _order(level: Level) -> int:
    return list(Level).index(level)


def _refused(name: str, token: str, fate: Fate) -> Problem:
    verdict = fate.verdict
    assert verdict is not None, "it is refused or void"
    where = {"transaction_id": name, "token": token, "shard": fate.shard, "offset": fate.offset}
    if (found := verdict.refusal) is not None:
        return refused_as(found.code, found.reason, found.field, **where)
    sentence = (
        f"{name!r} was accepted, and voided since: it could not be posted, and counts for nothing. "
        "Publish what should have been under a new id."
    )
    return refusal(Refused(Reason.VOIDED, sentence, "transaction_id"), **where)


def refused_as(code: str, sentence: str, field: str, **more: Any) -> Problem:
    """The problem of a refusal in the log, whose code may be of a later version than this one."""
    if code not in REFUSALS:
        return Problem("REFUSED", f"{code}: {sentence}", field=field, **more)
    return Problem(code, sentence, field=field, **more)


def times_of(fate: Fate) -> dict[str, str | None]:
    """When it was decided, posted and compared, as far as that is known."""
    run = fate.verdict.run if fate.verdict else None
    times = {
        "decided_at": run.at if run else None,
        "posted_at": fate.posted_at,
        "compared_at": fate.compared_at,
    }
    return {name: rfc3339(at) if at else None for name, at in times.items()}

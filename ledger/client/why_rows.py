"""A figure taken apart as JSON has it, and as rows of tables."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.client.drafts import rfc3339
from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.gl.history.why import Why, added_up, change_of, producer_of

if TYPE_CHECKING:
    from ledger.client.pending import PendingEntry, ShardProgress
    from ledger.domain.history import Figures
    from ledger.domain.run import Watermark
    from ledger.gl.history.books import AccountLine

Row = dict[str, Any]

WAITS = {
    "posting": "the general ledger's database",
    "comparison": "the comparison of stream and general ledger",
    "history": "history, which is behind",
}
"""On what an entry waits that is decided, and not in the figure."""


@dataclass(frozen=True, slots=True)
class Checks:
    """How far each shard is: in history, in the general ledger, and by the stream if it is known.

    `posted_at`: when the shard's last run was posted, microseconds since 1970.
    """

    counted: "Mapping[int, Watermark]"
    posted: "Mapping[int, Watermark]"
    posted_at: Mapping[int, int]
    progress: "Mapping[int, ShardProgress]"


def figure_row(why: Why, checks: Checks) -> Row:
    """One currency of the account."""
    before = sides(why, why.before) | {
        "recorded_before": _time(why.start),
        "is_whole_day": why.is_whole_day,
    }
    return {
        "currency": why.currency,
        **sides(why, why.figures),
        "before": before,
        "lines": list(_lines(why)),
        "later": sides(why, why.later),
        "by_kind": [{"kind": each.name, "lines": each.lines, **sides(why, each.figures)}
                    for each in why.by_kind],
        "by_producer": [{"producer": each.name, "lines": each.lines, **sides(why, each.figures)}
                        for each in why.by_producer],
        "by_shard": [_shard(why, each.shard, each.figures, checks) for each in why.by_shard],
        "pending": [_pending(why, each, checks) for each in pending_of(why, checks)],
        "adds_up": not list(why.differences()),
    }  # fmt: skip


def sides(why: Why, figures: "Figures") -> Row:
    """Decimal text; `posted` on the account's normal side."""
    debits, credits, entries = figures
    posted = on_normal_side(why.account, debits=debits, credits=credits)
    shown = {"posted": posted, "debits": debits, "credits": credits}
    return {name: money.show(each, why.scale) for name, each in shown.items()} | {
        "entries": entries
    }


def _lines(why: Why) -> Iterator[Row]:
    at = why.before
    for line in why.lines:
        at = added_up((at, change_of(line)))
        yield _line(why, line) | {"balance": sides(why, at)["posted"]}


def _line(why: Why, line: "AccountLine") -> Row:
    change = change_of(line)
    is_debit = line.amount > 0
    amount = money.show(change.debits if is_debit else change.credits, why.scale)
    return {
        "recorded_at": rfc3339(line.key.recorded_at),
        "effective_at": rfc3339(line.effective_at),
        "transaction_id": line.transaction_id,
        "kind": line.kind,
        "producer": producer_of(line) or None,
        "description": line.description,
        "debit": amount if is_debit else None,
        "credit": None if is_debit else amount,
        "taken_back": line.change < 0,
        "counterparts": list(line.counterparts),
        "shard": line.key.shard,
        "offset": line.key.offset,
        "entry": line.key.entry,
    }


def _shard(why: Why, shard: int, figures: "Figures", checks: Checks) -> Row:
    progress = checks.progress.get(shard)
    return {
        "shard": shard,
        **sides(why, figures),
        "position": checks.counted[shard].end,
        "recorded_through": rfc3339(checks.counted[shard].recorded_until),
        "compared_to": progress.compared.end if progress else None,
        "compared_at": _time(progress.compared_at) if progress else None,
        "posted_to": checks.posted[shard].end if shard in checks.posted else None,
        "posted_at": _time(checks.posted_at.get(shard)),
    }


def pending_of(why: Why, checks: Checks) -> "Iterable[PendingEntry]":
    """What is decided of the account in this currency and not in the figure."""
    for _, each in sorted(checks.progress.items()):
        yield from (entry for entry in each.pending if entry.currency == why.currency)


def _pending(why: Why, each: "PendingEntry", checks: Checks) -> Row:
    signed = each.change * each.amount
    is_debit = each.amount > 0
    shown = money.show(signed if is_debit else -signed, each.scale)
    return {
        "transaction_id": each.transaction_id,
        "kind": each.kind,
        "debit": shown if is_debit else None,
        "credit": None if is_debit else shown,
        "taken_back": each.change < 0,
        "recorded_at": rfc3339(each.recorded_at),
        "decided_at": rfc3339(each.decided_at),
        "shard": each.shard,
        "offset": each.offset,
        "waits_for": waits_for(each, checks),
    }


def waits_for(each: "PendingEntry", checks: Checks) -> str:
    """A name of WAITS."""
    if each.offset < checks.progress[each.shard].compared.end:
        return "history"
    posted = checks.posted.get(each.shard)
    return "comparison" if posted is not None and each.offset < posted.end else "posting"


def flat_rows(account: str, figure: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each part, as CSV and lists in JSON have them."""
    same = {"account": account, "currency": figure["currency"]}
    parts = [("figure", figure), ("before", figure["before"]), ("later", figure["later"])]
    for part, row in parts:
        yield same | {"part": part} | _flat(row)
    for row in figure["lines"]:
        yield same | {"part": "line"} | _flat(row)
    for part, name in (("kind", "by_kind"), ("producer", "by_producer"), ("shard", "by_shard")):
        for row in figure[name]:
            yield same | {"part": part, "name": row.get(part)} | _flat(row)
    for row in figure["pending"]:
        yield same | {"part": "pending"} | _flat(row)


FLAT = (
    "posted", "debits", "credits", "entries", "lines", "recorded_before", "recorded_at",
    "effective_at", "transaction_id", "kind", "producer", "debit", "credit", "balance", "shard",
    "offset", "entry", "position", "compared_to", "compared_at", "posted_to", "posted_at",
    "waits_for",
)  # fmt: skip


def _flat(row: Mapping[str, Any]) -> Row:
    found = {name: row.get(name) for name in FLAT}
    if isinstance(found["lines"], list):
        found["lines"] = len(found["lines"])
    return {"name": None} | found


def _time(micros: int | None) -> str | None:
    return None if micros is None else rfc3339(micros)

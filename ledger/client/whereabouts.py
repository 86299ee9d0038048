"""One transaction from the log to the books: what each part of the ledger has of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.client.drafts import rfc3339
from ledger.client.log_search import Decided, LogFindings, LoggedRecord, Looked
from ledger.domain import money
from ledger.domain.run import Watermark
from ledger.gl.lookups import FoundTransaction, LookupResult, ReversedBy
from ledger.gl.rows import PostedTransaction

WAITING, DECIDED, POSTED, COMPARED, VOID = "waiting", "decided", "posted", "compared", "void"
REFUSED, NOT_FOUND = "refused", "not found"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What the general ledger (None: it could not be asked) and Kafka have of an id.

    `unknown`: sentences about what could not be looked at.
    """

    transaction_id: str
    books: LookupResult | None
    log: LogFindings
    unknown: list[str]

    @property
    def complete(self) -> bool:
        """Whether everything could be looked at that was to be."""
        return not self.unknown

    def transactions(self) -> list[dict[str, Any]]:
        """Every accepted transaction with the id, the oldest first."""
        found = self.books.found if self.books else []
        places = {(each.transaction.shard, each.transaction.offset) for each in found}
        rows = [self._posted(each) for each in found]
        rows += [
            self._decided(each)
            for each in self.log.decided
            if (each.transaction.shard, each.transaction.offset) not in places
        ]
        return rows

    def accounts(self) -> set[str]:
        """Those of every accepted transaction with the id."""
        found = [each.transaction for each in (self.books.found if self.books else [])]
        found += [each.transaction for each in self.log.decided]
        return {account for each in found for account, *_ in each.entries}

    def refusals(self) -> list[dict[str, Any]]:
        """Every refused record with the id, in the order of the log."""
        return [
            {**each._asdict(), "recorded_at": rfc3339(each.recorded_at)}
            for each in sorted(self.log.refused.values(), key=lambda each: each.recorded_at)
        ]

    def repetitions(self) -> list[dict[str, Any]]:
        """Records of the log that repeated an accepted transaction, and changed nothing."""
        return [_record(each) for each in self._others() if self._is_decided(each)]

    def waiting(self) -> list[dict[str, Any]]:
        """Records of the log that are not decided yet."""
        return [_record(each) for each in self._others() if not self._is_decided(each)]

    def _others(self) -> Iterator[LoggedRecord]:
        known = set(self.log.refused)
        known |= {(each.transaction.shard, each.transaction.offset) for each in self.log.decided}
        if self.books:
            known |= {
                (each.transaction.shard, each.transaction.offset) for each in self.books.found
            }
        return (each for each in self.log.records if (each.shard, each.offset) not in known)

    def _is_decided(self, each: LoggedRecord) -> bool:
        return each.offset < self.log.decided_to.get(each.shard, 0)

    def _posted(self, each: FoundTransaction) -> dict[str, Any]:
        transaction, run, void, reversals, searched = each
        shard, offset = transaction.shard, transaction.offset
        is_posted = void is None or void.was_posted
        compared = self._compared(shard, offset)
        place = (shard, run.decisions_offset) if run else None
        at = self.log.decided_at.get(place) if place else None
        state = VOID if void else COMPARED if compared["done"] else POSTED
        return transaction_row(transaction) | {
            "state": state,
            "decided": {
                "done": True,
                "decisions_offset": run.decisions_offset if run else None,
                "at": None if at is None else rfc3339(at),
            },
            "posted": {
                "done": is_posted,
                "at": rfc3339(run.posted_at) if run and is_posted else None,
            },
            "compared": compared,
            "reversed_by": [_reversal(one) for one in reversals],
            "reversals_searched_to": searched,
            "void": void.as_json() if void else None,
        }

    def _decided(self, each: Decided) -> dict[str, Any]:
        return transaction_row(each.transaction) | {
            "state": DECIDED,
            "decided": {
                "done": True,
                "decisions_offset": each.decisions_offset,
                "at": rfc3339(each.decided_at),
            },
            # Where the general ledger cannot be asked it may have it.
            "posted": {"done": False if self.books else None, "at": None},
            "compared": self._compared(each.transaction.shard, each.transaction.offset),
            "reversed_by": [],
            "reversals_searched_to": None,
            "void": None,
        }

    def _compared(self, shard: int, offset: int) -> dict[str, Any]:
        to, at = self.log.compared_to.get(shard), self.log.compared_at.get((shard, offset))
        found = {"done": None if to is None else offset < to, "to_position": to}
        return found if at is None else {**found, "at": rfc3339(at)}

    def as_json(self) -> dict[str, Any]:
        """The object that --json prints."""
        transactions, refusals, waiting = self.transactions(), self.refusals(), self.waiting()
        state = NOT_FOUND
        if transactions:
            state = transactions[-1]["state"]
        elif waiting:
            state = WAITING
        elif refusals:
            state = REFUSED
        return {
            "transaction_id": self.transaction_id,
            "state": state,
            "reversed_by": transactions[-1]["reversed_by"] if transactions else [],
            "transactions": transactions,
            "refusals": refusals,
            "repetitions": self.repetitions(),
            "waiting": waiting,
            "looked_at": [_looked(each) for each in self.log.looked],
            "posted_to": _positions(self.books.watermarks if self.books else {}),
            "complete": self.complete,
            "unknown": self.unknown,
        }


def transaction_row(each: PostedTransaction) -> dict[str, Any]:
    """A transaction as JSON has it: amounts as decimal text, times in RFC 3339."""
    import json

    return {
        "transaction_id": each.transaction_id,
        "kind": each.kind,
        "description": each.description,
        "effective_at": rfc3339(each.effective_at),
        "recorded_at": rfc3339(each.recorded_at),
        "created_at": rfc3339(each.created_at),
        "ordering_key": each.ordering_key or each.transaction_id,
        "reverses": each.reverses or None,
        "metadata": json.loads(each.metadata) if each.metadata else {},
        "shard": each.shard,
        "offset": each.offset,
        "entries": [
            {
                "account": account,
                "side": "debit" if amount > 0 else "credit",
                "amount": money.show(abs(amount), scale),
                "currency": currency,
            }
            for account, currency, scale, amount in each.entries
        ],
    }


def _reversal(each: ReversedBy) -> dict[str, Any]:
    times = {name: rfc3339(getattr(each, name)) for name in ("effective_at", "recorded_at")}
    return {**each._asdict(), **times}


def _record(each: LoggedRecord) -> dict[str, Any]:
    return {**each._asdict(), "recorded_at": rfc3339(each.recorded_at)}


def _looked(each: Looked) -> dict[str, Any]:
    return {**each._asdict(), "whole": each.start <= each.first}


def _positions(marks: Mapping[int, Watermark]) -> dict[str, int]:
    return {str(shard): mark.end for shard, mark in marks.items()}

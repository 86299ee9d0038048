"""Breaks, each with both sides and a sentence, and the report of an audit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe
from ledger.gl.rows import PostedVoid, RowKey

BREAKS_LISTED = 100
"""Breaks of one kind, between the same two parties and in one shard, that are listed."""
_EXACT = Context(prec=1_000)


class Party(StrEnum):
    """Who makes a statement."""

    LOG = "log"
    REFERENCE = "reference topic"
    DECISIONS = "decisions"
    JOURNAL = "journal"
    DATABASE = "database stripes"
    TABLE = "stripes table"
    STRIPES = "stripes topic"
    PROGRESS = "progress topic"
    BALANCES = "balances topic"
    HISTORY = "history"


class BreakKind(StrEnum):
    """What is wrong; the codes are public and keep their meaning."""

    OPEN = "open"
    """Reconciliation itself found it, and it is still open."""
    UNDECIDED = "undecided"
    DECIDED_TWICE = "decided_twice"
    ID_TWICE = "id_twice"
    FALSE_DUPLICATE = "false_duplicate"
    UNBALANCED = "unbalanced"
    RULE = "rule"
    """`stream` is the decision that the rules require, `ledger` the actual one."""
    REFERENCE = "reference"
    """A run was decided with other reference data than the topic has."""
    CHAIN = "chain"
    POSITION = "position"
    MISSING = "missing"
    EXTRA = "extra"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Break:
    """Two parties that disagree.

    `between`: first the one that is right if they differ. `stream` and `ledger` are the values of
    the first and the second, None if it has none. `stripes`: those affected, as far as known.
    `row`: the database's row that is wrong.
    """

    kind: BreakKind
    between: tuple[Party, Party]
    shard: int | None
    sentence: str
    stripes: tuple[Stripe, ...] = ()
    stream: Mapping[str, Any] | None = None
    ledger: Mapping[str, Any] | None = None
    row: RowKey | None = None

    def as_json(self) -> dict[str, Any]:
        """As `reconcile --json` prints it; with several stripes, the first is named."""
        account, currency = self.stripes[0] if self.stripes else (None, None)
        return {
            "account": account,
            "currency": currency,
            "shard": self.shard,
            "kind": self.kind.value,
            "between": [party.value for party in self.between],
            "stream": self.stream,
            "ledger": self.ledger,
            "sentence": self.sentence,
            **(self.row.as_json() if self.row else {"table": None, "key": None}),
        }


@dataclass(slots=True)
class Findings:
    """Collects breaks; of thousands of one kind only the first are kept, all are counted."""

    kept: list[Break] = field(default_factory=list)
    broken: set[Stripe] = field(default_factory=set)
    """Every account that a break affects, also by breaks that are not kept."""
    _counts: Counter[tuple[BreakKind, tuple[Party, Party], int | None]] = field(
        default_factory=Counter
    )
    _rows: dict[RowKey, BreakKind] = field(default_factory=dict)

    def add(self, found: Break) -> None:
        """Keep it, unless many like it are kept, or one about the same row."""
        like = found.kind, found.between, found.shard
        self.broken.update(found.stripes)
        if found.row is not None and found.row in self._rows:
            return
        self._counts[like] += 1
        if self._counts[like] <= BREAKS_LISTED:
            self.kept.append(found)
            if found.row is not None:
                self._rows[found.row] = found.kind

    def is_missing(self, row: RowKey) -> bool:
        """Whether a break has reported the row as missing."""
        return self._rows.get(row) is BreakKind.MISSING

    def breaks(self) -> list[Break]:
        """All that are kept, and for each kind how many more there are."""
        found = list(self.kept)
        for (kind, between, shard), count in self._counts.items():
            if count > BREAKS_LISTED:
                more, listed = f"{count - BREAKS_LISTED:,}", f"the {BREAKS_LISTED} before"
                sentence = f"{more} more like {listed}: {kind}, {between[1]}."
                found.append(Break(kind, between, shard, sentence))
        return found


class AuditReport(NamedTuple):
    """The outcome: accounts are (account, currency), stripes (account, currency, shard)."""

    accounts: int
    stripes: int
    reconciled: int
    pending: int
    breaks: list[Break]
    voided: Sequence[PostedVoid] = ()

    @classmethod
    def of(
        cls,
        accounts: set[Stripe],
        *,
        stripes: int,
        pending: set[Stripe],
        findings: Findings,
        voided: Sequence[PostedVoid] = (),
    ) -> "AuditReport":
        """Count accounts: one that a break affects is neither reconciled nor pending."""
        whole = accounts - findings.broken
        return cls(
            accounts=len(accounts),
            stripes=stripes,
            reconciled=len(whole - pending),
            pending=len(whole & pending),
            breaks=findings.breaks(),
            voided=voided,
        )

    def as_json(self) -> dict[str, Any]:
        """As `reconcile --json` prints it."""
        return self._asdict() | {
            "breaks": [each.as_json() for each in self.breaks],
            "voided": [each.as_json() for each in self.voided],
        }


def decimal_text(minor: int, scale: int) -> str:
    """Minor units as a decimal with exactly `scale` places."""
    return f"{Decimal(minor).scaleb(-scale, _EXACT):f}"


def totals_shown(totals: Totals | None, scale: int) -> dict[str, Any] | None:
    """Totals as a break shows them."""
    if totals is None:
        return None
    return {
        "debits": decimal_text(totals.debits, scale),
        "credits": decimal_text(totals.credits, scale),
        "entries": totals.entries,
        "offset": totals.offset,
    }

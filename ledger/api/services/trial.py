"""What would become of a write, and the balances after it; nothing is written."""

from collections import defaultdict
from typing import Any

from ledger.api.access.caller import Caller
from ledger.api.positions import Position
from ledger.api.problems import Problem, refusal
from ledger.api.services.judging import Judge
from ledger.api.services.outcomes import Written
from ledger.api.services.readable import require_ready
from ledger.api.services.writes import Checked, Writes
from ledger.api.view.view import BalanceView
from ledger.client.drafts import rfc3339
from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.balance import Balance
from ledger.domain.refusal import Refused
from ledger.domain.run import Content

ACCEPTED, DUPLICATE = "accepted", "duplicate"


class Trial:
    """Decides by the ledger's own function, and adds to what the balance view has."""

    def __init__(self, writes: Writes, judge: Judge, view: BalanceView) -> None:
        self._writes, self._judge, self._view = writes, judge, view

    async def run(self, caller: Caller, body: Any, *, key: str | None = None) -> dict[str, Any]:
        """What would be decided of the transaction in `body`. Raises Problem for a refusal."""
        return await self.of(await self._writes.check(caller, body, key))

    async def of(self, checked: Checked | Written | Refused) -> dict[str, Any]:
        """The same of one that was checked."""
        if isinstance(checked, Refused):
            raise refusal(checked, dry_run=True)
        if isinstance(checked, Written):
            return self._answer(checked.transaction_id, DUPLICATE, checked.first, Content())
        name = checked.draft["transaction_id"]
        decided = await self._judge.decided(checked.draft)
        if decided.outcomes.refused:
            found = decided.outcomes.refused[0]
            raise Problem(
                found.code, found.reason, field=found.field, dry_run=True, transaction_id=name
            )
        if decided.outcomes.duplicates:
            first = await self._judge.accepted(name, decided.decision.shard)
            return self._answer(name, DUPLICATE, first, Content())
        require_ready(self._view)
        return self._answer(name, ACCEPTED, None, decided.content)

    def _answer(
        self, name: str, outcome: str, first: Position | None, content: Content
    ) -> dict[str, Any]:
        state = self._view.state()
        return {
            "transaction_id": name,
            "dry_run": True,
            "outcome": outcome,
            "first": first and {"shard": first.shard, "offset": first.offset},
            "balances": self._after(content),
            "balances_as_of": None if state.as_of is None else rfc3339(state.as_of),
        }

    def _after(self, content: Content) -> list[dict[str, Any]]:
        """By account and currency: what it has, pending included, and would have."""
        changes: dict[tuple[str, str], int] = defaultdict(int)
        scales = {}
        for stripe, amount in zip(content.entry_stripes, content.entry_amounts, strict=True):
            key = content.accounts[stripe], content.currencies[stripe]
            changes[key] += on_normal_side(key[0], debits=amount, credits=0)
            scales[key] = content.scales[stripe]
        known = self._view.many({account for account, _ in changes})
        rows = []
        for (account, currency), change in sorted(changes.items()):
            has = next((each for each in known[account] if each.currency == currency), None)
            scale, before = scales[account, currency], 0 if has is None else _minor(has)
            rows.append({
                "account": account,
                "currency": currency,
                "before": money.show(before, scale),
                "after": money.show(before + change, scale),
            })  # fmt: skip
        return rows


def _minor(balance: Balance) -> int:
    """Minor units of what is posted and pending: texts with exactly the currency's decimals."""
    return sum(int(text.replace(".", "")) for text in (balance.posted, balance.pending))

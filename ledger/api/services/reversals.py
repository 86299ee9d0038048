"""Taking a transaction back: its reversal is made of what the ledger has of it."""

from collections.abc import Mapping
from typing import Any

from ledger.api.access.caller import Caller
from ledger.api.problems import Problem
from ledger.api.services.outcomes import Written
from ledger.api.services.requests import Asked, Wait, with_key
from ledger.api.services.transactions import Transactions
from ledger.api.services.trial import Trial
from ledger.api.services.writes import Checked, Writes
from ledger.client import lines
from ledger.client.lines import Malformed
from ledger.client.reversal import original_in, reversal_id, reversal_of, taken_back
from ledger.clock import now
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft

FIELDS = ("transaction_id", "reason", "effective_at", "created_at")


class Reversals:
    """Makes reversals and publishes them. Every method raises Problem."""

    def __init__(self, transactions: Transactions, writes: Writes, trial: Trial) -> None:
        self._transactions, self._writes, self._trial = transactions, writes, trial

    async def publish(
        self, caller: Caller, name: str, body: Any, *, key: str | None, wait: Wait | None
    ) -> Written:
        """Reverse the last transaction with this id."""
        checked = await self._check(caller, name, body, key)
        return await self._writes.publish_checked(caller, checked, wait, "transactions.reverse")

    async def dry_run(
        self, caller: Caller, name: str, body: Any, *, key: str | None
    ) -> dict[str, Any]:
        """What would become of the reversal."""
        return await self._trial.of(await self._check(caller, name, body, key))

    async def _check(
        self, caller: Caller, name: str, body: Any, key: str | None
    ) -> Checked | Written | Refused:
        asked = _fields({} if body is None else body, key)
        if isinstance(asked, Refused):
            return asked
        caller.require("publish")
        draft = await self._draft(caller, name, asked)
        return await self._writes.check_draft(Asked(draft, dated=True))

    async def _draft(self, caller: Caller, name: str, asked: Mapping[str, Any]) -> Draft:
        by = asked.get("transaction_id") or reversal_id(name)
        found = await self._transactions.seen_by(caller, await self._transactions.whereabouts(name))
        caller.require_whole(name, found.accounts())
        original = original_in(found, by)
        if isinstance(original, str):
            if not found.complete:
                raise Problem("DATABASE_UNAVAILABLE", f"Nothing was sent: {original}")
            if not (there := found.transactions()) and found.waiting():
                raise Problem(
                    "NOT_YET",
                    f"{name} is published and not decided yet: it is taken back once it is "
                    "accepted. Send the same again.",
                )
            raise Problem("NOT_REVERSIBLE" if there else "NOT_FOUND", original)
        if found.books and any(each.reversals for each in found.books.found):
            made = await self._transactions.whereabouts(by, search=False)
            if sentence := taken_back(name, made):
                raise Problem("NOT_REVERSIBLE", sentence)
        draft = reversal_of(
            original,
            created_at=asked.get("created_at", now()),
            effective_at=asked.get("effective_at"),
            reason=asked.get("reason"),
        )
        return {**draft, "transaction_id": by}


def _fields(body: Any, key: str | None) -> dict[str, Any] | Refused:
    if not isinstance(body, dict):
        raise Problem("INVALID_BODY", "What a reversal takes is a JSON object in braces.")
    fields = with_key(body, key)
    try:
        lines.check_names(fields, required=(), optional=FIELDS)
        texts = {name: lines.optional_text(fields, name) for name in FIELDS[:2]}
        if texts["transaction_id"] == "":
            sentence = "transaction_id is empty; give it a value, or leave it out."
            return Refused(Reason.FIELD_MISSING, sentence, "transaction_id")
        given = [name for name in FIELDS[2:] if fields.get(name) is not None]
        times = {name: lines.time_of(fields, name) for name in given}
    except Malformed as error:
        return error.refused
    return {name: value for name, value in {**texts, **times}.items() if value is not None}

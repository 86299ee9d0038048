"""Many transactions in one request: each is checked, appended and answered on its own."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ledger.api.access.caller import Caller
from ledger.api.positions import Position, token_of
from ledger.api.problems import WAITED, Problem, refusal
from ledger.api.services.outcomes import Written
from ledger.api.services.requests import Wait
from ledger.api.services.writes import Checked, Writes
from ledger.api.signing import Signer
from ledger.domain.refusal import Refused

MOST = 1_000
"""Transactions of a bulk."""
AWAY = 503
SERVER = 500
"""From here on a status is not the client's doing."""
TURN = 50
"""Transactions that are checked before other requests have their turn: some 5 ms."""
REFUSED, FAILED = "refused", "failed"
"""Sent again as it is, what failed may be taken; what is refused never is."""

Result = Checked | Written | Problem


class Bulk:
    """Publishes transactions in their order, so that those of one ordering key keep it."""

    def __init__(self, writes: Writes, signer: Signer) -> None:
        self._writes, self._signer = writes, signer

    async def publish(self, caller: Caller, body: Any, wait: Wait | None) -> dict[str, Any]:
        """The results in the order of the transactions, and a token of all that were published.

        Raises Problem where the body is no list of transactions, or nothing at all could be done.
        """
        bodies = _transactions(body)
        checked = await self._checked(caller, bodies)
        to_publish = [each for each in checked if isinstance(each, Checked)]
        published = iter(await self._writes.publish_all(caller, to_publish, wait))
        results = [next(published) if isinstance(each, Checked) else each for each in checked]
        away = [each for each in results if isinstance(each, Problem) and each.status == AWAY]
        if len(away) == len(results):
            # That nothing was sent is said only where that is known of each.
            raise max(away, key=lambda each: each.code == "OUTCOME_UNKNOWN")
        return self._answer(bodies, results)

    async def _checked(self, caller: Caller, bodies: Sequence[Any]) -> list[Result]:
        checked: list[Result] = []
        for start in range(0, len(bodies), TURN):
            checks = (self._check(caller, body) for body in bodies[start : start + TURN])
            checked += await asyncio.gather(*checks)
            await asyncio.sleep(0)
        return checked

    async def _check(self, caller: Caller, body: Any) -> Result:
        try:
            found = await self._writes.check(caller, body)
        except Problem as problem:
            return problem
        return refusal(found) if isinstance(found, Refused) else found

    def _answer(self, bodies: Sequence[Any], results: Sequence[Any]) -> dict[str, Any]:
        rows = [
            _row(index, body, result)
            for index, (body, result) in enumerate(zip(bodies, results, strict=True))
        ]
        positions = [
            Position(row["shard"], row["offset"]) for row in rows if row.get("offset") is not None
        ]
        return {
            "token": token_of(self._signer, positions) if positions else None,
            "results": rows,
        }


def _transactions(body: Any) -> list[Any]:
    found = body.get("transactions") if isinstance(body, dict) else body
    if not isinstance(found, list) or (isinstance(body, dict) and len(body) > 1):
        raise Problem(
            "INVALID_BODY", 'A bulk is {"transactions": [...]}, or the array alone.',
            field="transactions",
        )  # fmt: skip
    if not 1 <= len(found) <= MOST:
        raise Problem(
            "INVALID_BODY", f"A bulk has 1 to {MOST} transactions, and not {len(found)}.",
            field="transactions",
        )  # fmt: skip
    return found


def _row(index: int, body: Any, result: Written | Problem) -> dict[str, Any]:
    if isinstance(result, Written):
        return {"index": index, **result.as_json()}
    name = body.get("transaction_id") if isinstance(body, dict) else None
    return {
        "index": index,
        "transaction_id": name if isinstance(name, str) else None,
        "status": FAILED if result.code in WAITED or result.status >= SERVER else REFUSED,
        "code": result.code,
        "detail": result.detail,
        "field": result.field or None,
        **result.more,
    }

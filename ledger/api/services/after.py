"""`after=`: a read that waits until it includes a transaction, wherever that was written."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Protocol

from ledger.api.database import Database
from ledger.api.positions import Position, is_token, positions_of
from ledger.api.problems import Problem
from ledger.api.services.logged import LoggedDrafts
from ledger.api.services.outcomes import refused_as
from ledger.api.services.refused import RefusedId
from ledger.api.services.wanted import Wanted
from ledger.api.signing import Signer
from ledger.api.view.view import BalanceView, TooManyWaits
from ledger.client.past import storable
from ledger.domain.access import Permission
from ledger.errors import sentence
from ledger.gl.books import Books


class Recent(Protocol):
    """Where ids were accepted lately: see `Flow.find`."""

    async def find(self, transaction_id: str, timeout: float = 0) -> Position | None:  # noqa: ASYNC109
        """Where it is, waiting up to `timeout` seconds for it, or until it is refused."""

    async def is_refused_here(self, transaction_id: str, timeout: float) -> bool:  # noqa: ASYNC109
        """Whether what this process published last under the id is refused, once it is decided."""


class Refused(Protocol):
    """What was refused: see `RefusedIds`."""

    async def newest(self, transaction_id: str) -> RefusedId | None:
        """The newest refusal of an id."""

    async def is_of_old(self, transaction_id: str, place: Position) -> bool:
        """Whether the record there was refused, longer ago than `Recent` remembers."""


class After:
    """Finds what `after` names, and waits for the view to have it."""

    def __init__(
        self,
        view: BalanceView,
        signer: Signer,
        recent: Recent,
        database: Database[Books],
        drafts: LoggedDrafts,
        refused: Refused,
    ) -> None:
        self._view, self._signer, self._recent, self._database = view, signer, recent, database
        self._drafts, self._refused = drafts, refused

    async def wait(self, wanted: Wanted, accounts: Collection[str] | None) -> None:
        """Wait until the balances of these accounts, None for all, include what `after` names.

        Raises Problem: NOT_YET past the time, with how far the balances are.
        """
        if wanted.after is None:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + wanted.wait_seconds
        positions = await self.positions(wanted, until)
        left = max(until - loop.time(), 0)
        try:
            if await self._view.wait_for_all(accounts, positions, left):
                return
        except TooManyWaits as error:
            raise Problem("OVERLOADED", str(error)) from error
        ends = dict(enumerate(self._view.ends(accounts)))
        raise not_yet(ends, positions, "The balances do not include it yet")

    async def positions(self, wanted: Wanted, until: float) -> Mapping[int, int]:
        """By shard the last offset of a token, or of the transaction with this id. Raises Problem.

        `until`: how long to wait for an id that is not known yet, by the loop's clock.
        """
        after = wanted.after
        if after is None:
            return {}
        if is_token(after):
            return positions_of(self._signer, after)
        found, unknown = await self._found(after, until, wanted.permission)
        if found is not None and not await self._drafts.is_seen(wanted.permission, found):
            # As for an id that there is not, and after as long.
            await asyncio.sleep(max(until - asyncio.get_running_loop().time(), 0))
            found = None
        if found is not None:
            return {found.shard: found.offset}
        detail = (
            f"No transaction with the id {after!r} is accepted yet. If that was to be a token, "
            "it is cut."
        )
        if unknown is not None:
            detail += f" One that was accepted long ago is not found now: {unknown.detail}"
        raise Problem("NOT_YET", detail, field="after")

    async def _found(
        self, name: str, until: float, permission: Permission
    ) -> tuple[Position | None, Problem | None]:
        """Where it is; and, where it is not known lately, why the general ledger cannot tell.

        Raises Problem for an id that was refused, as far as the caller may see that.
        """
        clock = asyncio.get_running_loop().time
        await self._recent.is_refused_here(name, max(until - clock(), 0))
        found = await self._recent.find(name)
        if found is not None and not await self._refused.is_of_old(name, found):
            return found, None
        found, _ = await self._posted(name)
        while found is None:
            await self._require_not_refused(name, permission)
            if (left := until - clock()) <= 0:
                break
            found = await self._recent.find(name, left)
        # It may have been accepted before what is kept, and posted since.
        return (found, None) if found is not None else await self._posted(name)

    async def _posted(self, transaction_id: str) -> tuple[Position | None, Problem | None]:
        """Where the general ledger has it: one that was accepted long ago is in no recent run."""
        if not storable([transaction_id]):
            return None, None
        try:
            found = await self._database.ask(lambda books: books.accepted([transaction_id]))
        except Problem as problem:
            return None, problem
        accepted = found.get(transaction_id)
        return (None if accepted is None else Position(accepted.shard, accepted.offset)), None

    async def _require_not_refused(self, name: str, permission: Permission) -> None:
        refused = await self._refused.newest(name)
        if refused is None:
            return
        if not await self._drafts.is_seen(permission, refused.place, whole=True):
            return
        shard, offset = refused.place
        # What a refusal says may name transactions of others.
        why = "." if permission.is_restricted else f": {sentence(refused.reason)}"
        raise refused_as(
            refused.code,
            f"{name!r} was refused at offset {offset} of shard {shard}{why} If it was sent again "
            "since, give the token of that write.",
            "after",
        )


def not_yet(ends: Mapping[int, int], positions: Mapping[int, int], why: str) -> Problem:
    """The answer where offsets by shard are wanted that what is complete to `ends` lacks."""
    missing = [
        f"shard {shard} is there to {ends.get(shard, 0)} and wanted to {offset + 1}"
        for shard, offset in sorted(positions.items())
        if ends.get(shard, 0) <= offset
    ]
    return Problem(
        "NOT_YET",
        f"{why}: {'; '.join(missing)}.",
        field="after",
        complete_to={str(shard): end for shard, end in sorted(ends.items())},
        wanted={str(shard): offset + 1 for shard, offset in sorted(positions.items())},
    )

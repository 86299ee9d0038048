"""One transaction by its id: its whole way, from the log to the books."""

import asyncio
from dataclasses import replace
from typing import Any

from ledger.api.access.caller import Caller
from ledger.api.database import Database
from ledger.api.flow.flow import Flow
from ledger.api.flow.past import PastRuns
from ledger.api.positions import Position, token_of
from ledger.api.problems import Problem
from ledger.api.services.logged import LoggedDrafts
from ledger.api.signing import Signer
from ledger.client.log_search import Decided, LogFindings, RefusedRecord
from ledger.client.lookup import search_for
from ledger.client.past import storable
from ledger.client.whereabouts import NOT_FOUND, Whereabouts
from ledger.domain.run import Content
from ledger.errors import LedgerError, sentence
from ledger.gl.books import Books
from ledger.gl.history.books import History, RefusalsQuery
from ledger.gl.lookups import LookupResult
from ledger.gl.posting import posted_transactions
from ledger.gl.rows import PostedTransaction
from ledger.settings import Settings

BACK = 10_000
"""Newest records of each shard that are searched for an id which is nowhere else."""
SEARCHES = 2
"""Such searches at once; each has a thread and a connection of its own."""
SEARCHES_WAITING = 20
"""Such searches under way and waiting; more are refused."""
SEARCH_SECONDS = 20.0


class Transactions:
    """Finds by the general ledger's index and in the newest runs, and else searches the topics."""

    def __init__(
        self,
        settings: Settings,
        flow: Flow,
        past: PastRuns,
        database: Database[Books],
        history: Database[History],
        drafts: LoggedDrafts,
        signer: Signer,
    ) -> None:
        self._settings, self._flow, self._past = settings, flow, past
        self._database, self._history, self._signer = database, history, signer
        self._drafts = drafts
        self._turn, self._searching = asyncio.Semaphore(SEARCHES), 0

    async def show(self, caller: Caller, transaction_id: str) -> dict[str, Any]:
        """Every transaction with the id, and what was refused with it, as JSON.

        Raises Problem: 404 where there is none, or none that touches an account of the caller's;
        403 where it touches others as well.
        """
        caller.require("read")
        there = await self.whereabouts(transaction_id)
        found = await self.seen_by(caller, there)
        shown = found.as_json()
        if shown["state"] == NOT_FOUND:
            if there.as_json()["state"] != NOT_FOUND:
                # As for an id that there is not, and after as long.
                await self._search(transaction_id, None)
            if not found.complete:
                raise Problem("DATABASE_UNAVAILABLE", " ".join(map(sentence, found.unknown)))
            raise Problem(
                "NOT_FOUND",
                f"No transaction {transaction_id!r} was accepted, and none is among the newest "
                f"{BACK} records of each shard.",
            )
        caller.require_whole(transaction_id, found.accounts())
        if caller.paths:
            # What a refusal says may name transactions of others.
            for each in shown["refusals"]:
                each["reason"] = None
        for each in (*shown["transactions"], *shown["waiting"], *shown["refusals"]):
            each["token"] = token_of(self._signer, [Position(each["shard"], each["offset"])])
        return shown

    async def seen_by(self, caller: Caller, found: Whereabouts) -> Whereabouts:
        """What of it a caller who is restricted to accounts may know to be there.

        Transactions that touch his accounts; refused and waiting records that touch no others.
        """
        if not caller.paths:
            return found
        log, books = found.log, found.books
        if books is not None:
            kept = [each for each in books.found if _touches(caller, each.transaction)]
            books = books._replace(found=kept)
        refused = {
            place: each for place, each in log.refused.items() if await self._is_own(caller, place)
        }
        records = [each for each in log.records if await self._is_own(caller, each[:2])]
        decided = [each for each in log.decided if _touches(caller, each.transaction)]
        seen = replace(log, refused=refused, records=records, decided=decided)
        return replace(found, books=books, log=seen)

    async def _is_own(self, caller: Caller, place: tuple[int, int]) -> bool:
        try:
            return await self._drafts.is_seen(caller.permission, place, whole=True)
        except LedgerError as error:
            raise Problem("KAFKA_UNAVAILABLE", str(error)) from error

    async def whereabouts(self, transaction_id: str, *, search: bool = True) -> Whereabouts:
        """What the ledger has of an id.

        `search`: in the topics too, where it is neither posted nor in the newest runs.
        """
        if not storable([transaction_id]):
            return Whereabouts(transaction_id, LookupResult({}, []), LogFindings(), [])
        books, unknown = None, []
        try:
            books = await self._database.ask(lambda asked: asked.find(transaction_id))
        except Problem as problem:
            unknown.append(problem.detail)
        log = await self._seen(transaction_id, books)
        if search:
            await self._learn_refusals(log, transaction_id)
        if search and not log.decided and not log.refused and not (books and books.found):
            try:
                log = await self._search(transaction_id, books)
            except LedgerError as error:
                unknown.append(str(error))
        return Whereabouts(transaction_id, books, log, unknown + log.unknown)

    async def _seen(self, name: str, books: LookupResult | None) -> LogFindings:
        """What the flow has seen of it."""
        found = LogFindings()
        for shard, reached in self._flow.reached().items():
            found.decided_to[shard] = reached.decided.end
            found.compared_to[shard] = reached.compared.end
        places = set()
        async for shard, run in self._flow.runs_with(name.encode("utf-8", "surrogatepass")):
            if (offset := run.offset_of(name)) is not None:
                part = Content.decode(run.content).part({offset})
                places.add((shard, offset))
                found.decided_at[shard, run.decisions_offset] = run.at
                found.decided += [
                    Decided(each, run.decisions_offset, run.at)
                    for each in posted_transactions(shard, part)
                ]
        for each in books.found if books else ():
            place = each.transaction.shard, each.transaction.offset
            places.add(place)
            if each.run is not None:
                await self._learn_time(found, place[0], each.run.decisions_offset)
        for shard, offset in places:
            at = self._flow.fate(Position(shard, offset)).compared_at
            if at:
                found.compared_at[shard, offset] = at
        return found

    async def _learn_time(self, found: LogFindings, shard: int, decisions_offset: int) -> None:
        place = shard, decisions_offset
        if place in found.decided_at:
            return
        try:
            found.decided_at[place] = (await self._past.at(*place)).at
        except LedgerError as error:
            found.unknown.append(str(error))

    async def _learn_refusals(self, found: LogFindings, name: str) -> None:
        """Those that history has, which are all that are reconciled, up to a page of them."""
        query = RefusalsQuery(transaction_id=name)
        try:
            page = await self._history.ask(lambda asked: asked.refusals(query))
        except Problem as problem:
            found.unknown.append(problem.detail)
            return
        for each in page.refusals:
            found.refused[each.shard, each.offset] = RefusedRecord(
                each.shard, each.offset, each.recorded_at, each.code, each.field, each.reason
            )

    async def _search(self, name: str, books: LookupResult | None) -> LogFindings:
        def search() -> LogFindings:
            return asyncio.run(search_for(self._settings, name, books, back=BACK))

        if self._searching >= SEARCHES_WAITING:
            raise Problem("OVERLOADED", f"{self._searching} searches of the topics wait already.")
        self._searching += 1
        try:
            async with asyncio.timeout(SEARCH_SECONDS), self._turn:
                return await asyncio.to_thread(search)
        except TimeoutError as error:
            why = f"The topics could not be searched within {SEARCH_SECONDS:.0f} s."
            raise Problem("NOT_YET", why) from error
        finally:
            self._searching -= 1


def _touches(caller: Caller, transaction: PostedTransaction) -> bool:
    return any(caller.covers(account) for account, *_ in transaction.entries)

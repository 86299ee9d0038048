"""A whole ledger in memory behind the API's own services: what is appended is decided at once.

whole = ApiLedger()
written = await whole.services.writes.publish(whole.caller(), line_of(draft("t-1")), wait=...)

Records are decided by `ledger.domain.decide`, posted to a MemoryJournal and compared, one run each.
Between them are the publisher, the flow and the services as they are; what takes a broker is not.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from ledger.api.access.caller import Caller
from ledger.api.database import Database
from ledger.api.flow.flow import Flow
from ledger.api.flow.past import PastRuns
from ledger.api.flow.runs import HeldRun
from ledger.api.flow.shard import ShardFlow
from ledger.api.problems import Problem
from ledger.api.services.dating import Dating
from ledger.api.services.logged import LoggedDrafts
from ledger.api.services.publishing import Publishing
from ledger.api.services.transaction_services import Parts, TransactionServices
from ledger.api.signing import Signer
from ledger.client.audit_log import Action, Actor
from ledger.client.publisher import Publisher
from ledger.client.receipt import Receipt
from ledger.clock import now
from ledger.domain.access import Permission
from ledger.domain.balance import Balance
from ledger.domain.decide import Received
from ledger.domain.reference import Reference
from ledger.domain.refusal import Refused
from ledger.domain.run import Refusal, Watermark
from ledger.domain.transaction import Draft
from ledger.domain.valid_run import ValidRun
from ledger.gl.books import Accepted, Books
from ledger.gl.history.books import History
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.journal import PostingRun
from ledger.gl.memory import MemoryJournal
from ledger.settings import Settings
from ledger.streaming.reference import policy_of
from ledger.streaming.registry import Codec
from tests.builders import KeptMemory, KnownReader, outcomes_of, settle, verdicts
from tests.integration.gl_history import folded

SCHEMA_ID = 1


READER = KnownReader.of(Settings())
"""Reads what `builders.wire` writes."""


class MemoryShard:
    """The one shard: its log, its chain of runs, and its general ledger."""

    def __init__(self, flow: ShardFlow, on_run: Callable[[int, HeldRun], None]) -> None:
        self.flow, self.on_run = flow, on_run
        self.memory, self.mark = KeptMemory(), Watermark()
        self.reference = Reference()
        self.journal = MemoryJournal()
        self.runs: dict[int, HeldRun] = {}
        self.refused: dict[int, Refusal] = {}
        self.verdicts: dict[int, str] = {}
        self.sent: list[tuple[bytes, bytes]] = []
        self.unfolded: list[ValidRun] = []
        self.posts = True

    async def put(self, key: bytes, value: bytes) -> asyncio.Future[Receipt]:
        """As PartitionAppender.put."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        future.set_result(Receipt(0, self.append(key, value)))
        return future

    async def flush(self) -> None:
        """Nothing waits."""

    def append(self, key: bytes, value: bytes) -> int:
        """Append a record, and take its run all the way; its offset."""
        self.sent.append((key, value))
        draft = READER.decode(value)
        learnt = self.memory.memory()
        record = Received(self.mark.end, now(), key, value, draft)
        decision = settle([record], watermark=self.mark, memory=learnt, reference=self.reference)
        self.memory.keep(learnt)
        at = self.mark.decisions_offset
        after = decision.after(self.mark, decisions_offset=at)
        run = ValidRun(decision, at, self.mark, after)
        self.refused |= {each.offset: each for each in outcomes_of(decision).refused}
        self.verdicts |= verdicts(decision)
        self.unfolded.append(run)
        held = self.runs[at] = self.flow.take_run(run, at=now())
        if self.posts:
            self.journal.post(0, self.mark, [PostingRun(decision, at, run.content, run.voided)])
            self.flow.take_posted(after.end, now())
            self.flow.take_compared(after.end, now())
        self.mark = after
        self.on_run(0, held)
        return record.offset


class MemoryPast(PastRuns):
    """Runs by their decision offset."""

    def __init__(self, shard: MemoryShard) -> None:
        self._shard = shard

    async def at(self, shard: int, decisions_offset: int) -> HeldRun:
        return self._shard.runs[decisions_offset]


class MemoryDrafts(LoggedDrafts):
    """What was appended, by its offset."""

    def __init__(self, shard: MemoryShard) -> None:
        self._shard = shard

    async def at(self, shard: int, offset: int) -> Draft | None:
        found = READER.decode(self._shard.sent[offset][1])
        return None if isinstance(found, Refused) else found


class MemoryAudit:
    """Keeps every action."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    @asynccontextmanager
    async def action(
        self, actor: Actor, name: str, targets: Any, detail: str = ""
    ) -> AsyncIterator[Action]:
        made = Action("request", actor, name, targets, detail=detail)
        self.actions.append(made)
        yield made


class MemoryView:
    """Balances as they are given."""

    def __init__(self) -> None:
        self.known: dict[str, list[Balance]] = {}

    def many(self, accounts: Any) -> dict[str, list[Balance]]:
        return {account: self.known.get(account, []) for account in accounts}

    is_ready = True

    def state(self) -> Any:
        return SimpleNamespace(as_of=now(), problem=None if self.is_ready else "They are read.")


class MemoryIds:
    """The general ledger's ids, as Past finds them; `known` None: it cannot be asked."""

    def __init__(self) -> None:
        self.known: dict[str, Accepted] | None = {}

    async def find(self, ids: Any) -> Any:
        if self.known is None:
            return None
        return {name: self.known[name] for name in ids if name in self.known}


class ApiLedger:
    """Make it within an event loop; `close` it."""

    def __init__(self) -> None:
        settings = Settings()
        self.flow = Flow(settings)
        shard = ShardFlow.at(0, self.flow._recent, Watermark())
        self.flow._topics = SimpleNamespace(shards=[shard])  # type: ignore[assignment]
        self.flow._opened.set()
        self.shard = MemoryShard(shard, self.flow._take_run)
        self.publishing = Publishing(settings)
        self.publishing._publisher, self.publishing._why = self.publisher(settings), None
        self.database = Database[Books](lambda: self.shard.journal, at_once=1)
        self.kept = MemoryHistory()
        self.history = Database[History](lambda: self.kept, at_once=1)
        self.audit, self.view, self.ids = MemoryAudit(), MemoryView(), MemoryIds()
        self.drafts, self.signer = MemoryDrafts(self.shard), Signer(b"k" * 32)
        self.services = TransactionServices.over(
            Parts(
                settings=settings,
                database=self.database,
                history=self.history,
                signer=self.signer,
                audit=self.audit,  # type: ignore[arg-type]
                flow=self.flow,
                past=MemoryPast(self.shard),
                drafts=self.drafts,
                publishing=self.publishing,
                dating=Dating(self.ids),  # type: ignore[arg-type]
                view=self.view,  # type: ignore[arg-type]
            )
        )

    def publisher(self, settings: Settings) -> Publisher:
        made = Publisher(settings)
        made._records = SimpleNamespace(codec=Codec({"Transaction": SCHEMA_ID}))

        async def catch_up() -> None:
            """It knows."""

        made._reference = SimpleNamespace(  # type: ignore[assignment]
            known=self.shard.reference, catch_up=catch_up, policy=policy_of(settings)
        )
        made._appenders = [self.shard]  # type: ignore[list-item]
        made._opened_by = os.getpid()
        return made

    def caller(self, *accounts: str, scopes: Any = ("admin",)) -> Caller:
        return Caller("token:t", Permission.of(scopes, accounts), "127.0.0.1")

    def database_away(self) -> None:
        """Every question fails."""

        async def ask(question: Any) -> Any:
            raise Problem("DATABASE_UNAVAILABLE", "It does not answer.")

        self.database.ask = ask  # type: ignore[method-assign]
        self.history.ask = ask  # type: ignore[method-assign]
        self.ids.known = None

    def fold(self) -> None:
        """History takes what was decided since."""
        runs, self.shard.unfolded = self.shard.unfolded, []
        self.kept.fold([folded(runs)])

    def close(self) -> None:
        self.database.close()
        self.history.close()

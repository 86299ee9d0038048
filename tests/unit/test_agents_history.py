"""History's stage on a writer in memory: never ahead of what is reconciled, each run once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from agents import historian as module
from agents.history import HistoryStage
from agents.runtime.lanes import Gap
from agents.runtime.runs import Run
from ledger.domain.run import Watermark
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.history.writing import HistoryFold
from ledger.gl.journal import JournalUnavailable
from tests.decision_log import DecisionLog
from tests.integration.gl_history import folded
from tests.integration.gl_runs import moved
from tests.runtimes import runtime

TOPIC = TP("ledger.decisions", 0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two database transactions nobody waits here."""
    monkeypatch.setattr(module, "FOLD_EACH_SECONDS", 0.0)


class Writer(MemoryHistory):
    """Folds as it is told: raises `refusal` before, or `unknown` after it has folded."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Exception | None = None
        self.unknown: Exception | None = None
        self.asked: list[list[tuple[int, int]]] = []

    def fold(self, folds: Sequence[HistoryFold]) -> None:
        self.asked.append([(each.shard, len(each.runs)) for each in folds])
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal
        super().fold(folds)
        unknown, self.unknown = self.unknown, None
        if unknown is not None:
            raise unknown


class Compared:
    """Progress whose positions a test sets."""

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}
        self._listener: Callable[[int], None] = lambda shard: None

    def on_move(self, listener: Callable[[int], None]) -> None:
        self._listener = listener

    def end(self, shard: int) -> int:
        return self.ends.get(shard, 0)

    def move(self, end: int, shard: int = 0) -> None:
        self.ends[shard] = end
        self._listener(shard)


class Codec:
    """A record's value is its decision, as an index."""

    ids: ClassVar = {"Transaction": 1}

    def __init__(self, log: DecisionLog) -> None:
        self._log = log

    def decode(self, name: str, value: bytes) -> dict[str, Any]:
        return self._log.runs[int(value)].decision.row()


class Kafka:
    """A decision log that reaches as far as its runs, and has the last one that is asked for."""

    def __init__(self, log: DecisionLog) -> None:
        self._log = log

    async def bounds(self, topic: str, shard: int) -> tuple[int, int]:
        return 0, len(self._log.runs)

    async def read(self, topic: str, shard: int, start: int, until: int) -> Any:
        yield [record(self._log.runs[at]) for at in range(start, until)]


def record(run: ValidRun) -> ConsumerRecord:
    at = run.decisions_offset
    return ConsumerRecord(TOPIC.topic, 0, at, 0, 0, None, b"%d" % at, None, 0, 1, ())


def taken(runs: Sequence[ValidRun]) -> Run:
    first, last = runs[0].decisions_offset, runs[-1].decisions_offset
    return Run(TOPIC, first, last + 1, [record(each) for each in runs])


class World:
    """A stage over a log of four runs."""

    def __init__(self, tmp_path: Path) -> None:
        self.log, self.writer, self.compared = DecisionLog(), Writer(), Compared()
        for offset in range(4):
            self.log.run(moved(offset, 10 + offset))
        self.reopened: list[TP] = []
        consumer = SimpleNamespace(
            assignment=lambda: {TOPIC}, opened={TOPIC}, reopen=self.reopened.append
        )
        made = runtime(tmp_path, codec=Codec(self.log), log=Kafka(self.log), consumer=consumer)
        self.stage = HistoryStage(made, self.compared, self.writer)  # type: ignore[arg-type]

    @property
    def at(self) -> int:
        """The decision offset up to which it is folded."""
        return self.writer.positions().get(0, Watermark()).decisions_offset


def story(tmp_path: Path, told: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World(tmp_path)
        assert await world.stage.open(0) == 0
        await told(world)

    asyncio.run(whole())


async def turns() -> None:
    """Whatever can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def test_it_folds_as_far_as_is_reconciled_and_no_further(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        taking = asyncio.ensure_future(world.stage.take(taken(world.log.runs)))
        await turns()
        assert (world.at, world.stage.behind(0)) == (0, (0, 0.0))
        world.compared.move(2)
        await turns()
        assert world.at == 2
        assert not taking.done()
        world.compared.move(4)
        assert await taking == 4
        assert world.writer.positions() == {0: world.log.runs[-1].after}
        assert world.writer.asked == [[(0, 2)], [(0, 2)]]

    story(tmp_path, told)


def test_it_says_how_far_it_is_behind(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        world.compared.move(3)
        count, seconds = world.stage.behind(0)
        assert count == 3
        assert 0 <= seconds < 5
        assert world.stage.behind(7) == (0, 0.0)
        await world.stage.take(taken(world.log.runs[:3]))
        assert world.stage.behind(0) == (0, 0.0)

    story(tmp_path, told)


def test_a_run_that_is_missing_is_a_gap(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        world.compared.move(4)
        with pytest.raises(Gap) as gap:
            await world.stage.take(taken(world.log.runs[1:]))
        assert gap.value.position == 0
        assert world.writer.asked == []

    story(tmp_path, told)


def test_what_comes_again_is_folded_once(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        world.compared.move(4)
        assert await world.stage.take(taken(world.log.runs[:3])) == 3
        assert await world.stage.take(taken(world.log.runs)) == 4
        assert world.writer.asked == [[(0, 3)], [(0, 1)]]

    story(tmp_path, told)


def test_a_commit_without_an_answer_is_asked_about(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        world.compared.move(4)
        world.writer.unknown = JournalUnavailable("the answer is lost")
        assert await world.stage.take(taken(world.log.runs)) == 4
        assert world.writer.asked == [[(0, 4)]]

    story(tmp_path, told)


def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        world.compared.move(4)
        world.writer.refusal = JournalUnavailable("it is away")
        assert await world.stage.take(taken(world.log.runs)) == 4
        assert world.writer.asked == [[(0, 4)]] * 2

    story(tmp_path, told)


def test_a_database_that_refuses_stops_the_shard(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        world.compared.move(4)
        world.writer.refusal = InvariantBroken("never")
        with pytest.raises(InvariantBroken, match="never"):
            await world.stage.take(taken(world.log.runs))
        assert world.at == 0

    story(tmp_path, told)


@pytest.mark.parametrize("theirs", [1, 2, 4])
def test_where_another_worker_has_folded_it_goes_on_from_there(tmp_path: Path, theirs: int) -> None:
    async def told(world: World) -> None:
        world.compared.move(4)
        world.writer.fold([folded(world.log.runs[:theirs])])
        if theirs == 4:
            assert await world.stage.take(taken(world.log.runs)) == 4
            return
        with pytest.raises(Gap) as gap:
            await world.stage.take(taken(world.log.runs))
        assert gap.value.position == theirs
        assert await world.stage.take(taken(world.log.runs[theirs:])) == 4
        assert world.writer.positions() == {0: world.log.runs[-1].after}

    story(tmp_path, told)


def test_history_that_was_dropped_is_opened_again_and_folded_from_its_beginning(
    tmp_path: Path,
) -> None:
    async def told(world: World) -> None:
        world.compared.move(4)
        await world.stage.take(taken(world.log.runs[:3]))
        shard = world.stage._shards[0]
        known = shard.idle_at()
        shard.note_position(known, world.log.runs[2].after)
        assert world.reopened == []
        world.writer._shards.clear()
        shard.note_position(known, Watermark())
        assert world.reopened == [TOPIC]
        assert await world.stage.open(0) == 0
        assert await world.stage.take(taken(world.log.runs)) == 4

    story(tmp_path, told)


def test_a_run_that_waited_while_its_shard_was_opened_elsewhere_is_a_gap(tmp_path: Path) -> None:
    async def told(world: World) -> None:
        taking = asyncio.ensure_future(world.stage.take(taken(world.log.runs)))
        await turns()
        world.writer.fold([folded(world.log.runs[:2])])
        assert await world.stage.open(0) == 2
        world.compared.move(4)
        with pytest.raises(Gap) as gap:
            await taking
        assert gap.value.position == 2
        assert world.at == 2

    story(tmp_path, told)


def test_a_shard_whose_tables_were_wrong_is_opened_once_they_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        world = World(tmp_path)

        def refused() -> None:
            raise InvariantBroken("column layout does not exist")

        with monkeypatch.context() as patch:
            patch.setattr(world.writer, "positions", refused)
            with pytest.raises(InvariantBroken, match="column"):
                await world.stage.open(0)
        shard = world.stage._shards[0]
        shard.note_position(shard.idle_at(), Watermark())
        assert world.reopened == [TOPIC]
        assert await world.stage.open(0) == 0
        shard.note_position(shard.idle_at(), Watermark())
        assert world.reopened == [TOPIC]

    asyncio.run(whole())


def test_a_log_that_was_made_anew_keeps_the_shard_closed(tmp_path: Path) -> None:
    async def whole() -> None:
        world, other = World(tmp_path), DecisionLog()
        other.run(moved(0, 99))
        world.writer.fold([folded(other.runs)])
        with pytest.raises(InvariantBroken, match="another run at 0"):
            await world.stage.open(0)

    asyncio.run(whole())


def test_shards_that_wait_together_are_one_database_transaction() -> None:
    async def whole() -> None:
        writer = Writer()
        made = module.Historian(writer)
        logs = [DecisionLog(shard) for shard in range(3)]
        for log in logs:
            log.run(moved(0, 5))
        folds = [folded(log.runs, shard) for shard, log in enumerate(logs)]
        await asyncio.gather(*(made.fold(each, 10) for each in folds))
        assert writer.asked == [[(0, 1), (1, 1), (2, 1)]]

    asyncio.run(whole())


def test_of_shards_that_fail_together_each_is_tried_alone() -> None:
    async def whole() -> None:
        writer = Writer()
        made = module.Historian(writer)
        logs = [DecisionLog(shard) for shard in range(2)]
        for log in logs:
            log.run(moved(0, 5))
        folds = [folded(log.runs, shard) for shard, log in enumerate(logs)]
        writer.refusal = InvariantBroken("one of them")
        found = await asyncio.gather(
            *(made.fold(each, 10) for each in folds), return_exceptions=True
        )
        assert [type(each) for each in found] == [JournalUnavailable] * 2
        await asyncio.gather(*(made.fold(each, 10) for each in folds))
        assert writer.asked == [[(0, 1), (1, 1)], [(0, 1)], [(1, 1)]]

    asyncio.run(whole())

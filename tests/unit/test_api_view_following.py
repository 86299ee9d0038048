"""The view whatever fails: Kafka, the registry, the disk, its own files. It never ends by itself."""

import asyncio
import contextlib
import itertools
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from ledger.api.view import following as module
from ledger.api.view.copy import BalanceCopy
from ledger.api.view.following import Following
from ledger.api.view.kept import Place
from ledger.api.view.looking import CopyLost, Looking
from ledger.api.view.reached import Reached
from ledger.api.view.view import BalanceView
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from tests.api_view import change


class Asked:
    """In place of the first question to Kafka: what it raises, one after the other."""

    def __init__(self):
        self.raises, self.times, self.moved = [Unavailable("no Kafka")], 0, asyncio.Event()

    async def __call__(self, *_):
        self.times += 1
        self.moved.set()
        raise self.raises[min(self.times, len(self.raises)) - 1]

    async def until(self, times):
        while self.times < times:
            self.moved.clear()
            await self.moved.wait()


@pytest.fixture
def asked(monkeypatch):
    made = Asked()
    monkeypatch.setattr(module, "ledger_partitions", made)
    monkeypatch.setattr(module, "AGAIN_SECONDS", (0.001, 0.01))
    return made


def filled(folder):
    """A folder with a copy that is whole."""
    copy = BalanceCopy(folder / "copy")
    copy.begin("topic", {0: 0})
    copy.take(0, [change("assets:a", debits=5)], Place(0, 1))
    copy.note_coverage({0: (4,)})
    copy.as_of = 1_000
    copy.close()


def play(story):
    return asyncio.run(asyncio.wait_for(story(), 60))


def view_in(folder):
    return BalanceView(Settings(data_dir=folder), folder)


@pytest.mark.parametrize("error", [Unavailable("no Kafka"), LedgerError("no topic"), OSError(28, "No space left"),
                                   RuntimeError("unforeseen"), Exception("IO error: No space left on device")])  # fmt: skip
def test_it_tries_again_and_answers_meanwhile(asked, tmp_path, error):
    asked.raises = [error]
    filled(tmp_path)

    async def story():
        async with view_in(tmp_path) as view:
            await asked.until(4)
            state = view.state()
            assert state.is_ready
            assert state.problem == str(error)
            assert view.balances("assets:a")[0].posted == "0.05"
            assert view.complete_to("assets:a") == {0: 4}

    play(story)


def test_files_that_are_damaged_are_read_again(asked, tmp_path):
    asked.raises = [Exception("Corruption: bad block"), Unavailable("no Kafka")]
    filled(tmp_path)

    async def story():
        async with view_in(tmp_path) as view:
            await asked.until(3)
            assert not view.state().is_ready
            assert view.balances("assets:a") == []
            assert view.origin == ""

    play(story)


def test_a_reader_that_finds_damage_is_told_to_come_back(asked, tmp_path, monkeypatch):
    filled(tmp_path)

    async def story():
        async with view_in(tmp_path) as view:

            def damaged(*_):
                raise Exception("Corruption: bad block")

            monkeypatch.setattr(view._copy, "balances", damaged)
            with pytest.raises(Unavailable, match="damaged and is read again"):
                view.balances("assets:a")
            assert view._following._looking._damage is not None

    play(story)


def test_a_copy_that_could_not_be_begun_anew_is_begun_later(tmp_path, monkeypatch):
    filled(tmp_path)
    copy = BalanceCopy(tmp_path / "copy")
    reached = Reached()
    following = Following(Settings(data_dir=tmp_path), copy, reached, lambda *_: None)
    with monkeypatch.context() as patched:
        patched.setattr("ledger.api.view.copy.Store", full)
        following._fail(Exception("Corruption: bad block"))
    assert not reached.is_ready
    assert "No space" in reached.state().problem
    assert copy.origin == ""
    copy.begin("topic", {0: 0})
    assert copy.balances("assets:a") == []
    copy.close()
    copy.close()


def full(*_):
    raise OSError(28, "No space left on device")


def test_what_was_written_last_is_there_after_a_restart(asked, tmp_path):
    filled(tmp_path)

    async def story():
        async with view_in(tmp_path) as view:
            view._reached.parts[0].coverage.ends = (9,)
            view._reached.parts[0].is_noted = False
        async with view_in(tmp_path) as view:
            assert view.complete_to("assets:a") == {0: 9}

    play(story)


def test_a_folder_is_free_again_after_a_start_that_failed(asked, tmp_path, monkeypatch):
    async def story():
        with monkeypatch.context() as patched:
            patched.setattr("ledger.api.view.copy._opened", lambda path: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                async with view_in(tmp_path):
                    pass
        async with view_in(tmp_path) as view:
            assert not view.state().is_ready
            with pytest.raises(LedgerError, match="in use by another API process"):
                async with view_in(tmp_path):
                    pass

    play(story)


def test_a_task_that_swallows_a_cancellation_ends_all_the_same(monkeypatch):
    """As aiokafka does where it is being stopped."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.01)

    async def story():
        begun = asyncio.Event()

        async def stubborn():
            for _ in range(3):
                with contextlib.suppress(asyncio.CancelledError):
                    begun.set()
                    await asyncio.get_running_loop().create_future()

        async def failing():
            raise RuntimeError("it failed")

        tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
        await begun.wait()
        await module.end(tasks)
        assert all(task.done() for task in tasks)

    play(story)


def test_a_client_that_does_not_stop_is_left(monkeypatch):
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.01)

    async def story():
        class Hanging:
            async def close(self):
                await asyncio.get_running_loop().create_future()

        await module._closed(Hanging())

    play(story)


@pytest.mark.parametrize(
    ("origin", "bounds", "why"),
    [
        ("topic", [(0, 1)], None),
        ("topic", [(0, 100)], None),
        ("another", [(0, 100)], "made again"),
        ("topic", [(0, 0)], "ends at 0, and 1 had been read"),
        ("topic", [(2, 9)], "begins at 2, and 1 was to be read next"),
        ("topic", [(0, 1), (0, 1)], "had 1 partitions"),
    ],
)  # fmt: skip
def test_what_the_topic_no_longer_has_is_noticed(tmp_path, origin, bounds, why):
    filled(tmp_path)
    copy = BalanceCopy(tmp_path / "copy")
    following = Following(Settings(data_dir=tmp_path), copy, SimpleNamespace(), lambda *_: None)
    there = {TopicPartition("ledger.balances", number): each for number, each in enumerate(bounds)}
    found = following._why_lost(origin, copy.places(), there)
    assert (found is None) if why is None else (why in found)
    copy.close()


class Fetched:
    """In place of a Reader: what aiokafka has fetched, which it decodes as it hands it on."""

    def __init__(self, records):
        self.left, self.handed, self.position = list(records), [], 0
        self.emptied = asyncio.Event()

    async def lists(self, seconds=0.5, most=None):
        found = self.left[:most]
        del self.left[:most]
        if not found:
            self.emptied.set()
            await asyncio.get_running_loop().create_future()
        self.handed.append(len(found))
        self.position += len(found)
        return {TP: found}

    async def positions(self):
        return {TP: self.position}


class Known:
    """In place of Decoding: a record's change is its value."""

    async def learn(self, *_):
        """All schemas are known."""

    def change_in(self, record):
        return record.value


TP = TopicPartition("ledger.balances", 0)


def test_others_have_their_turn_while_much_is_read(tmp_path):
    """Of 20,000 records that are there at once, a few hundred are decoded or taken in one turn."""
    copy, reached = BalanceCopy(tmp_path), Reached()
    copy.begin("topic", {0: 0})
    reached.begin([0], {}, None)
    following = Following(Settings(data_dir=tmp_path), copy, reached, lambda *_: None)
    following._starts = [0]
    records = [
        SimpleNamespace(
            offset=each, value=change(f"assets:{each % 900}", debits=each, version=each)
        )
        for each in range(20_000)
    ]

    async def story():
        fetched, taken = Fetched(records), [0]
        reading = asyncio.create_task(following._read_on(fetched, Known()))
        while not fetched.emptied.is_set():
            await asyncio.sleep(0)
            taken.append(reached.parts[0].position)
        await module.end([reading])
        assert max(fetched.handed) <= 1_000
        assert max(later - former for former, later in itertools.pairwise(taken)) <= 200
        assert taken[-1] == len(records)

    play(story)
    assert copy.sums_under("assets")["CAD"].accounts == 900
    copy.close()


class Clock:
    """In place of the module `time`."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Answering:
    """In place of a Reader: partition 0 ends where its leader says."""

    def __init__(self, end):
        self.end, self.assigned = end, None

    async def bounds(self, partitions):
        return {tp: (0, self.end if tp.topic == "ledger.balances" else 0) for tp in partitions}

    def assign(self, starts):
        self.assigned = starts


@pytest.fixture
def beginning(tmp_path, monkeypatch):
    """What begins to follow a copy that is read to offset 1; the clock; and its copy."""
    filled(tmp_path)
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)

    async def origin(*_):
        return "topic"

    monkeypatch.setattr(module, "topic_id", origin)
    copy = BalanceCopy(tmp_path / "copy")
    yield Following(Settings(data_dir=tmp_path), copy, Reached(), lambda *_: None), clock, copy
    copy.close()


def test_a_new_leader_that_is_behind_for_a_moment_costs_no_copy(beginning):
    following, clock, copy = beginning

    async def story():
        behind, caught_up = Answering(0), Answering(1)
        for _ in range(5):
            with pytest.raises(Unavailable, match="ends at 0, and 1 had been read"):
                await following._begin(None, behind, 1)
            clock.now += 0.9
        await following._begin(None, caught_up, 1)
        assert caught_up.assigned
        # The next election begins from nothing.
        clock.now += 60
        with pytest.raises(Unavailable):
            await following._begin(None, behind, 1)
        assert copy.balances("assets:a")[0].posted == "0.05"

    play(story)


def test_a_topic_that_stays_shorter_than_what_was_read_was_cut(beginning):
    following, clock, _ = beginning

    async def story():
        with pytest.raises(Unavailable):
            await following._begin(None, Answering(0), 1)
        clock.now += 5
        with pytest.raises(CopyLost, match="ends at 0, and 1 had been read"):
            await following._begin(None, Answering(0), 1)

    play(story)


def test_an_end_before_what_was_read_is_asked_for_again_before_it_counts(tmp_path):
    copy, reached = BalanceCopy(tmp_path), Reached()
    reached.begin([7], {}, None)
    looking = Looking("ledger.balances", copy, reached)
    with pytest.raises(Unavailable, match="ends at 6, and 7 had been read"):
        looking._note_ends({TP: 6}, [7], None)
    copy.close()

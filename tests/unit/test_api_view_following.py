"""The view whatever fails: Kafka, the registry, the disk, its own files. It never ends by itself."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from ledger.api.view import following as module
from ledger.api.view.copy import BalanceCopy
from ledger.api.view.following import Following
from ledger.api.view.kept import Place
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

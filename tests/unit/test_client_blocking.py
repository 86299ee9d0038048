"""Clients without an event loop: one mechanism for both, and what a fork has of them."""

import asyncio
import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import CancelledError

import pytest

from ledger.client import BlockingBalanceReader, BlockingPublisher, PublishFailed, Receipt
from ledger.client.balances import BalanceReader, Changes
from ledger.client.publisher import Publisher
from ledger.client.resource import AsyncResource
from ledger.domain.balance import Balance
from ledger.errors import LedgerError
from tests.builders import draft

LIGHT = """
import sys
from ledger.client import {names}
print(len(sys.modules), *sorted({{each.partition(".")[0] for each in sys.modules}}))
"""


class FakePublisher(AsyncResource):
    """Acknowledges everything at once; fails an id "fault"."""

    def __init__(self):
        self.ended = []

    async def _enter(self, stack):
        stack.push_async_callback(self._end)

    async def _end(self):
        self.ended.append(threading.current_thread().name)

    async def publish(self, found):
        self.require_open()
        if found["transaction_id"] == "fault":
            raise PublishFailed("Kafka is away.")
        return Receipt(0, len(found["transaction_id"]))

    async def submit(self, found):
        future = asyncio.get_running_loop().create_future()
        future.set_result(await self.publish(found))
        return future


class FakeReader(AsyncResource):
    """What the blocking reader uses of a BalanceReader; `publish` changes a balance."""

    def __init__(self):
        self.known, self.changes, self._accounts = {}, set(), None

    async def _enter(self, stack):
        self.moved = asyncio.Condition()

    get = BalanceReader.get
    begin_changes, end_changes = BalanceReader.begin_changes, BalanceReader.end_changes
    next_change, follow, _each = (
        BalanceReader.next_change,
        BalanceReader.follow,
        BalanceReader._each,
    )
    wait_for = BalanceReader.wait_for
    _known = property(lambda self: self.known)
    _changes = property(lambda self: self.changes)
    _follower = property(lambda self: self)

    async def snapshot(self):
        self.require_open()
        return dict(self.known)

    async def wait_until(self, reached):
        async with self.moved:
            await self.moved.wait_for(reached)

    async def publish(self, balance):
        self.known[balance.account, balance.currency] = balance
        for each in self.changes:
            each.waiting[balance.account, balance.currency] = balance
        async with self.moved:
            self.moved.notify_all()


class Sends(BlockingPublisher):
    def _make(self):
        self._order, self._room = asyncio.Lock(), threading.BoundedSemaphore(10)
        self.fake = FakePublisher()
        return self.fake


class Reads(BlockingBalanceReader):
    def _make(self):
        self.fake = FakeReader()
        return self.fake

    def change(self, balance):
        self._run(self.fake.publish(balance)).result()


def balance(account, version):
    return Balance(
        account, "CAD", 2, "1.00", "0.00", "1.00", "0.00", version, "reconciled", version
    )


def in_a_fork(work):
    """What `work` raises or returns in a child of this process, as text."""
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            try:
                said = f"returned {work()!r}"
            except LedgerError as error:
                said = str(error)
            except BaseException:
                said = traceback.format_exc()
            os.write(write, said.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as found:
        said = found.read()
    os.waitpid(child, 0)
    return said


def test_publishing_from_any_thread():
    with Sends() as publisher:
        assert publisher.publish(draft("abc")) == Receipt(0, 3)
        with pytest.raises(PublishFailed):
            publisher.publish(draft("fault"))
        many = [draft("x" * length) for length in range(1, 1_200)]
        found = list(publisher.publish_many(many))
    assert [receipt.offset for _, receipt in found] == list(range(1, 1_200))
    assert publisher.fake.ended == ["Sends"], "it is closed on its own thread"
    with pytest.raises(LedgerError, match="is closed, or was never opened"):
        publisher.publish(draft("abc"))
    with pytest.raises(LedgerError, match="This BlockingPublisher is closed"):
        BlockingPublisher().submit(draft("abc"))


@pytest.mark.parametrize(
    "use",
    [
        lambda publisher: publisher.publish(draft("abc")),
        lambda publisher: publisher.submit(draft("abc")),
        lambda publisher: list(publisher.publish_many([draft("abc")])),
    ],
)
def test_a_publisher_in_a_fork_raises_at_once(use):
    with Sends() as publisher:
        said = in_a_fork(lambda: use(publisher))
        assert publisher.publish(draft("abc")) == Receipt(0, 3), "the parent's goes on"
    assert f"was opened in process {os.getpid()} and does not work in process" in said
    assert said.endswith("Open one in each process, after the fork.")


def test_leaving_the_block_in_a_fork_does_not_hang():
    with Sends() as publisher:
        assert in_a_fork(lambda: publisher.__exit__(None, None, None)) == "returned None"
        assert publisher.publish(draft("abc")) == Receipt(0, 3)


def test_async_clients_in_a_fork_raise_at_once():
    async def scenario():
        async with FakePublisher() as fake, FakeReader() as reader:
            publisher = Publisher.__new__(Publisher)
            publisher._opened_by = fake._opened_by
            submitted = publisher.submit(draft())
            return [
                in_a_fork(lambda: reader.get("assets:cash", "CAD")),
                in_a_fork(reader.follow),
                in_a_fork(lambda: submitted.send(None)),
            ], submitted.close()

    for said in asyncio.run(scenario())[0]:
        assert "does not work in process" in said


def test_balances_are_read_and_followed():
    with Reads() as reader:
        first, second = balance("assets:cash", 1), balance("assets:cash", 2)
        reader.change(first)
        assert reader.get("assets:cash", "CAD") == first
        assert reader.get("assets:cash", "USD") is None
        assert reader.snapshot() == {("assets:cash", "CAD"): first}
        changes, all_ = reader.follow(), reader.follow(known=True)
        assert next(all_) == first
        reader.change(second)
        assert [next(changes), next(all_)] == [second, second]
        assert reader.wait_for(lambda each: each.version == 2, seconds=5) == second
        with pytest.raises(TimeoutError):
            reader.wait_for(lambda each: each.version == 3, seconds=0.01)
        changes.close()
        assert reader.snapshot(), "calls are made in order, so the end of `changes` is done"
        assert len(reader.fake.changes) == 1
        said = [in_a_fork(use) for use in (
            lambda: reader.get("assets:cash", "CAD"), reader.snapshot, lambda: next(all_),
            reader.follow, lambda: reader.wait_for(lambda each: True),
        )]  # fmt: skip
    assert all("This Reads was opened in process" in each for each in said), said


def test_a_reader_of_some_accounts_knows_no_others():
    with Reads() as reader:
        reader.fake._accounts = frozenset({"assets:cash"})
        assert reader.get("assets:cash", "CAD") is None
        with pytest.raises(LedgerError, match="assets:other is none of the accounts that this"):
            reader.get("assets:other", "CAD")
    with pytest.raises(TypeError, match="give a list"):
        BalanceReader(accounts="assets:cash")


def test_threads_that_publish_while_it_is_closed_all_end():
    """Each call returns, raises LedgerError, or is cancelled: none waits for a loop that ended."""

    def publish(publisher, said):
        while not said:
            try:
                publisher.publish(draft("abc"))
            except (LedgerError, CancelledError) as error:
                said.append(error)

    for _ in range(20):
        said = [[] for _ in range(8)]
        with Sends() as publisher:
            threads = [
                threading.Thread(target=publish, args=(publisher, each), daemon=True)
                for each in said
            ]
            for thread in threads:
                thread.start()
            publisher.publish(draft("abc"))
        for thread in threads:
            thread.join(10)
        assert all(said)


def test_it_is_opened_once_at_a_time():
    publisher = Sends()
    with publisher:
        with pytest.raises(LedgerError, match="is open already"):
            publisher.__enter__()
        assert publisher.publish(draft("abc")) == Receipt(0, 3)
    with publisher:
        assert publisher.publish(draft("abc")) == Receipt(0, 3), "opened again after its end"


def test_one_who_waits_learns_that_the_reader_is_closed():
    ended = threading.Event()

    def wait():
        try:
            reader.wait_for(lambda each: False)
        except BaseException:
            ended.set()

    with Reads() as reader:
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not reader.fake.changes:
            reader.snapshot()
    waiting.join(10)
    assert ended.is_set()


@pytest.mark.parametrize(
    ("names", "most"),
    [
        ("BlockingPublisher, BlockingBalanceReader, PublishFailed, Reason, Receipt, Refused", 250),
        ("Balance, Draft, credit, debit, transaction", 250),
    ],
)
def test_importing_the_client_imports_no_kafka(names, most):
    """Half a second: a program that may publish starts without it, and its tests do."""
    script = LIGHT.format(names=names)
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(printed[0]) < most
    heavy = {"aiokafka", "httpx", "pydantic", "sqlalchemy", "tenacity", "rich"}
    assert not heavy & set(printed)


def test_every_name_of_the_client_is_there():
    import ledger.client

    assert all(getattr(ledger.client, name) for name in ledger.client.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ledger.client.Nothing
    assert Changes({}).waiting == {}

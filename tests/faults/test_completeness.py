"""Answers say what they lack: one shard stopped, a worker stopped, Kafka away, shards that rest."""

import json
import time

import psycopg
import pytest

from ledger.cli.completeness import INCOMPLETE
from ledger.domain.partition import partition_of
from tests.faults.conftest import lasting
from tests.faults.world import kill
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.faults

SHARDS = 2
STOPPED, OTHER = 1, 0


class Books:
    """A ledger of two shards, and what the commands say of it."""

    def __init__(self, world):
        self.world = world
        self.count = 0
        self.published = dict.fromkeys(range(SHARDS), 0)

    def publish(self, shard, count=3, *options):
        rows = []
        while len(rows) < count:
            self.count += 1
            name = f"t-{self.count}"
            if partition_of(name.encode(), SHARDS) == shard:
                rows.append(row(name))
        self.published[shard] += count
        file = self.world.data_dir / "lines.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in rows))
        self.world.run("publish", file, *options)

    def asked(self, *words):
        """Exit status, rows, and what was said on stderr."""
        child = self.world.start(*words, "--json")
        out, err = child.communicate(timeout=PATIENCE)
        assert "Traceback" not in err
        return child.returncode, [json.loads(line) for line in out.splitlines()], err

    def sql(self, statement, *values):
        address = self.world.settings.database_url.replace("+psycopg", "")
        with psycopg.connect(address) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else found.rowcount

    def all_complete(self):
        for words in ALL:
            status, rows, err = self.asked(*words)
            assert (status, err) == (0, ""), words
            assert all(each["complete"] for each in rows)
            assert all(each["missing"] == [] for each in rows)
            assert cash_of(rows) == 5 * sum(self.published.values()), words

    entry = None


ALL = (
    ("balances",),
    ("balances", "--source", "ledger"),
    ("balances", "--as-of", "2190-01-01"),
    ("trial-balance",),
    ("trial-balance", "--as-of", "2190-01-01"),
)


def row(name):
    legs = (("assets:cash", "debit"), ("liabilities:deposits", "credit"))
    return {
        "transaction_id": name, "kind": "deposit", "effective_at": "2026-11-20T15:00:00Z",
        "created_at": now(),
        "entries": [{"account": account, "side": side, "amount": "5.00", "currency": "CAD"}
                    for account, side in legs],
    }  # fmt: skip


def now(ago=0.0):
    stamp = time.time() - ago
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp)) + f".{int(stamp % 1 * 1e6):06}Z"


def cash_of(rows):
    """Whole CAD in assets:cash of either command's answer."""
    accounts = rows[0].get("accounts", rows)
    [found] = [each["posted"] for each in accounts if each["account"] == "assets:cash"]
    return int(found.removesuffix(".00"))


@pytest.fixture(scope="module")
def books(request):
    with lasting(request.session) as world:
        world.environment["FAUST_LEDGER_SHARDS"] = str(SHARDS)
        world.up(1)
        made = Books(world)
        made.publish(OTHER, 3, "--wait")
        yield made


def test_shards_that_rest_are_no_noise(books):
    """One has taken nothing ever; the answer is complete up to now, by either time."""
    books.all_complete()
    status, [found], err = books.asked("trial-balance", "--as-of", now(), "--by", "recorded")
    assert (status, err, found["complete"]) == (0, "", True)
    assert cash_of([found]) == 15
    until(
        lambda: books.asked("balances", "--as-of", now(2), "--by", "recorded")[0] == 0, "it rests"
    )
    said = books.world.run("balances")
    assert "Complete: everything that was in the log at " in said
    assert "all 2 shards." in said


def test_a_time_to_come_is_never_complete(books):
    status, rows, err = books.asked("balances", "--as-of", "2100-01-01", "--by", "recorded")
    assert status == INCOMPLETE
    assert cash_of(rows) == 15
    assert not any(each["complete"] for each in rows)
    assert "NOT COMPLETE: 2100-01-01T00:00:00Z had not passed" in err


@pytest.mark.fault(
    "one shard's posting stopped: its row in the database is another chain's",
    "the others go on; answers say which shard lacks how much, with exit status 4",
)
def test_one_shard_stopped(books):
    books.publish(STOPPED, 2, "--wait")
    before = now()
    [(digest,)] = books.sql("SELECT digest FROM shards WHERE shard = %s", STOPPED)
    said = len(books.world.log("worker-1"))
    books.sql("UPDATE shards SET digest = %s WHERE shard = %s", bytes(32), STOPPED)
    until(lambda: "another run" in books.world.log("worker-1")[said:], "the alarm")
    books.publish(STOPPED, 4)
    books.publish(OTHER, 1, "--wait")
    posted = 5 * (3 + 2 + 1)
    for words in ALL:
        status, rows, err = books.asked(*words)
        assert status == INCOMPLETE, words
        if words != ("balances",):
            assert cash_of(rows) == posted, words
        assert "NOT COMPLETE: shard 1 is counted up to position 2 of 6" in err
        assert "4 records wait" in err
        assert "shard 0" not in err
        for each in rows:
            assert not each["complete"]
            [missing] = each["missing"]
            place = (missing["shard"], missing["position"], missing["log_end"], missing["waiting"])
            assert place == (STOPPED, 2, 6, 4)
    _, [trial], _ = books.asked("trial-balance")
    assert {shard: each["waiting"] for shard, each in trial["through"].items()} == {"0": 0, "1": 4}
    assert "NOT COMPLETE: shard 1" in books.world.finish(books.world.start("balances"), code=4)
    # By recorded time what was before that is all there, and what came since is not.
    status, rows, err = books.asked("balances", "--as-of", before, "--by", "recorded")
    assert (status, err, cash_of(rows)) == (0, "", 5 * 5)
    status, rows, _ = books.asked("balances", "--as-of", now(), "--by", "recorded")
    assert (status, cash_of(rows)) == (INCOMPLETE, posted)
    books.sql("UPDATE shards SET digest = %s WHERE shard = %s", digest, STOPPED)
    until(lambda: books.asked("balances")[0] == 0, "it goes on")
    books.all_complete()


def test_a_worker_stopped_is_records_not_decided(books):
    """SIGSTOP: nothing is decided meanwhile."""
    with books.world.stopped(books.world.agent("worker-1", "stream")):
        books.publish(OTHER, 2)
        for words in ALL:
            status, rows, err = books.asked(*words)
            assert status == INCOMPLETE, words
            assert cash_of(rows) == 5 * (sum(books.published.values()) - 2)
            assert "2 records wait" in err
    until(lambda: books.asked("balances")[0] == 0, "it goes on")
    books.all_complete()


@pytest.mark.fault(
    "Kafka dead while books are read",
    "the general ledger's answer is there and says that its completeness is not known",
)
def test_without_kafka_it_is_not_known(books):
    status, rows, _ = books.asked("trial-balance")
    proved = min(each["recorded_through"] for each in rows[0]["through"].values())
    times = [
        int(found)
        for (found,) in books.sql("SELECT extract(epoch FROM recorded_until) FROM shards")
    ]
    kill(books.world.service("kafka"))
    try:
        for words in ALL[1:]:
            status, rows, err = books.asked(*words)
            assert status == INCOMPLETE, words
            assert cash_of(rows) == 5 * sum(books.published.values())
            assert "Whether this is complete is not known: Kafka" in err
        assert rows[0]["unknown"]
        # The database alone proves what every shard has gone past.
        past = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(times)))
        assert past <= proved
        status, _, err = books.asked("balances", "--as-of", past, "--by", "recorded")
        assert status == 0
        assert "COMPLETE" not in err
        status, _, _ = books.asked("balances", "--as-of", now(), "--by", "recorded")
        assert status == INCOMPLETE
    finally:
        books.world.up(1)
    until(lambda: books.asked("balances")[0] == 0, "it goes on")
    books.all_complete()

"""The comparators: same stack, same transactions, a database of their own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from aiokafka import TopicPartition
from psycopg import sql
from sqlalchemy import make_url

from ledger.bench.child import BenchProgram, Row
from ledger.bench.cpu import CpuClock, between
from ledger.errors import LedgerError
from ledger.gl.postgresql.migrate import upgrade
from ledger.settings import Settings
from ledger.stack import files, identity, postgres
from ledger.stack.record import Record
from ledger.streaming.topics import topics

COMPARATOR_DATABASE = "ledger_compared"


async def floor(
    record: Record,
    settings: Settings,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Row:
    """Post the transactions at offsets [starts, ends) of the stack's topic again."""
    name = topics(settings).transactions.name
    with empty_database(record, settings):
        needs = {
            "bootstrap_servers": settings.bootstrap_servers, "topic": name,
            "database_url": within(settings.service_database_url),
        }  # fmt: skip
        return await _measured(record, "floor", needs, {
            "starts": {tp.partition: at for tp, at in starts.items() if tp.topic == name},
            "ends": {tp.partition: at for tp, at in ends.items() if tp.topic == name},
        })  # fmt: skip


async def single(record: Record, settings: Settings, count: int) -> Row:
    """Process the first `count` transactions one at a time, as in Faust's user guide."""
    with empty_database(record, settings), TemporaryDirectory() as place:
        needs = {
            "bootstrap_servers": settings.bootstrap_servers,
            "topic": topics(settings).transactions.name, "shards": settings.shards,
            "database_url": within(settings.service_database_url), "data_dir": place,
        }  # fmt: skip
        return await _measured(record, "single", needs, {"count": count})


async def _measured(record: Record, name: str, needs: Row, order: Row) -> Row:
    """The order's report, with the CPU time of `ledger.bench.<name>`, broker and database."""
    async with BenchProgram(f"ledger.bench.{name}", needs) as child:
        clock = CpuClock(record, {name: child.pid})
        before = clock.read()
        report = await child.order(order)
        spent = between(before, clock.read())
    count, counted = report["transactions"], ("broker", "postgres", name)
    return {
        "transactions": count,
        "seconds": round(report["seconds"], 3),
        "throughput": round(count / report["seconds"], 1),
        "postings": report["postings"],
        "cpu_us_per_transaction": {each: round(1e6 * spent[each] / count, 1) for each in counted},
    }


@contextmanager
def empty_database(
    record: Record, settings: Settings, database: str = COMPARATOR_DATABASE
) -> Iterator[None]:
    """An empty general ledger in a database of this name, which is dropped afterwards."""
    place = files.layout(record.data_dir)
    me = identity.load_identity(place)
    if me is None:
        raise LedgerError(f"{record.data_dir} is not the data directory of a stack.")
    name = sql.Identifier(database)
    with postgres.connect(place, me) as server:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
        server.execute(drop)
        owner = sql.Identifier("ledger_owner")
        server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
        try:
            upgrade(within(settings.database_url, database))
            yield
        finally:
            server.execute(drop)


def within(url: str, database: str = COMPARATOR_DATABASE) -> str:
    """The address of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)

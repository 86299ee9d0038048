"""The comparators: on the same stack, with the same transactions, into a database of their own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from aiokafka import TopicPartition
from psycopg import sql
from sqlalchemy import make_url

from ledger.bench.child import Child, Row
from ledger.bench.cpu import Clock, between
from ledger.errors import LedgerError
from ledger.gl.postgresql.migrate import upgrade
from ledger.settings import Settings
from ledger.stack import files, identity, postgres
from ledger.stack.record import Record
from ledger.streaming.topics import topics

DATABASE = "ledger_compared"


async def floor(
    record: Record,
    settings: Settings,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Row:
    """Post the transactions at offsets [starts, ends) of the stack's topic once more."""
    name = topics(settings).transactions.name
    with database(record, settings) as url:
        needs = {
            "bootstrap_servers": settings.bootstrap_servers, "topic": name, "database_url": url,
        }  # fmt: skip
        return await _measured(record, "floor", needs, {
            "starts": {tp.partition: at for tp, at in starts.items() if tp.topic == name},
            "ends": {tp.partition: at for tp, at in ends.items() if tp.topic == name},
        })  # fmt: skip


async def single(record: Record, settings: Settings, count: int) -> Row:
    """Take the first `count` transactions of the stack one at a time, as Faust's guide has it."""
    with database(record, settings) as url, TemporaryDirectory() as place:
        needs = {
            "bootstrap_servers": settings.bootstrap_servers,
            "topic": topics(settings).transactions.name, "shards": settings.shards,
            "database_url": url, "data_dir": place,
        }  # fmt: skip
        return await _measured(record, "single", needs, {"count": count})


async def _measured(record: Record, name: str, needs: Row, order: Row) -> Row:
    """The order's report, and what it cost `ledger.bench.<name>` and those that serve it."""
    async with Child(f"ledger.bench.{name}", needs) as child:
        clock = Clock(record, {name: child.pid})
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
def database(record: Record, settings: Settings) -> Iterator[str]:
    """The posting service's URL of an empty general ledger, gone afterwards."""
    place = files.layout(record.data_dir)
    me = identity.load(place)
    if me is None:
        raise LedgerError(f"{record.data_dir} is not a stack's data directory.")
    name = sql.Identifier(DATABASE)
    with postgres.connect(place, me) as server:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
        server.execute(drop)
        owner = sql.Identifier("ledger_owner")
        server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
        try:
            upgrade(_within(settings.database_url))
            yield _within(settings.service_database_url)
        finally:
            server.execute(drop)


def _within(url: str) -> str:
    return make_url(url).set(database=DATABASE).render_as_string(hide_password=False)

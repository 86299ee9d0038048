"""History over SQLAlchemy: queries that PostgreSQL and Oracle understand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, or_, select

from ledger.domain.history import ZERO, Figures
from ledger.domain.run import Watermark
from ledger.gl.books import BalanceRow
from ledger.gl.history import period_figures
from ledger.gl.history.account_lines import SqlLines
from ledger.gl.history.books import (
    History,
    HistoryBalances,
    HistoryRefusal,
    LinesPage,
    LinesQuery,
    RefusalsPage,
    RefusalsQuery,
)
from ledger.gl.history.dated_figures import dated_figures_of_all
from ledger.gl.history.paging import read_page
from ledger.gl.history.period_figures import (
    early_figures_of_all,
    effective_figures_of_all,
    late_figures_of_all,
)
from ledger.gl.history.registers import register_of
from ledger.gl.history.stripe_figures import (
    added_up,
    effective_figures,
    read_stripes,
    recorded_figures,
)
from ledger.gl.history.tables import accounts, positions, refusals
from ledger.gl.history.why import Share, WhyAnswer, WhyQuery, explain
from ledger.gl.lookups import Register, RegisterQuery
from ledger.gl.reads import is_under, parts

FEW = 200
"""Accounts under a path that are cheaper one by one than as a part of all accounts."""


class SqlHistory(History):
    """`read`: connections that are in a repeatable read, and know the schema of history."""

    def __init__(self, read: Engine, faults: Callable[[], AbstractContextManager[None]]) -> None:
        self._read, self._faults = read, faults

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._faults(), self._read.connect() as connection:
            yield connection

    def positions(self) -> Mapping[int, Watermark]:
        with self._reading() as connection:
            return read_positions(connection)

    def as_of(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        effective_before: int | None = None,
        recorded_before: int | None = None,
    ) -> HistoryBalances:
        before = effective_before, recorded_before
        with self._reading() as connection:
            marks = read_positions(connection)
            rows: list[BalanceRow] = []
            for chosen in _choices(accounts, prefix):
                if chosen is not None and (accounts is not None or _are_few(connection, chosen)):
                    figures = _figures_of_few(connection, chosen, *before)
                else:
                    figures = _figures_of_many(connection, chosen, *before)
                rows += _rows(connection, chosen, figures)
            return HistoryBalances(marks, rows)

    def lines(self, query: LinesQuery) -> LinesPage:
        with self._reading() as connection:
            return SqlReading(connection).page(query)

    def register(self, account: str, **query: Unpack[RegisterQuery]) -> Register | None:
        with self._reading() as connection:
            return register_of(SqlReading(connection), account, query)

    def why(self, query: WhyQuery) -> WhyAnswer:
        with self._reading() as connection:
            return explain(SqlReading(connection), query)

    def refusals(self, query: RefusalsQuery) -> RefusalsPage:
        with self._reading() as connection:
            marks = read_positions(connection)
            rows = connection.execute(refusals_query(query)).all()
        page = [HistoryRefusal(*row) for row in rows[: query.limit]]
        following = page[-1][:3] if len(rows) > query.limit else None
        return RefusalsPage(marks, page, following)

    def refusals_between(self, shard: int, start: int, end: int) -> RefusalsPage:
        table = refusals.c
        query = select(*_REFUSAL).where(table.shard == shard, table.log_offset >= start)
        query = query.where(table.log_offset < end).order_by(table.log_offset)
        with self._reading() as connection:
            marks = read_positions(connection)
            found = [HistoryRefusal(*row) for row in connection.execute(query)]
        return RefusalsPage(marks, found, None)

    def close(self) -> None:
        self._read.dispose()


class SqlReading:
    """`Reading` over a connection that is in a repeatable read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def positions(self) -> Mapping[int, Watermark]:
        return read_positions(self._connection)

    def balances(
        self, account: str, effective_before: int | None, recorded_before: int | None
    ) -> Sequence[BalanceRow]:
        chosen = accounts.c.account == account
        times = effective_before, recorded_before
        figures = _figures_of_few(self._connection, chosen, *times)
        return _rows(self._connection, chosen, figures)

    def shares(
        self, account: str, effective_before: int | None, recorded_before: int | None
    ) -> Sequence[Share]:
        chosen = accounts.c.account == account
        found = read_stripes(self._connection, chosen, recorded_before)
        figures = {each.id: each.figures for each in found}
        if effective_before is not None:
            figures = effective_figures(self._connection, found, effective_before, recorded_before)
        named = select(accounts.c.id, accounts.c.currency).where(chosen)
        currencies = dict(self._connection.execute(named).all())
        made = (Share(currencies[each.account_id], each.shard, figures[each.id]) for each in found)
        return sorted(each for each in made if each.figures != ZERO)

    def page(self, query: LinesQuery) -> LinesPage:
        source = SqlLines(self._connection, query.account, query.currency)
        return read_page(source, query, self.positions())

    def has_voids(self, account: str) -> bool:
        """Lines that take one back lower the number of entries below that of lines."""
        chosen = accounts.c.account == account
        found = read_stripes(self._connection, chosen, None)
        return any(each.lines != each.figures.entries for each in found)


def read_positions(connection: Connection) -> dict[int, Watermark]:
    """How far each shard is folded that has a run."""
    names = ("shard", "decisions_offset", "end_offset", "digest", "recorded_until")
    query = select(*(positions.c[name] for name in names)).order_by(positions.c.shard)
    marks = {
        shard: Watermark(offset, end, bytes(digest), until)
        for shard, offset, end, digest, until in connection.execute(query)
    }
    return {shard: mark for shard, mark in marks.items() if mark != Watermark()}


def _choices(
    names: Sequence[str] | None, prefix: str | None
) -> Iterator[ColumnElement[bool] | None]:
    """Conditions on accounts, in order of their names; None for all of them."""
    under = None if prefix is None else is_under(accounts.c.account, prefix)
    if names is None:
        yield under
        return
    for part in parts(names):
        named = accounts.c.account.in_(part)
        yield named if under is None else named & under


def _are_few(connection: Connection, chosen: ColumnElement[bool]) -> bool:
    some = select(accounts.c.id).where(chosen).limit(FEW + 1).subquery()
    count = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return bool(count <= FEW)


def _figures_of_few(
    connection: Connection,
    chosen: ColumnElement[bool],
    effective_before: int | None,
    recorded_before: int | None,
) -> dict[int, Figures]:
    """By account id, from the accounts' stripes one by one."""
    if effective_before is None:
        return recorded_figures(connection, chosen, recorded_before)
    found = read_stripes(connection, chosen, recorded_before)
    by_stripe = effective_figures(connection, found, effective_before, recorded_before)
    made: dict[int, Figures] = {}
    for each in found:
        before = made.get(each.account_id, ZERO)
        made[each.account_id] = added_up((before, by_stripe[each.id]))
    return made


def _figures_of_many(
    connection: Connection,
    chosen: ColumnElement[bool] | None,
    effective_before: int | None,
    recorded_before: int | None,
) -> dict[int, Figures]:
    """By account id, from totals of all accounts where these have the answer."""
    if recorded_before is None:
        if effective_before is None:
            return recorded_figures(connection, chosen, None)
        return effective_figures_of_all(connection, chosen, effective_before)
    dated = dated_figures_of_all(connection, chosen, effective_before, recorded_before)
    if dated is not None:
        return dated
    recorded = recorded_figures(connection, chosen, recorded_before)
    if effective_before is None:
        return recorded
    effective = effective_figures_of_all(connection, chosen, effective_before)
    # What is before both times is either of these without what is before one time alone: without
    # late lines, or without those made ahead. The fewer are read.
    if _entries(effective) <= _entries(recorded):
        late = late_figures_of_all(
            connection, chosen, effective_before=effective_before, recorded_from=recorded_before
        )
        return period_figures.differences(effective, late)
    early = early_figures_of_all(
        connection, chosen, effective_from=effective_before, recorded_before=recorded_before
    )
    return period_figures.differences(recorded, early)


def _entries(figures: Mapping[int, Figures]) -> int:
    return sum(each.entries for each in figures.values())


def _rows(
    connection: Connection, chosen: ColumnElement[bool] | None, figures: Mapping[int, Figures]
) -> list[BalanceRow]:
    """Sorted; without accounts that have nothing."""
    names = (accounts.c.id, accounts.c.account, accounts.c.currency, accounts.c.scale)
    query = select(*names).order_by(accounts.c.account, accounts.c.currency)
    rows = connection.execute(query if chosen is None else query.where(chosen))
    return [
        BalanceRow(account, currency, scale, *figures[id_])
        for id_, account, currency, scale in rows
        if figures.get(id_, ZERO) != ZERO
    ]


_REFUSAL = [refusals.c[name] for name in (
    "recorded_at", "shard", "log_offset", "transaction_id", "code", "field", "reason", "producer",
)]  # fmt: skip
"""The columns of a HistoryRefusal."""


def refusals_query(query: RefusalsQuery) -> Select[Any]:
    """The statement of a page, with one row more than the page has."""
    table = refusals.c
    found = select(*_REFUSAL).order_by(*(each.desc() for each in _REFUSAL[:3]))
    for column, wanted in (
        (table.transaction_id, query.transaction_id),
        (table.code, query.code),
        (table.producer, query.producer),
    ):
        if wanted is not None:
            found = found.where(column == wanted)
    if query.recorded_from is not None:
        found = found.where(table.recorded_at >= query.recorded_from)
    if query.recorded_before is not None:
        found = found.where(table.recorded_at < query.recorded_before)
    if query.after is not None:
        at, shard, offset = query.after
        same_shard = (table.shard == shard) & (table.log_offset < offset)
        same_time = (table.recorded_at == at) & or_(table.shard < shard, same_shard)
        found = found.where(table.recorded_at <= at, or_(table.recorded_at < at, same_time))
    return found.limit(query.limit + 1)

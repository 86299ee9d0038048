"""History's tables in PostgreSQL, filled as any moment of the writer may leave them.

What is derived (totals, periods, blocks) is made for a part of the lines that is chosen at random,
so that readers are held to answers and not to a writer's habits.
"""

import random
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from ledger.domain import history
from ledger.domain.history import BlockName, Figures, Line, fold
from ledger.domain.run import Stripe, Watermark
from ledger.gl.history.tables import (
    SCHEMA,
    accounts,
    blocks,
    lines,
    metadata,
    periods,
    positions,
    refusals,
    schema_of,
    stripes,
    totals,
)
from ledger.gl.history.writing import HistoryFold
from tests.integration.gl_database import Database

ALL = ", ".join(f"{schema_of('public')}.{table.name}" for table in metadata.tables.values())


def fill(
    database: Database,
    folds: Iterable[HistoryFold],
    dice: random.Random,
    share: float | None = None,
) -> None:
    """Write what the folds make; the tables are emptied first.

    `share`: of the blocks and lines that are made and counted; any without it.
    """
    database.run(f"TRUNCATE {ALL} RESTART IDENTITY")
    with database.engine(database.owner) as engine:
        placed = engine.execution_options(schema_translate_map={SCHEMA: schema_of("public")})
        with placed.begin() as connection:
            _Filling(connection, dice, share).fill(folds)


class _Filling:
    def __init__(self, connection: Connection, dice: random.Random, share: float | None) -> None:
        self._connection, self._dice, self._share = connection, dice, share
        self._accounts: dict[Stripe, int] = {}
        self._stripes: dict[tuple[int, int], int] = {}
        self._rows: list[dict[str, Any]] = []

    def fill(self, folds: Iterable[HistoryFold]) -> None:
        running: dict[int, dict[tuple[str, str], history.Running]] = {}
        ends: dict[int, tuple[Watermark, int]] = {}
        for number, each in enumerate(folds, 1):
            before = running.setdefault(each.shard, {})
            for run in each.runs:
                touched = [(run.content, run.content.scales)]
                touched += [(voided.transaction, list(voided.scales)) for voided in run.voided]
                for content, scales in touched:
                    for stripe, scale in zip(content.stripes(), scales, strict=True):
                        if stripe not in before:
                            key = self._key(each.shard, stripe, scale)
                            before[stripe] = history.Running(key, scale)
            made = fold(each.runs, before)
            self._rows += (self._row(Line._make(fields), number) for fields in made.lines)
            ends[each.shard] = each.runs[-1].after, number
            self._refuse(each, made.refusals)
        self._insert(lines, self._rows)
        counted = {shard: self._counted(end) for shard, (_, end) in ends.items()}
        self._position(ends, counted)
        self._count(counted)
        self._block()

    def _counted(self, end: int) -> int:
        if self._share is not None:
            return int(end * self._share)
        return self._dice.choice((0, end, self._dice.randint(0, end)))

    def _row(self, line: Line, folded_at: int) -> dict[str, Any]:
        fields = line._asdict()
        row = {"n": fields.pop("number"), "log_offset": fields.pop("offset"), **fields}
        return row | {"folded_at": folded_at}

    def _insert(self, table: Any, rows: list[dict[str, Any]]) -> None:
        for at in range(0, len(rows), 2_000):
            self._connection.execute(insert(table), rows[at : at + 2_000])

    def _key(self, shard: int, stripe: Stripe, scale: int) -> int:
        if stripe not in self._accounts:
            row = {"account": stripe.account, "currency": stripe.currency, "scale": scale}
            made = self._connection.execute(insert(accounts).values(row).returning(accounts.c.id))
            self._accounts[stripe] = made.scalar_one()
        key = self._accounts[stripe], shard
        if key not in self._stripes:
            row = {"account_id": key[0], "shard": shard}
            made = self._connection.execute(insert(stripes).values(row).returning(stripes.c.id))
            self._stripes[key] = made.scalar_one()
        return self._stripes[key]

    def _refuse(self, each: HistoryFold, found: Iterable[Any]) -> None:
        rows = [
            {
                "shard": each.shard,
                "log_offset": refusal.offset,
                "decisions_offset": decisions_offset,
                "producer": each.producers.get(refusal.offset, ""),
                **{name: getattr(refusal, name)
                   for name in ("recorded_at", "transaction_id", "code", "field", "reason")},
            }
            for decisions_offset, refusal in found
        ]  # fmt: skip
        self._insert(refusals, rows)

    def _position(
        self, ends: Mapping[int, tuple[Watermark, int]], counted: Mapping[int, int]
    ) -> None:
        rows = [
            {
                "shard": shard,
                "decisions_offset": mark.decisions_offset,
                "end_offset": mark.end,
                "digest": mark.digest,
                "recorded_until": mark.recorded_until,
                "folded_at": folded_at,
                "totalled_at": counted[shard],
            }
            for shard, (mark, folded_at) in ends.items()
        ]
        self._insert(positions, rows)

    def _count(self, counted: Mapping[int, int]) -> None:
        """Totals of some lines, at the usual levels, and at finer ones in some periods."""
        shards = {id_: shard for (_, shard), id_ in self._stripes.items()}
        owners = {id_: account for (account, _), id_ in self._stripes.items()}
        chosen = [row for row in self._rows if row["folded_at"] <= counted[shards[row["stripe"]]]]
        sums: dict[tuple[int, int, int], Figures] = {}
        split: dict[tuple[int, int], bool] = {}
        recorded: dict[tuple[int, int], list[int]] = {}
        for row in chosen:
            level = history.LEVELS[0]
            is_split = True
            while is_split:
                period = row["effective_at"] >> level
                key = level, period, owners[row["stripe"]]
                sums[key] = _plus(sums.get(key, Figures()), row)
                recorded.setdefault((level, period), []).append(row["recorded_at"])
                may_split = level <= history.LEVELS[-1] and level > history.FINEST
                if (level, period) not in split:
                    by_chance = may_split and self._dice.random() < 0.8
                    split[level, period] = level > history.LEVELS[-1] or by_chance
                is_split = split[level, period]
                level -= history.SPLIT_STEP if level <= history.LEVELS[-1] else history.LEVEL_STEP
        self._insert(totals, [
            dict(zip(("level", "period", "account_id", "debits", "credits", "entries"),
                     (*key, *figures), strict=True)) for key, figures in sums.items()
        ])  # fmt: skip
        self._insert(periods, [
            {"level": level, "period": period, "is_split": int(is_split),
             "lines": len(recorded[level, period]),
             "first_recorded": min(recorded[level, period]),
             "last_recorded": max(recorded[level, period])}
            for (level, period), is_split in split.items()
        ])  # fmt: skip

    def _block(self) -> None:
        """Some of the blocks that could be made."""
        by_stripe: dict[int, list[dict[str, Any]]] = {}
        for row in self._rows:
            by_stripe.setdefault(row["stripe"], []).append(row)
        share = self._dice.choice((0.0, 0.5, 0.9, 1.0)) if self._share is None else self._share
        for stripe, rows in by_stripe.items():
            rows.sort(key=lambda row: row["n"])
            for block in range(len(rows) // history.BLOCK):
                for name in history.completed(block):
                    if self._dice.random() < share:
                        self._insert(blocks, _pieces(stripe, name, rows))


def _plus(figures: Figures, row: Mapping[str, Any]) -> Figures:
    signed = row["change"] * row["amount"]
    added = (signed, 0) if row["amount"] > 0 else (0, -signed)
    return Figures(*map(int.__add__, figures, (*added, row["change"])))


def _pieces(stripe: int, name: BlockName, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    size = history.BLOCK * history.BLOCKS_TOGETHER**name.level
    part = rows[name.block * size : (name.block + 1) * size]
    found = history.pieces((row["effective_at"], row["amount"], row["change"]) for row in part)
    return [
        {
            "stripe": stripe,
            "level": name.level,
            "block": name.block,
            "first_effective": piece.effective_at[0],
            "piece": number,
            "lines": piece.packed(),
            **piece.before._asdict(),
        }
        for number, piece in enumerate(found)
    ]


def placed_rows(connection: Connection) -> int:
    """How many lines there are."""
    return len(connection.execute(select(lines.c.n)).all())

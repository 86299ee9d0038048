"""Exports as Parquet: exact decimals with 38 digits, times in UTC to the microsecond.

`amount` (and so on) is a decimal of the currency's unit, with as many decimals as the currency with
most has; `minor_units` is the same in whole minor units, and `scale` the currency's decimals.
"""

from collections.abc import Iterable, Iterator
from decimal import Context, Decimal
from importlib import import_module
from itertools import islice
from typing import Any, BinaryIO

from ledger.domain.account import on_normal_side
from ledger.errors import LedgerError
from ledger.gl.rows import PostedTransaction
from ledger.reports.exports import JournalExport
from ledger.reports.figures import Sided
from ledger.reports.rendered import ExtraMissing

DIGITS = 38
"""Of a decimal128."""
ROWS = 50_000
"""Rows of a group."""
_EXACT = Context(prec=80)

Row = dict[str, Any]


def decimal_of(minor: int, scale: int, shown: int) -> Decimal:
    """Units of the currency, exactly, with `shown` decimals. Raises LedgerError if too long."""
    found = minor * 10 ** (shown - scale)
    if len(str(abs(found))) > DIGITS:
        raise LedgerError(
            f"{minor} minor units with {shown} decimals have more than {DIGITS} digits, which is "
            "what a decimal of Parquet holds. Export as CSV, where an amount is of any length."
        )
    return Decimal(found).scaleb(-shown, _EXACT)


def write_journal_parquet(export: JournalExport, file: BinaryIO) -> int:
    """A row for each entry; returns how many there are. Raises ExtraMissing without pyarrow."""
    arrow, scale = _arrow(), max(export.books.scales().values(), default=0)
    text, time = arrow.string(), arrow.timestamp("us", tz="UTC")
    schema = arrow.schema([
        ("shard", arrow.int32()), ("offset", arrow.int64()), ("entry", arrow.int32()),
        ("transaction_id", text), ("kind", text), ("description", text), ("effective_at", time),
        ("recorded_at", time), ("account", text), ("currency", text), ("side", text),
        ("amount", arrow.decimal128(DIGITS, scale)), ("minor_units", arrow.decimal128(DIGITS, 0)),
        ("scale", arrow.int8()), ("reverses", text), ("metadata", text),
    ])  # fmt: skip
    rows = (row for each in export.transactions() for row in _entries(each, scale))
    return _write(schema, rows, file)


def _entries(each: PostedTransaction, shown: int) -> Iterator[Row]:
    for number, (account, currency, scale, amount) in enumerate(each.entries):
        yield {
            "shard": each.shard, "offset": each.offset, "entry": number,
            "transaction_id": each.transaction_id, "kind": each.kind,
            "description": each.description or None, "effective_at": each.effective_at,
            "recorded_at": each.recorded_at, "account": account, "currency": currency,
            "side": "debit" if amount > 0 else "credit",
            "amount": decimal_of(abs(amount), scale, shown),
            "minor_units": decimal_of(abs(amount), 0, 0), "scale": scale,
            "reverses": each.reverses or None, "metadata": each.metadata or None,
        }  # fmt: skip


def write_balances_parquet(rows: Iterable[Sided], file: BinaryIO) -> int:
    """A row for each account and currency; as `write_journal_parquet`."""
    arrow, found = _arrow(), list(rows)
    shown = max((each.scale for each in found), default=0)
    amount, whole = arrow.decimal128(DIGITS, shown), arrow.decimal128(DIGITS, 0)
    names = ("debits", "credits", "balance")
    schema = arrow.schema([
        ("account", arrow.string()), ("currency", arrow.string()),
        *((name, amount) for name in names), *((f"{name}_minor_units", whole) for name in names),
        ("scale", arrow.int8()), ("entries", arrow.int64()),
    ])  # fmt: skip
    return _write(schema, (_balance(each, shown) for each in found), file)


def _balance(each: Sided, shown: int) -> Row:
    balance = on_normal_side(each.account, debits=each.debits, credits=each.credits)
    amounts = {"debits": each.debits, "credits": each.credits, "balance": balance}
    return {
        "account": each.account, "currency": each.currency, "scale": each.scale,
        "entries": each.entries,
        **{name: decimal_of(minor, each.scale, shown) for name, minor in amounts.items()},
        **{f"{name}_minor_units": decimal_of(minor, 0, 0) for name, minor in amounts.items()},
    }  # fmt: skip


def _write(schema: Any, rows: Iterator[Row], file: BinaryIO) -> int:
    from pyarrow import Table
    from pyarrow.parquet import ParquetWriter

    count = 0
    with ParquetWriter(file, schema) as writer:
        while part := list(islice(rows, ROWS)):
            writer.write_table(Table.from_pylist(part, schema=schema))
            count += len(part)
    return count


def _arrow() -> Any:
    try:
        return import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise ExtraMissing("Parquet") from error

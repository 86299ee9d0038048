"""The register of an account by recorded time, from its lines in history."""

from ledger.gl.history.books import AccountLine, LineKey, LinesQuery
from ledger.gl.history.paging import FIRST, LAST
from ledger.gl.history.why import Reading
from ledger.gl.lookups import Register, RegisterLine, RegisterQuery, Sides

PAGE = 1_000


def register_of(reading: Reading, account: str, asked: RegisterQuery) -> Register | None:
    """The last lines of the account that are asked for, and its sums at their end.

    None where something of the account is void by now, or it is asked by effective time.
    """
    if asked.get("by", "effective") != "recorded" or reading.has_voids(account):
        return None
    currency, end = asked.get("currency"), asked.get("end")
    closing = {
        row.currency: Sides(row.scale, row.debits, row.credits, row.entries)
        for row in reading.balances(account, None, end)
        if currency in (None, row.currency)
    }
    return Register(reading.positions(), closing, _lines(reading, account, asked))


def _lines(reading: Reading, account: str, asked: RegisterQuery) -> list[RegisterLine]:
    end, limit, start = asked.get("end"), asked.get("limit"), asked.get("start")
    before: LineKey | None = LAST if end is None else FIRST._replace(recorded_at=end)
    found: list[RegisterLine] = []
    while before is not None and (limit is None or len(found) < limit):
        wanted = PAGE if limit is None else min(PAGE, limit - len(found))
        query = LinesQuery(
            account, asked.get("currency"), before=before, limit=wanted, recorded_from=start
        )
        page = reading.page(query)
        found[:0] = map(_register_line, page.lines)
        before = page.previous
    return found


def _register_line(line: AccountLine) -> RegisterLine:
    key = line.key
    return RegisterLine(
        line.effective_at, key.recorded_at, key.shard, key.offset, key.entry, line.transaction_id,
        line.kind, line.description, line.reverses, line.currency, line.scale, line.amount,
        line.other_side,
    )  # fmt: skip

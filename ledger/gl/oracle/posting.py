"""A posting in Oracle: array DML in bounded batches, and totals read back from what was stored."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Executable, Table, insert, select
from sqlalchemy.exc import DatabaseError, IntegrityError

from ledger.domain.balance import Totals, totals_after
from ledger.domain.run import Content, Stripe, Watermark
from ledger.gl.journal import Posting, PostingRun, Prepared, Superseded
from ledger.gl.oracle import statements
from ledger.gl.oracle.faults import DUPLICATE, OracleError
from ledger.gl.posting import named_refused, posted_run, same_scale
from ledger.gl.reads import parts, read_watermarks
from ledger.gl.rows import PostedVoid
from ledger.gl.tables import currencies, entries, runs, shards, stripes, transactions, voids

ROWS_AT_ONCE = 5_000
"""Rows that one statement sends: some megabytes, which the driver encodes before it sends them."""
_OF_RUN = (
    "shard", "decisions_offset", "start_offset", "end_offset", "follows", "digest",
    "outcomes_digest", "recorded_until", "reference_offset", "accepted", "reference_digest",
)  # fmt: skip
"""Columns of `runs` with the fields of a PostedRun, in their order."""

Values = dict[str, Any]
"""A row to add, by name of its column."""


def transaction_rows(shard: int, contents: Iterable[Content]) -> list[Values]:
    """Rows of table `transactions`."""
    return [
        {
            "shard": shard, "log_offset": offset, "transaction_id": name, "kind": kind,
            "description": description, "effective_at": effective_at, "recorded_at": recorded_at,
            "created_at": created_at, "ordering_key": key, "reverses": reverses,
            "metadata": metadata,
        }
        for content in contents
        for (offset, name, kind, description, effective_at, recorded_at, created_at, key, reverses,
             metadata) in zip(
            content.offsets, content.transaction_ids, content.kinds, content.descriptions,
            content.effective_at, content.recorded_at, content.created_at, content.ordering_keys,
            content.reverses, content.metadata, strict=True,
        )
    ]  # fmt: skip


def entry_rows(shard: int, contents: Iterable[Content]) -> list[Values]:
    """Rows of table `entries`."""
    return [
        {
            "shard": shard, "log_offset": offset, "entry": index, "account": account,
            "currency": currency, "side": "D" if amount > 0 else "C", "amount": abs(amount),
        }
        for content in contents
        for offset, legs in zip(content.offsets, content.legs(), strict=True)
        for index, (account, currency, amount) in enumerate(legs)
    ]  # fmt: skip


def add(connection: Connection, statement: Table | Executable, rows: Sequence[Values]) -> int:
    """Send rows in batches; none sends nothing, for the driver refuses an empty one.

    Returns how many rows of the database were changed.
    """
    sent = insert(statement) if isinstance(statement, Table) else statement
    return sum(
        connection.execute(sent, list(rows[at : at + ROWS_AT_ONCE])).rowcount
        for at in range(0, len(rows), ROWS_AT_ONCE)
    )


def move_shards(connection: Connection, prepared: Sequence[Prepared]) -> None:
    """Move the shards' rows to the new watermarks.

    Raises Superseded where a shard's row is not at the watermark that its posting follows.
    """
    # In order of shard, so that two writers of the same ones cannot deadlock.
    moves = sorted(prepared, key=lambda each: each.posting.shard)
    known = [each for each in moves if each.posting.before != Watermark()]
    new = [each for each in moves if each.posting.before == Watermark()]
    if add(connection, statements.MOVE_SHARD, [_move(each) for each in known]) != len(known):
        raise _superseded(connection, known)
    try:
        add(connection, shards, [_begin(each) for each in new])
    except IntegrityError as error:
        if OracleError.of(error.orig or error).code != DUPLICATE:
            raise
        raise _superseded(connection, new) from error


def _superseded(connection: Connection, moves: Sequence[Prepared]) -> Superseded:
    """Which of them it is; in a transaction of its own, for this one has changed other rows."""
    connection.rollback()
    marks = read_watermarks(connection)
    behind = [
        each for each in moves if marks.get(each.posting.shard, Watermark()) != each.posting.before
    ]
    return Superseded.of((behind or moves)[0].posting)


def _move(each: Prepared) -> Values:
    shard, before, after = each.posting.shard, each.posting.before, each.after
    return {
        "of_shard": shard,
        "from_decisions": before.decisions_offset,
        "from_end": before.end,
        "from_digest": before.digest,
        "to_decisions": after.decisions_offset,
        "to_end": after.end,
        "to_digest": after.digest,
        "to_recorded": after.recorded_until,
    }


def _begin(each: Prepared) -> Values:
    mark = each.after
    return {
        "shard": each.posting.shard,
        "decisions_offset": mark.decisions_offset,
        "end_offset": mark.end,
        "digest": mark.digest,
        "recorded_until": mark.recorded_until,
    }


def add_currencies(connection: Connection, scales: Mapping[str, int]) -> None:
    """Add currencies that are missing. Raises NotPostable where the ledger has other decimals."""
    if not scales:
        return
    # In order of code, so that two shards that bring the same new ones cannot deadlock.
    rows = [{"currency": name, "decimals": scales[name]} for name in sorted(scales)]
    try:
        with connection.begin_nested():
            add(connection, statements.ADD_CURRENCY, rows)
    except IntegrityError:
        # Another writer has committed one of them since: this time MERGE finds it.
        add(connection, statements.ADD_CURRENCY, rows)
    for part in parts(list(scales)):
        found = statements.SCALES.where(currencies.c.code.in_(part))
        for name, scale in connection.execute(found):
            same_scale(name, scales[name], scale)


def add_runs(connection: Connection, postings: Sequence[Posting]) -> list[dict[Stripe, Totals]]:
    """Add the runs, and their entries to the stripes.

    Returns for each posting the totals of the stripes that it touched.
    """
    add(connection, runs, [_run_row(run) for _, _, posted in postings for run in posted])
    left_out = [
        PostedVoid.of(shard, at, voided)
        for shard, _, posted in postings
        for run in posted
        for at, voided in run.left_out
    ]
    add(connection, voids, [_void_row(each) for each in _unknown(connection, left_out)])
    return [_add_to_stripes(connection, posting) for posting in postings]


def _add_to_stripes(connection: Connection, posting: Posting) -> dict[Stripe, Totals]:
    shard, _, posted = posting
    bounds = {
        "of_shard": shard,
        "first_offset": posted[0].decision.start,
        "past_offset": posted[-1].decision.end,
    }
    found: dict[Stripe, Totals] = {}
    if any(run.posted.offsets for run in posted):
        connection.execute(statements.ADD_TO_STRIPES, bounds)
        found = _totals(connection.execute(statements.TOUCHED, bounds))
    for run in posted:
        if run.voided:
            found |= _take_back(connection, shard, run)
    return found


def _totals(rows: Iterable[Any]) -> dict[Stripe, Totals]:
    return {
        Stripe(account, currency): Totals(int(debits), int(credits), count, offset)
        for account, currency, debits, credits, count, offset in rows
    }


def _take_back(connection: Connection, shard: int, run: PostingRun) -> dict[Stripe, Totals]:
    """Void transactions; of those that were left out only the stripes' last offset moves."""
    found: dict[Stripe, Totals] = {}
    for voided in run.voided:
        content = voided.transaction
        given = dict(zip(content.currencies, voided.scales, strict=True))
        _add_missing_currencies(connection, given)
        void = PostedVoid.of(shard, run.decisions_offset, voided)._replace(was_posted=True)
        was_posted = bool(list(_unknown(connection, [void])))
        if was_posted:
            add(connection, voids, [_void_row(void)])
        for stripe, totals in totals_after(content, {}).items():
            counted = totals if was_posted else Totals(0, 0, 0, 0)
            found[stripe] = _move_stripe(connection, shard, stripe, counted, voided.offset)
    return found


def _add_missing_currencies(connection: Connection, scales: Mapping[str, int]) -> None:
    """Without a comparison: a void is of what has, perhaps, other decimals than the ledger."""
    rows = [{"currency": name, "decimals": scales[name]} for name in sorted(scales)]
    add(connection, statements.ADD_CURRENCY, rows)


def _move_stripe(
    connection: Connection, shard: int, stripe: Stripe, less: Totals, offset: int
) -> Totals:
    """A stripe without what is taken back, at the void's position or a later one.

    The shard's row is locked by this transaction: nobody else changes its stripes.
    """
    is_its = (
        (stripes.c.account == stripe.account)
        & (stripes.c.currency == stripe.currency)
        & (stripes.c.shard == shard)
    )
    query = select(*statements.STRIPE_COLUMNS).where(is_its)
    known = _totals(connection.execute(query)).get(stripe)
    if known is None:
        row = {**stripe._asdict(), "shard": shard, "debits": 0, "credits": 0, "entries": 0}
        add(connection, stripes, [row | {"last_offset": offset}])
        return Totals(0, 0, 0, offset)
    last = max(known.offset, offset)
    given = {
        "of_account": stripe.account, "of_currency": stripe.currency, "of_shard": shard,
        "less_debits": less.debits, "less_credits": less.credits, "less_entries": less.entries,
        "to_offset": last,
    }  # fmt: skip
    connection.execute(statements.TAKE_BACK, given)
    return _totals(connection.execute(query))[stripe]


def _unknown(connection: Connection, given: Iterable[PostedVoid]) -> Iterator[PostedVoid]:
    """Those without a row: nobody else adds one, for the shard's row is locked.

    Looked up one by one, because there are few, and a MERGE cannot take their contents: Oracle
    binds more than 4,000 bytes only in the VALUES of an INSERT.
    """
    for each in given:
        is_its = (voids.c.shard == each.shard) & (voids.c.log_offset == each.offset)
        if connection.execute(select(voids.c.shard).where(is_its)).first() is None:
            yield each


def _void_row(void: PostedVoid) -> Values:
    columns = [column.name for column in voids.columns]
    return dict(zip(columns, void, strict=True)) | {"was_posted": int(void.was_posted)}


def _run_row(run: PostingRun) -> Values:
    row = dict(zip(_OF_RUN, posted_run(run), strict=True))
    return row | {"reference_digest": row["reference_digest"] or None}


def first_refused(connection: Connection, posting: Posting) -> str:
    """As `named_refused`, in a transaction that is rolled back."""
    with connection.begin() as attempt:
        found = named_refused(posting, partial(_accepts, connection, posting.shard))
        attempt.rollback()
    return found


def _accepts(connection: Connection, shard: int, contents: Sequence[Content]) -> bool:
    offsets = [offset for content in contents for offset in content.offsets]
    bounds = {"of_shard": shard, "first_offset": offsets[0], "past_offset": offsets[-1] + 1}
    attempt = connection.begin_nested()
    try:
        add(connection, transactions, transaction_rows(shard, contents))
        add(connection, entries, entry_rows(shard, contents))
        connection.execute(statements.ADD_TO_STRIPES, bounds)
    except DatabaseError as error:
        if OracleError.of(error.orig or error).is_passing:
            raise
        return False
    finally:
        attempt.rollback()
    return True

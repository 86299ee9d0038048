"""The statements of a posting, sent in as few round trips as the driver's pipeline allows."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import psycopg

from ledger.domain.balance import Totals, totals_after
from ledger.domain.run import Content, Stripe, Watermark
from ledger.errors import InvariantBroken
from ledger.gl.journal import JournalUnavailable, Posting, PostingRun, Prepared, Superseded
from ledger.gl.postgresql import copying
from ledger.gl.posting import named_refused, posted_run, same_scale
from ledger.gl.rows import PostedVoid
from ledger.gl.tables import to_datetime

_INSERT_SHARD = """
INSERT INTO shards (shard, decisions_offset, end_offset, digest, recorded_until)
VALUES (%(shard)s, %(decisions_offset)s, %(end)s, %(digest)s, %(recorded_until)s)
ON CONFLICT (shard) DO NOTHING
"""
# A second writer waits here for the first one's commit, then finds no such row.
_MOVE_SHARD = """
UPDATE shards
SET decisions_offset = %(decisions_offset)s, end_offset = %(end)s, digest = %(digest)s,
    recorded_until = %(recorded_until)s
WHERE shard = %(shard)s AND decisions_offset = %(before_offset)s
    AND end_offset = %(before_end)s AND digest = %(before_digest)s
"""
# A writer that was paused or cut off in the middle may keep the shard's row locked for ever: no
# timeout ends a COPY that waits for its rows, and idle_in_transaction_session_timeout is off once
# psycopg's pipeline has sent a Flush after its Sync. Its transaction can be ended: another writer
# has the shard.
END_ABANDONED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = current_user AND datname = current_database() AND wait_event = 'ClientRead'
    AND xact_start IS NOT NULL
    AND state_change < clock_timestamp() - make_interval(secs => %(secs)s)
"""
# In order of code, so that two shards that bring the same new currencies cannot deadlock.
_INSERT_CURRENCIES = """
INSERT INTO currencies (code, scale)
SELECT code, scale FROM unnest(%(codes)s::text[], %(scales)s::smallint[]) AS new (code, scale)
ORDER BY code COLLATE "C"
ON CONFLICT (code) DO NOTHING
"""
_SELECT_CURRENCIES = "SELECT code, scale FROM currencies WHERE code = ANY (%(codes)s)"
_INSERT_RUN = """
INSERT INTO runs (shard, decisions_offset, start_offset, end_offset, follows, digest,
    outcomes_digest, recorded_until, reference_offset, accepted, reference_digest)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# Sums what was stored and not what was sent, so that reconciliation compares two countings.
# Both ends are given so that the primary key is chosen even before the first ANALYZE.
_ADD_TO_STRIPES = """
INSERT INTO stripes AS known (account, currency, shard, debits, credits, entries, last_offset)
SELECT account, currency, shard, coalesce(sum(amount) FILTER (WHERE side = 'D'), 0),
    coalesce(sum(amount) FILTER (WHERE side = 'C'), 0), count(*), max(log_offset)
FROM entries
WHERE shard = %(shard)s AND log_offset >= %(start)s AND log_offset < %(end)s
GROUP BY account, currency, shard
ON CONFLICT (account, currency, shard) DO UPDATE
SET debits = known.debits + excluded.debits, credits = known.credits + excluded.credits,
    entries = known.entries + excluded.entries, last_offset = excluded.last_offset
RETURNING account, currency, debits::text, credits::text, entries, last_offset
"""
_INSERT_VOID = """
INSERT INTO voids (shard, log_offset, void_offset, recorded_at, run_offset, decisions_offset,
    authority, reason, content, was_posted)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (shard, log_offset) DO NOTHING
"""
_INSERT_STRIPE = """
INSERT INTO stripes (account, currency, shard, debits, credits, entries, last_offset)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_TAKE_BACK = """
INSERT INTO stripes AS known (account, currency, shard, debits, credits, entries, last_offset)
VALUES (%(account)s, %(currency)s, %(shard)s, 0, 0, 0, %(at)s)
ON CONFLICT (account, currency, shard) DO UPDATE
SET debits = known.debits - %(debits)s, credits = known.credits - %(credits)s,
    entries = known.entries - %(entries)s, last_offset = greatest(known.last_offset, %(at)s)
RETURNING account, currency, debits::text, credits::text, entries, last_offset
"""


class Opening(NamedTuple):
    """The beginning of a shadow's shard: `totals` of every stripe at `watermark`.

    `scales`: decimals by currency. `voids`: transactions that are left out of the totals, and
    voided by a run after the watermark.
    """

    watermark: Watermark
    totals: Mapping[Stripe, Totals]
    scales: Mapping[str, int]
    voids: Sequence[PostedVoid] = ()


def open_shard(driver: psycopg.Connection[Any], shard: int, opening: Opening) -> None:
    """Insert its rows. Raises InvariantBroken for a shard that has begun already."""
    mark, totals, scales, left_out = opening
    with driver.transaction(), driver.cursor() as cursor:
        cursor.execute(_INSERT_SHARD, _move_arguments(shard, Watermark(), mark))
        if cursor.rowcount != 1:
            raise InvariantBroken(
                f"Shard {shard} of this ledger has begun already; it cannot begin again."
            )
        cursor.execute(_INSERT_CURRENCIES, _codes(scales))
        cursor.executemany(_INSERT_VOID, map(_void_row, left_out))
        rows = ((*stripe, shard, *each) for stripe, each in totals.items())
        cursor.executemany(_INSERT_STRIPE, rows)


def move_shards(
    driver: psycopg.Connection[Any], prepared: Sequence[Prepared], scales: Mapping[str, int]
) -> None:
    """Begin, move the shards' rows to the new watermarks, add currencies: one round trip.

    Raises Superseded where a shard's row is not at the watermark that its posting follows.
    """
    # In order of shard, so that two writers of the same ones cannot deadlock.
    moves = [
        (each.posting, each.after, driver.cursor())
        for each in sorted(prepared, key=lambda each: each.posting.shard)
    ]
    known = driver.cursor()
    with driver.pipeline():
        driver.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        for (shard, before, _), after, moved in moves:
            statement = _INSERT_SHARD if before == Watermark() else _MOVE_SHARD
            moved.execute(statement, _move_arguments(shard, before, after))
        if scales:
            driver.execute(_INSERT_CURRENCIES, _codes(scales))
            known.execute(_SELECT_CURRENCIES, _codes(scales))
    for posting, _, moved in moves:
        if moved.rowcount != 1:
            raise Superseded.of(posting)
    for code, scale in known.fetchall() if scales else ():
        same_scale(code, scales[code], scale)


def _codes(scales: Mapping[str, int]) -> dict[str, object]:
    return {"codes": list(scales), "scales": list(scales.values())}


def _move_arguments(shard: int, before: Watermark, after: Watermark) -> dict[str, object]:
    return {
        "shard": shard,
        "decisions_offset": after.decisions_offset,
        "end": after.end,
        "digest": after.digest,
        "recorded_until": to_datetime(after.recorded_until),
        "before_offset": before.decisions_offset,
        "before_end": before.end,
        "before_digest": before.digest,
    }


def add_runs(
    driver: psycopg.Connection[Any], postings: Sequence[Posting]
) -> list[dict[Stripe, Totals]]:
    """Insert the runs, add entries to stripes, commit: one round trip.

    Returns for each posting the totals of the stripes that it touched.
    """
    added, committed = [driver.cursor() for _ in postings], driver.cursor()
    voiding = [(shard, run) for shard, _, runs in postings for run in runs if run.voided]
    with driver.pipeline():
        for (shard, _, runs), cursor in zip(postings, added, strict=True):
            for run in runs:
                driver.execute(_INSERT_RUN, _run_row(run), prepare=True)
                for at, voided in run.left_out:
                    driver.execute(_INSERT_VOID, _void_row(PostedVoid.of(shard, at, voided)))
            bounds = {"shard": shard, "start": runs[0].decision.start, "end": runs[-1].decision.end}
            cursor.execute(_ADD_TO_STRIPES, bounds, prepare=True)
        if not voiding:
            committed.execute("COMMIT")
    taken_back: dict[int, dict[Stripe, Totals]] = {}
    if voiding:
        for shard, run in voiding:
            taken_back.setdefault(shard, {}).update(_take_back(driver, shard, run))
        committed.execute("COMMIT")
    # PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error.
    if committed.statusmessage != "COMMIT":
        raise JournalUnavailable(f"The database answered COMMIT with {committed.statusmessage}.")
    return [
        _totals(cursor) | taken_back.get(posting.shard, {})
        for posting, cursor in zip(postings, added, strict=True)
    ]


def _totals(cursor: psycopg.Cursor[Any]) -> dict[Stripe, Totals]:
    return {
        Stripe(account, currency): Totals(int(debits), int(credits), count, offset)
        for account, currency, debits, credits, count, offset in cursor.fetchall()
    }


def _take_back(
    driver: psycopg.Connection[Any], shard: int, run: PostingRun
) -> dict[Stripe, Totals]:
    """Void transactions; of those that were left out only the stripes' last offset moves."""
    found: dict[Stripe, Totals] = {}
    for voided in run.voided:
        content = voided.transaction
        scales = dict(zip(content.currencies, voided.scales, strict=True))
        driver.execute(_INSERT_CURRENCIES, _codes(scales))
        void = PostedVoid.of(shard, run.decisions_offset, voided)
        row = _void_row(void._replace(was_posted=True))
        was_posted = driver.execute(_INSERT_VOID, row).rowcount == 1
        sums = totals_after(content, {})
        for (account, currency), (debits, credits, entries, _) in sums.items():
            counted = (debits, credits, entries) if was_posted else (0, 0, 0)
            names = ("debits", "credits", "entries")
            given = dict(zip(names, counted, strict=True)) | {
                "account": account, "currency": currency, "shard": shard, "at": voided.offset,
            }  # fmt: skip
            found |= _totals(driver.execute(_TAKE_BACK, given))
    return found


def _void_row(void: PostedVoid) -> tuple[object, ...]:
    """What _INSERT_VOID takes."""
    moment, reason = to_datetime(void.recorded_at), void.reason or None
    return (*void[:3], moment, *void[4:7], reason, void.content, int(void.was_posted))


def _run_row(run: PostingRun) -> tuple[object, ...]:
    """What _INSERT_RUN takes."""
    row = posted_run(run)
    recorded_until = to_datetime(row.recorded_until)
    return (*row[:7], recorded_until, *row[8:10], row.reference_digest or None)


def first_refused(driver: psycopg.Connection[Any], posting: Posting) -> str:
    """As `named_refused`, in a transaction that is rolled back."""
    driver.execute("BEGIN")
    try:
        return named_refused(posting, partial(_accepts, driver, posting.shard))
    finally:
        driver.execute("ROLLBACK")


def _accepts(driver: psycopg.Connection[Any], shard: int, contents: Sequence[Content]) -> bool:
    offsets = [offset for content in contents for offset in content.offsets]
    bounds = {"shard": shard, "start": offsets[0], "end": offsets[-1] + 1}
    rows = copying.transaction_stream([copying.transaction_rows(shard, contents)])
    try:
        with driver.transaction(force_rollback=True):
            copying.copy_rows(driver, copying.COPY_TRANSACTIONS, rows)
            copying.copy_rows(driver, copying.COPY_ENTRIES, copying.entry_rows(shard, contents))
            driver.execute(_ADD_TO_STRIPES, bounds)
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
        return False
    return True

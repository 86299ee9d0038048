"""The statements that fold runs into history, and its rows as COPY takes them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg

from ledger.domain.history import Line, Running, WholeBlock
from ledger.domain.run import Refusal, Stripe, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.gl.history.writing import HistoryFold

_POSITIONS = """
SELECT shard, decisions_offset, end_offset, digest, recorded_until FROM positions ORDER BY shard
"""
_INSERT_POSITION = """
INSERT INTO positions (shard, decisions_offset, end_offset, digest, recorded_until, folded_at,
    totalled_at)
VALUES (%(shard)s, %(decisions_offset)s, %(end)s, %(digest)s, %(recorded_until)s, %(now)s, 0)
ON CONFLICT (shard) DO NOTHING
RETURNING folded_at, NULL::bigint
"""
# A second writer waits here for the first one's commit, then finds no such row. What is folded
# later is later by `folded_at`, whatever the clocks of two workers say.
_MOVE_POSITION = """
UPDATE positions
SET decisions_offset = %(decisions_offset)s, end_offset = %(end)s, digest = %(digest)s,
    recorded_until = %(recorded_until)s, folded_at = greatest(before.folded_at + 1, %(now)s)
FROM (SELECT folded_at FROM positions WHERE shard = %(shard)s FOR UPDATE) AS before
WHERE shard = %(shard)s AND decisions_offset = %(before_offset)s
    AND end_offset = %(before_end)s AND digest = %(before_digest)s
RETURNING positions.folded_at, before.folded_at
"""
# In order of name, so that two writers that bring the same new accounts cannot deadlock. Decimals
# are the journal's, whatever a run has that comes first: it may be void.
_INSERT_ACCOUNTS = """
INSERT INTO accounts (account, currency, scale)
SELECT account, currency, coalesce(min(posted.scale), min(new.scale))
FROM unnest(%(accounts)s::text[], %(currencies)s::text[], %(scales)s::smallint[])
    AS new (account, currency, scale)
LEFT JOIN currencies AS posted ON posted.code = currency
GROUP BY account, currency ORDER BY account COLLATE "C", currency COLLATE "C"
ON CONFLICT (account, currency) DO NOTHING
"""
_INSERT_STRIPES = """
INSERT INTO stripes (account_id, shard)
SELECT known.id, new.shard
FROM unnest(%(accounts)s::text[], %(currencies)s::text[], %(shards)s::integer[])
    AS new (account, currency, shard)
JOIN accounts AS known ON known.account = new.account AND known.currency = new.currency
ORDER BY known.id, new.shard
ON CONFLICT (account_id, shard) DO NOTHING
"""
_FIND_STRIPES = """
SELECT new.place, stripe.id, known.scale, last.n, last.debits::text, last.credits::text,
    last.entries
FROM unnest(%(accounts)s::text[], %(currencies)s::text[], %(shards)s::integer[]) WITH ORDINALITY
    AS new (account, currency, shard, place)
JOIN accounts AS known ON known.account = new.account AND known.currency = new.currency
JOIN stripes AS stripe ON stripe.account_id = known.id AND stripe.shard = new.shard
LEFT JOIN LATERAL (
    SELECT n, debits, credits, entries FROM lines WHERE lines.stripe = stripe.id
    ORDER BY recorded_at DESC, n DESC LIMIT 1
) AS last ON true
"""
_SCALE = """
UPDATE accounts SET scale = new.scale
FROM (
    SELECT coalesce((SELECT scale FROM currencies WHERE code = %(currency)s), %(scale)s) AS scale
) AS new
WHERE account = %(account)s AND currency = %(currency)s AND accounts.scale <> new.scale
"""
_INSERT_UNBLOCKED = """
INSERT INTO unblocked (stripe, block, recorded_at) VALUES (%s, %s, %s)
"""
_INSERT_REFUSAL = """
INSERT INTO refusals (shard, log_offset, recorded_at, transaction_id, code, field, reason, producer,
    decisions_offset)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
COPY_LINES = (
    "COPY lines (stripe, n, recorded_at, log_offset, entry, effective_at, amount, change, debits,"
    " credits, entries, folded_at) FROM STDIN"
)
_LINE = "\t".join(["%d"] * len(Line._fields))


Place = tuple[int, tuple[str, str]]
"""A shard and a stripe of it, by account and currency."""


def read_positions(driver: psycopg.Connection[Any]) -> dict[int, Watermark]:
    """How far each shard is folded that has a run."""
    rows = driver.execute(_POSITIONS).fetchall()
    return {row[0]: Watermark(row[1], row[2], bytes(row[3]), row[4]) for row in rows}


def move_positions(
    driver: psycopg.Connection[Any], folds: Sequence[HistoryFold], now: int
) -> list[tuple[int | None, int | None]]:
    """Begin, and move the shards' positions: one round trip.

    Returns for each fold its `folded_at`, None where the shard is not at the watermark that the
    fold follows; and the one before it, None for a shard's first.
    """
    # In order of shard, so that two writers of the same ones cannot deadlock.
    order = sorted(range(len(folds)), key=lambda index: folds[index].shard)
    moved = {index: driver.cursor() for index in order}
    with driver.pipeline():
        driver.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        for index in order:
            fold = folds[index]
            statement = _INSERT_POSITION if fold.before == Watermark() else _MOVE_POSITION
            moved[index].execute(statement, _move_arguments(fold, now), prepare=True)
    rows = [moved[index].fetchone() for index in range(len(folds))]
    return [(None, None) if row is None else (row[0], row[1]) for row in rows]


def _move_arguments(fold: HistoryFold, now: int) -> dict[str, object]:
    before, after = fold.before, fold.runs[-1].after
    return {
        "shard": fold.shard,
        "decisions_offset": after.decisions_offset,
        "end": after.end,
        "digest": after.digest,
        "recorded_until": after.recorded_until,
        "before_offset": before.decisions_offset,
        "before_end": before.end,
        "before_digest": before.digest,
        "now": now,
    }


def touched(run: ValidRun) -> Iterator[tuple[tuple[str, str], int]]:
    """The stripes that a run touches, what it takes back included, with their decimals."""
    contents = [(run.content, run.content.scales)]
    if run.decision.voids:
        contents += [(each.transaction, list(each.scales)) for each in run.voided]
    for content, scales in contents:
        yield from zip(zip(content.accounts, content.currencies, strict=True), scales, strict=True)


def find_stripes(
    driver: psycopg.Connection[Any], wanted: Mapping[Place, int]
) -> dict[Place, Running]:
    """Stripes by shard and name, those made that were missing; `wanted` has their scales."""
    found = dict(_find(driver, list(wanted)))
    missing = [place for place in wanted if place not in found]
    if missing:
        arguments = _names(missing) | {"scales": [wanted[place] for place in missing]}
        with driver.pipeline():
            driver.execute(_INSERT_ACCOUNTS, arguments, prepare=True)
            driver.execute(_INSERT_STRIPES, arguments, prepare=True)
        found |= _find(driver, missing)
    return found


def _find(
    driver: psycopg.Connection[Any], places: Sequence[Place]
) -> Iterator[tuple[Place, Running]]:
    rows = driver.execute(_FIND_STRIPES, _names(places), prepare=True)
    for number, key, scale, count, debits, credits, entries in rows:
        sums = (count, int(debits), int(credits), entries) if count else ()
        yield places[number - 1], Running(key, scale, *sums)


def _names(places: Sequence[Place]) -> dict[str, object]:
    return {
        "shards": [shard for shard, _ in places],
        "accounts": [account for _, (account, _) in places],
        "currencies": [currency for _, (_, currency) in places],
    }


def line_rows(lines: Iterable[tuple[int, ...]], folded_at: int) -> str:
    """Lines, with the fields of Line, as COPY_LINES takes them."""
    # Every entry of the ledger passes here; whole numbers are a text as they are.
    return "".join(map(f"{_LINE}\t{folded_at}\n".__mod__, lines))


def finish(
    driver: psycopg.Connection[Any],
    *,
    blocks: Sequence[WholeBlock],
    scales: Sequence[tuple[Stripe, int]],
    refusals: Sequence[tuple[object, ...]],
) -> str | None:
    """Write the rest and commit: one round trip. Returns what the database answers to COMMIT."""
    committed = driver.cursor()
    with driver.pipeline():
        for stripe, scale in scales:
            driver.execute(_SCALE, stripe._asdict() | {"scale": scale})
        with driver.cursor() as cursor:
            cursor.executemany(_INSERT_UNBLOCKED, blocks)
            cursor.executemany(_INSERT_REFUSAL, refusals)
        committed.execute("COMMIT")
    return committed.statusmessage


def refusal_row(
    shard: int, decisions_offset: int, refusal: Refusal, producer: str
) -> tuple[object, ...]:
    """What `finish` takes of a refused record."""
    return (
        shard, refusal.offset, refusal.recorded_at, _shown(refusal.transaction_id, 128),
        refusal.code, _shown(refusal.field, 255), _shown(refusal.reason, 4000),
        _shown(producer, 128), decisions_offset,
    )  # fmt: skip


def _shown(text: str | None, length: int) -> str | None:
    """The text's beginning; PostgreSQL stores no NUL, and a refused record may have any text."""
    kept = (text or "")[:length].replace("\0", "\ufffd")
    return kept.encode("utf-8", "replace").decode() or None

"""What history must be once all has settled, added up from the model of the records."""

from itertools import product

from ledger.domain.run import Watermark
from ledger.gl.history.books import LinesQuery, RefusalsQuery

INSTANTS = 4
"""Of each axis; the two ends of time are among them."""
PAGE = 7


def missing(world):
    """How far history is behind, or None."""
    if "history" not in world.groups:
        return None
    marks = world.history.positions()
    for shard, chain in enumerate(world.oracle.chains):
        mark = marks.get(shard, Watermark())
        found = mark.decisions_offset, mark.end, mark.digest, mark.recorded_until
        if found != chain[-1]:
            return f"history of shard {shard} is at {found} and not at {chain[-1]}"
    return None


def check(world):
    """Fails the world where history is not what was decided."""
    if "history" not in world.groups:
        return
    for shard, model in enumerate(world.oracle.shards):
        _check_stripes(world, shard, model)
    _check_accounts(world)
    _check_instants(world)
    _check_refusals(world)


def _require(world, found, wanted, what):
    if found != wanted:
        different = [pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]]
        world.fail(f"{what}: {different[:1] or (len(found), len(wanted))}")


def _check_stripes(world, shard, model):
    """Each line once, in the order of the log, with the totals after it."""
    wanted = {}
    for line in model.lines:
        rows = wanted.setdefault((line.account, line.currency), [])
        sums = _plus(rows[-1][-3:] if rows else (0, 0, 0), line)
        own = line.recorded_at, line.offset, line.entry, line.effective_at, line.amount
        rows.append((len(rows) + 1, *own, line.change, *sums))
    state = world.history._shards[shard]
    found = {key: [tuple(line[1:]) for line in lines] for key, lines in state.lines.items()}
    for key in wanted.keys() | found.keys():
        what = f"history of shard {shard}, {key}"
        _require(world, found.get(key, []), wanted.get(key, []), what)


def _lines(world):
    """Of all shards, with their shard, in the order of an account's lines."""
    lines = [(line, shard) for shard, each in enumerate(world.oracle.shards) for line in each.lines]
    return sorted(lines, key=lambda pair: (pair[0].recorded_at, pair[1], *pair[0][1:3]))


def _check_accounts(world):
    """An account's lines, read in pages, with the account's totals after each."""
    wanted, sums = {}, {}
    for line, shard in _lines(world):
        key = line.account, line.currency
        sums[key] = _plus(sums.get(key, (0, 0, 0)), line)
        place = line.recorded_at, shard, line.offset, line.entry
        row = (place, line.currency, line.effective_at, line.amount, line.change, *sums[key])
        wanted.setdefault(line.account, []).append(row)
    for account, rows in wanted.items():
        found, after = [], None
        while True:
            page = world.history.lines(LinesQuery(account, after=after, limit=PAGE))
            found += [
                (tuple(each.key), each.currency, each.effective_at, each.amount, each.change,
                 each.debits, each.credits, each.entries) for each in page.lines
            ]  # fmt: skip
            after = page.next
            if after is None:
                break
        _require(world, found, rows, f"the lines of {account}")


def _check_instants(world):
    """Balances before either time and both, as a plain sum has them."""
    lines, dice = [line for line, _ in _lines(world)], world.dice("instants")
    effective, recorded = (
        [None, *dice.choices(sorted({getattr(line, name) + 1 for line in lines}), k=INSTANTS - 1)]
        if lines
        else [None]
        for name in ("effective_at", "recorded_at")
    )
    scales = world.oracle._known_at(1 << 60).scales
    for before, by in product(effective, recorded):
        sums = {}
        for line in lines:
            if (before is None or line.effective_at < before) and (
                by is None or line.recorded_at < by
            ):
                key = line.account, line.currency
                sums[key] = _plus(sums.get(key, (0, 0, 0)), line)
        wanted = [(*key, scales[key[1]], *sums[key]) for key in sorted(sums) if any(sums[key])]
        found = world.history.as_of(effective_before=before, recorded_before=by)
        rows = [tuple(row) for row in found.rows]
        _require(world, rows, wanted, f"balances effective before {before}, recorded before {by}")


def _check_refusals(world):
    """Every refusal once, with whose it was."""
    wanted = []
    for shard, model in enumerate(world.oracle.shards):
        made = {each.offset: each.made for each in model.published}
        for offset, outcome in model.expected.items():
            if outcome.isupper():
                producer = (made[offset] or {"metadata": {}})["metadata"].get("producer", "")
                wanted.append((shard, offset, outcome, producer))
    page = world.history.refusals(RefusalsQuery(limit=len(wanted) + 1))
    found = [(each.shard, each.offset, each.code, each.producer) for each in page.refusals]
    _require(world, sorted(found), sorted(wanted), "refusals")


def _plus(sums, line):
    debits, credits, entries = sums
    signed = line.change * line.amount
    debit, credit = (signed, 0) if line.amount > 0 else (0, -signed)
    return debits + debit, credits + credit, entries + line.change

"""Public balances against the stripes they are the sum of."""

from collections.abc import Mapping
from typing import Any

from ledger.audit.findings import Break, Findings, Kind, Party, decimal_text
from ledger.audit.stated import Balances, Holding, Holdings
from ledger.domain.run import Stripe

_BETWEEN = (Party.STRIPES, Party.BALANCES)
_DEBIT_SIDE = frozenset({"assets", "expenses"})


def compare(
    holdings: Holdings, balances: Balances, summed: Mapping[int, int], findings: Findings
) -> set[Stripe]:
    """Breaks go to `findings`; returns the accounts whose balance is still behind.

    `summed`: by partition, up to where the stripes topic is certainly reconciled, summed up and
    published. It must have been read before `balances`, and they before `holdings`: then a
    balance can be behind the stripes beyond that position, and never ahead of them.
    """
    pending = set()
    for stripe, holding in holdings.items():
        due = holding.spoken < summed.get(holding.partition, 0)
        found = _check(stripe, holding, balances.get(stripe), due=due)
        if found is not None:
            findings.add(found)
        elif not _same_version(holding, balances.get(stripe)):
            pending.add(stripe)
    for stripe in balances.keys() - holdings.keys():
        findings.add(_break(Kind.EXTRA, stripe, None, balances[stripe]))
    return pending


def _check(
    stripe: Stripe, holding: Holding, row: Mapping[str, Any] | None, *, due: bool
) -> Break | None:
    wanted = sum_of(stripe.account, holding)
    if row is None:
        return _break(Kind.MISSING, stripe, wanted, None) if due else None
    ahead = row["version"] > wanted["version"]
    same = row["version"] == wanted["version"]
    if due or ahead:
        names = list(wanted)
    elif same:
        # A break may open or close without a number moving.
        names = [name for name in wanted if name != "status"]
    else:
        return None
    if all(row[name] == wanted[name] for name in names):
        return None
    return _break(Kind.DIFFERS, stripe, wanted, row)


def _same_version(holding: Holding, row: Mapping[str, Any] | None) -> bool:
    return row is not None and row["version"] == version_of(holding)


def version_of(holding: Holding) -> int:
    """What the balance of an account has as its version once all of it is reconciled.

    Source: agents' rule, that it is for each shard the last offset compared and the last offset
    decided, plus one each.
    """
    return sum(2 * (row.live.offset + 1) for row in holding.parts.values())


def sum_of(account: str, holding: Holding) -> dict[str, Any]:
    """The balance that the stripes make once all is reconciled, with the fields it must have."""
    live = [row.live for row in holding.parts.values()]
    debits, credits = sum(each.debits for each in live), sum(each.credits for each in live)
    sign = 1 if account.partition(":")[0] in _DEBIT_SIDE else -1
    numbers = {
        "posted": sign * (debits - credits), "pending": 0, "debits": debits, "credits": credits
    }  # fmt: skip
    texts = {name: decimal_text(number, holding.scale) for name, number in numbers.items()}
    broken = any(row.broken for row in holding.parts.values())
    return {
        **texts,
        "scale": holding.scale,
        "entries": sum(each.entries for each in live),
        "status": "break" if broken else "reconciled",
        "version": version_of(holding),
    }


def _break(
    kind: Kind,
    stripe: Stripe,
    wanted: Mapping[str, Any] | None,
    row: Mapping[str, Any] | None,
) -> Break:
    names = ("posted", "pending", "debits", "credits", "entries", "status", "version", "scale")
    sides = [each and {name: each[name] for name in names} for each in (wanted, row)]
    ours, theirs = (_told(each) for each in sides)
    sentence = (
        f"{stripe.account} {stripe.currency}: the stripes add up to {ours}; the public balance "
        f"says {theirs}."
    )
    return Break(kind, _BETWEEN, None, sentence, (stripe,), stream=sides[0], ledger=sides[1])


def _told(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "nothing"
    return (
        f"{side['posted']} posted, {side['pending']} pending over {side['entries']} entries "
        f"({side['status']}, version {side['version']})"
    )

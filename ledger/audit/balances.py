"""Public balances against the stripes that they are the sum of."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ledger.audit.findings import Break, BreakKind, Findings, Party, decimal_text
from ledger.audit.stated import Balances, StripedAccount, StripedAccounts
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe

_BETWEEN = (Party.STRIPES, Party.BALANCES)
_DEBIT_SIDE = frozenset({"assets", "expenses"})


def compare_balances(
    accounts: StripedAccounts, balances: Balances, summed: Mapping[int, int], findings: Findings
) -> set[Stripe]:
    """Breaks go to `findings`; returns the accounts whose balance is still behind.

    `summed`: by partition, the offset in the stripes topic before which every stripe is certainly
    reconciled, summed and published. It must have been read before `balances`, and these before
    `accounts`: then a balance can be behind the stripes from that offset on, and never ahead.
    """
    pending = set()
    for stripe, account in accounts.items():
        due = account.last < summed.get(account.partition, 0)
        row, wanted = balances.get(stripe), _wanted(stripe.account, account)
        if kind := wrong_with(row, wanted, due=due):
            findings.add(_break(kind, stripe, wanted, row))
        elif row is None or row["version"] != wanted["version"]:
            pending.add(stripe)
    for stripe in balances.keys() - accounts.keys():
        findings.add(_break(BreakKind.EXTRA, stripe, None, balances[stripe]))
    return pending


def wrong_with(
    row: Mapping[str, Any] | None, wanted: Mapping[str, Any], *, due: bool
) -> BreakKind | None:
    """How a public balance contradicts the fields that it must have; None if it does not.

    Unless it is `due`, it may be behind.
    """
    if row is None:
        return BreakKind.MISSING if due else None
    ahead = row["version"] - wanted["version"]
    if ahead < 0 and not due:
        return None
    # A break may open or close without a number changing.
    names = wanted.keys() if due or ahead else wanted.keys() - {"status"}
    same = all(row[name] == wanted[name] for name in names)
    return None if same else BreakKind.DIFFERS


def version_of(stripes: Iterable[Totals]) -> int:
    """The version of an account's balance once all of its stripes are reconciled.

    Source: agents/balances.py: for each shard the last offset compared and the last offset
    decided, plus one each.
    """
    return sum(2 * (totals.offset + 1) for totals in stripes)


def sum_of(account: str, scale: int, stripes: Collection[Totals]) -> dict[str, Any]:
    """The balance of an account with these stripes, amounts as decimal texts."""
    debits, credits = sum(each.debits for each in stripes), sum(each.credits for each in stripes)
    sign = 1 if account.partition(":")[0] in _DEBIT_SIDE else -1
    return {
        "posted": decimal_text(sign * (debits - credits), scale),
        "debits": decimal_text(debits, scale),
        "credits": decimal_text(credits, scale),
        "entries": sum(each.entries for each in stripes),
    }


def _wanted(name: str, account: StripedAccount) -> dict[str, Any]:
    """The balance once all is reconciled, with the fields that it must have."""
    broken = any(row.broken for row in account.parts.values())
    return {
        **sum_of(name, account.scale, [row.live for row in account.parts.values()]),
        "pending": decimal_text(0, account.scale),
        "scale": account.scale,
        "status": "break" if broken else "reconciled",
        "version": version_of(row.live for row in account.parts.values()),
    }


def _break(
    kind: BreakKind,
    stripe: Stripe,
    wanted: Mapping[str, Any] | None,
    row: Mapping[str, Any] | None,
) -> Break:
    names = ("posted", "pending", "debits", "credits", "entries", "status", "version", "scale")
    sides = [each and {name: each[name] for name in names} for each in (wanted, row)]
    ours, theirs = (_shown(each) for each in sides)
    sentence = (
        f"{stripe.account} {stripe.currency}: the stripes add up to {ours}; the public balance "
        f"is {theirs}."
    )
    return Break(kind, _BETWEEN, None, sentence, (stripe,), stream=sides[0], ledger=sides[1])


def _shown(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "nothing"
    return (
        f"{side['posted']} posted, {side['pending']} pending over {side['entries']} entries "
        f"({side['status']}, version {side['version']})"
    )

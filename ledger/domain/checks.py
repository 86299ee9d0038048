"""The checks of a transaction that need nothing but itself and reference data.

Client and service call the same functions, so they refuse the same things.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from ledger.domain import account as accounts
from ledger.domain import money, names
from ledger.domain.policy import DAY, LONG_AGO, Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import EARLIEST, LATEST, Draft, DraftEntry, Entry, metadata_text

MIN_ENTRIES = 2
MAX_ENTRIES = 1_000
MAX_ID = 128
MAX_KIND = 64
MAX_DESCRIPTION = 1_000
MAX_METADATA = 32
MAX_METADATA_BYTES = 4_000

# PostgreSQL's text cannot hold NUL, and the separators keep fingerprints unambiguous.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def check_fields(
    draft: Draft,
    *,
    recorded_at: int,
    policy: Policy,
    floor: int = LONG_AGO,
    accepted: Callable[[str], object] = lambda _: None,
) -> Refused | None:
    """Fields missing, malformed, too long or out of range; too late; too early.

    `floor`: the time from which on every accepted id is remembered, microseconds.
    `accepted` says whether a transaction of that id was accepted (anything but None).
    """
    return _check_texts(draft, accepted) or _check_times(
        draft, recorded_at=recorded_at, policy=policy, floor=floor
    )


def _check_texts(draft: Draft, accepted: Callable[[str], object]) -> Refused | None:
    for field, limit in (("transaction_id", MAX_ID), ("kind", MAX_KIND)):
        if refused := _check_name(field, draft[field], limit):  # type: ignore[literal-required]
            return refused
    for field in ("ordering_key", "reverses"):
        text = draft[field]  # type: ignore[literal-required]
        if (
            text is not None
            and (refused := _check_name(field, text, MAX_ID))
            and not _is_of_old(refused, draft["reverses"], accepted)
        ):
            return refused
    description = draft["description"]
    if description and (refused := _check_text("description", description, MAX_DESCRIPTION)):
        return refused
    return _check_metadata(draft["metadata"]) if draft["metadata"] else None


def _is_of_old(refused: Refused, reverses: str | None, accepted: Callable[[str], object]) -> bool:
    # What was accepted before names had rules stays reversible. Nothing new comes in by that: a
    # reversal has the ordering key of its original, or is refused for that.
    return (
        refused.reason is Reason.FIELD_MALFORMED
        and reverses is not None
        and accepted(reverses) is not None
    )


def _check_name(field: str, text: str, limit: int) -> Refused | None:
    if not text or len(text) > limit:
        return _check_text(field, text, limit)
    # Nearly all are such, and cost no call.
    if text.isascii() and text.isprintable() and text[0] != " " and text[-1] != " ":
        return None
    if problem := names.problem(text):
        return Refused(Reason.FIELD_MALFORMED, f"{field} {problem}.", field)
    return None


def _check_text(field: str, text: str, limit: int) -> Refused | None:
    if not text:
        return Refused(Reason.FIELD_MISSING, f"{field} is empty; give it a value.", field)
    if len(text) > limit:
        sentence = f"{field} has {len(text)} characters; at most {limit} are taken."
        return Refused(Reason.FIELD_TOO_LONG, sentence, field)
    # What is printable, and most is, has none; that is known sooner.
    if not text.isprintable() and _CONTROL.search(text):
        sentence = f"{field} contains a control character; remove it."
        return Refused(Reason.FIELD_MALFORMED, sentence, field)
    return None


def _check_metadata(metadata: Mapping[str, str]) -> Refused | None:
    if len(metadata) > MAX_METADATA:
        sentence = f"metadata has {len(metadata)} pairs; at most {MAX_METADATA} are taken."
        return Refused(Reason.FIELD_TOO_LONG, sentence, "metadata")
    if not all(metadata) or _CONTROL.search("".join((*metadata, *metadata.values()))):
        sentence = "metadata has an empty name or a control character; remove it."
        return Refused(Reason.FIELD_MALFORMED, sentence, "metadata")
    size = len(metadata_text(metadata).encode())
    if size > MAX_METADATA_BYTES:
        sentence = f"metadata has {size} bytes as JSON; at most {MAX_METADATA_BYTES} are taken."
        return Refused(Reason.FIELD_TOO_LONG, sentence, "metadata")
    return None


def _check_times(draft: Draft, *, recorded_at: int, policy: Policy, floor: int) -> Refused | None:
    for field in ("effective_at", "created_at"):
        if not EARLIEST <= draft[field] < LATEST:
            sentence = f"{field} is outside the years 1900 to 2199; microseconds since 1970 in UTC."
            return Refused(Reason.TIME_OUT_OF_RANGE, sentence, field)
    age = recorded_at - draft["created_at"]
    if age > policy.window:
        sentence = (
            f"created_at is {age // DAY} days before the log took it, past the window of "
            f"{policy.window // DAY} days in which repetitions are recognised. If this was never "
            "published before, publish it with the present as created_at."
        )
        return Refused(Reason.TOO_LATE, sentence, "created_at")
    if draft["created_at"] < floor:
        sentence = (
            f"created_at is {age // DAY} days before the log took it. The window was shorter until "
            "lately, and ids of then are forgotten. If this was never published before, publish it "
            "with the present as created_at."
        )
        return Refused(Reason.TOO_LATE, sentence, "created_at")
    if -age > policy.early:
        sentence = (
            f"created_at is {-age // 1_000_000} seconds ahead of the log's clock, more than the "
            f"{policy.early // 1_000_000} allowed. Set the producer's clock right."
        )
        return Refused(Reason.TOO_EARLY, sentence, "created_at")
    return None


NO_SCALES: Mapping[str, int] = {}


def check_content(
    draft: Draft,
    *,
    recorded_at: int,
    reference: Reference,
    policy: Policy,
    changed: Mapping[str, int] = NO_SCALES,
) -> list[Entry] | Refused:
    """Entries, currencies, amounts, balance, accounts; the checked entries if all is well.

    `changed`: decimals by code of what was accepted with others than `reference` has.

    A reversal is spared the accounts' state: a closed account takes back what it took. Intake,
    which knows what it reverses, asks `check_accounts` about the reversal of a reversal.
    """
    count = len(draft["entries"])
    if count < MIN_ENTRIES:
        sentence = f"A transaction has at least {MIN_ENTRIES} entries; this one has {count}."
        return Refused(Reason.TOO_FEW_ENTRIES, sentence, "entries")
    if count > MAX_ENTRIES:
        sentence = f"A transaction has at most {MAX_ENTRIES} entries, not {count}. Split it."
        return Refused(Reason.TOO_MANY_ENTRIES, sentence, "entries")
    entries = _read_entries(draft["entries"], reference.scales, changed)
    if isinstance(entries, Refused):
        return entries
    refused = _check_balance(entries) or _check_codes(entries)
    if not refused and draft["reverses"] is None:
        refused = check_accounts(
            draft, entries, recorded_at=recorded_at, reference=reference, policy=policy
        )
    return refused or entries


def _read_entries(
    drafts: Sequence[DraftEntry], scales: Mapping[str, int], changed: Mapping[str, int]
) -> list[Entry] | Refused:
    entries: list[Entry] = []
    text: str | None = None
    currency, scale = "", 0
    amount: int | Reason = Reason.AMOUNT_MALFORMED
    for draft in drafts:
        # Nearly always both legs say the same amount, which is read once.
        if draft["amount"] != text or draft["currency"] != currency:
            text, currency = draft["amount"], draft["currency"]
            known = scales.get(currency)
            if known is None or currency in changed:
                return _unknown_currency(currency, len(entries), scales, changed)
            scale, amount = known, money.parse(text, known)
        if isinstance(amount, Reason):
            return _bad_amount(amount, draft, scale, len(entries))
        signed = amount if draft["side"] == "debit" else -amount
        entries.append(Entry(draft["account"], currency, scale, signed))
    return entries


def _unknown_currency(
    currency: str, index: int, scales: Mapping[str, int], changed: Mapping[str, int]
) -> Refused:
    field = f"entries[{index}].currency"
    if currency in changed:
        sentence = (
            f"{currency} was accepted with {changed[currency]} decimals before, and is registered "
            "with others today: what was posted would change its worth. Register a new code."
        )
        return Refused(Reason.SCALE_CHANGED, sentence, field)
    sentence = (
        f"{currency[:32]!r} is neither an ISO 4217 currency nor a registered asset. Mend the code, "
        "or register it with `faust-ledger assets import`."
    )
    if alike := _in_other_case(currency, scales):
        sentence = (
            f"{currency!r} is neither an ISO 4217 currency nor a registered asset, and {alike} is "
            "one. Mend the code: upper and lower case count."
        )
    return Refused(Reason.UNKNOWN_CURRENCY, sentence, field)


def _in_other_case(currency: str, scales: Mapping[str, int]) -> str | None:
    """The known code in capitals, or without any, that `currency` differs from only in that.

    Not a search of all codes: a flood of refusals must stay cheap.
    """
    return next((code for code in (currency.upper(), currency.lower()) if code in scales), None)


def _bad_amount(reason: Reason, draft: DraftEntry, scale: int, index: int) -> Refused:
    shown = repr(draft["amount"][: money.MAX_AMOUNT_TEXT])
    why = {
        Reason.TOO_MANY_DECIMALS: f"{draft['currency']} has {scale} decimals",
        Reason.AMOUNT_NOT_POSITIVE: "an amount is above zero; the side says the direction",
        Reason.AMOUNT_TOO_LARGE: f"at most {money.show(money.MAX_AMOUNT, scale)} is taken",
        Reason.AMOUNT_MALFORMED: "an amount is a decimal in plain notation, such as 12.34",
    }[reason]
    return Refused(reason, f"amount {shown}: {why}.", f"entries[{index}].amount")


def _check_balance(entries: Sequence[Entry]) -> Refused | None:
    if len(entries) == MIN_ENTRIES:
        # Nearly all; and two that balance cannot outgrow what each of them keeps to.
        (_, one, _, debit), (_, other, _, credit) = entries
        if one == other and not debit + credit:
            return None
    scales = {entry.currency: entry.scale for entry in entries}
    debits, credits = dict.fromkeys(scales, 0), dict.fromkeys(scales, 0)
    for _, currency, _, amount in entries:
        if amount > 0:
            debits[currency] += amount
        else:
            credits[currency] -= amount
    for currency in scales:
        if max(debits[currency], credits[currency]) > money.MAX_AMOUNT:
            sentence = f"The entries in {currency} add up to more than 64 bits hold. Split it."
            return Refused(Reason.SUM_TOO_LARGE, sentence, "entries")
    if debits == credits:
        return None
    parts = [
        f"{currency}: debits {money.show(debits[currency], scale)}, "
        f"credits {money.show(credits[currency], scale)}"
        for currency, scale in scales.items()
        if debits[currency] != credits[currency]
    ]
    sentence = f"Debits and credits differ. {'; '.join(parts[:5])}."
    return Refused(Reason.NOT_BALANCED, sentence, "entries")


def _check_codes(entries: Sequence[Entry]) -> Refused | None:
    for index, entry in enumerate(entries):
        if not accounts.well_formed(entry.account):
            sentence = (
                f"{entry.account[:64]!r} is not an account code: assets, liabilities, equity, "
                "income or expenses, then segments of letters, digits, dot, dash and underscore "
                f"after colons, {accounts.MAX_ACCOUNT} characters at most."
            )
            return Refused(Reason.ACCOUNT_MALFORMED, sentence, f"entries[{index}].account")
    return None


def check_accounts(
    draft: Draft,
    entries: Sequence[Entry],
    *,
    recorded_at: int,
    reference: Reference,
    policy: Policy,
) -> Refused | None:
    """Accounts unknown, not open yet, closed, or of another currency."""
    declared = reference.accounts
    if not declared and policy.open_unknown_accounts:
        return None
    effective_at = draft["effective_at"]
    at = max(effective_at, recorded_at)
    for index, entry in enumerate(entries):
        field = f"entries[{index}].account"
        account = declared.get(entry.account)
        if account is None:
            if policy.open_unknown_accounts:
                continue
            sentence = f"{entry.account} is not declared; use `faust-ledger accounts import`."
            return Refused(Reason.ACCOUNT_UNKNOWN, sentence, field)
        if account.opened_at is not None and effective_at < account.opened_at:
            sentence = f"{entry.account} takes nothing effective before it was opened."
            return Refused(Reason.ACCOUNT_NOT_OPEN, sentence, field)
        if account.closed_at is not None and at >= account.closed_at:
            sentence = (
                f"{entry.account} is closed; it takes reversals of originals and nothing else."
            )
            return Refused(Reason.ACCOUNT_CLOSED, sentence, field)
        if account.currency is not None and account.currency != entry.currency:
            sentence = f"{entry.account} takes {account.currency} only, not {entry.currency}."
            return Refused(Reason.ACCOUNT_CURRENCY, sentence, field)
    return None

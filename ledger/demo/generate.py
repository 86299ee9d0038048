"""A seeded stream of transactions: the same seed, label and time give the same stream.

The ordering key of a client's transactions is the client's number, so a client's balance moves in
the order of the stream. A few transactions are wrong on purpose.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, cast

from ledger.demo.book import SCALES, Act, Book, Leg
from ledger.demo.market import CLIENTS
from ledger.domain import money
from ledger.domain.refusal import Reason
from ledger.domain.transaction import Draft, DraftEntry

FEWEST = 100
"""A shorter stream has no room for everything that the demo shows."""
FIRST_CLIENT = 1_001
A_CLIENT_EACH = 25
SETTLED_EVERY = 500
BETWEEN = 3_000_000
"""Microseconds of business time from one transaction to the next."""


@dataclass(frozen=True, slots=True)
class Made:
    """A transaction and its expected outcome."""

    draft: Draft
    expected: Reason | Literal["accepted", "duplicate"] = "accepted"

    @property
    def clients(self) -> list[tuple[str, str]]:
        """The balances (account, currency) that only its ordering key moves."""
        if self.expected != "accepted":
            return []
        touched = ((entry["account"], entry["currency"]) for entry in self.draft["entries"])
        return [each for each in touched if each[0].startswith(CLIENTS)]


def generate(count: int, *, seed: int, label: str, at: int) -> Iterator[Made]:
    """`count` transactions, including mistakes, with ids that begin with `label`.

    `at` is the present in microseconds since 1970: all are created then, and the last ones are
    effective about then.
    """
    if count < FEWEST:
        raise ValueError(f"a stream has at least {FEWEST} transactions, not {count}")
    book = Book(Random(f"{seed} {label}"))  # noqa: S311 - not for secrets
    clients = range(FIRST_CLIENT, FIRST_CLIENT + max(count // A_CLIENT_EACH, 3))
    mistakes = _mistakes(count)
    made: list[Made] = []
    for number in range(count):
        name = f"{label}-{number:06d}"
        if mistake := mistakes.get(number):
            made.append(mistake(made, name))
        else:
            key, act = _act(book, number, count, clients)
            effective_at = at - (count - number) * BETWEEN
            draft = _draft(book.enter(act), name, key, effective_at=effective_at, created_at=at)
            made.append(Made(draft))
        yield made[-1]


def _act(book: Book, number: int, count: int, clients: Sequence[int]) -> tuple[str, Act]:
    """The ordering key and the act: first every client deposits, then acts are random."""
    if number == 0:
        return "street", book.capital()
    if number % SETTLED_EVERY == 0 or number == count - 1:
        act = book.settlement()
        if act is not None:
            return "street", act
    turn = number - 1
    client = clients[turn] if turn < len(clients) else clients[number * 7_919 % len(clients)]
    # After the deposits, for any seed, one of each kind that the mistakes are made from.
    scripted = {len(clients): book.buy, len(clients) + 1: book.fee}
    act = book.deposit(client) if turn < len(clients) else scripted.get(turn, book.by)(client)
    return f"client-{client}", act or book.deposit(client)


def _draft(act: Act, name: str, key: str, *, effective_at: int, created_at: int) -> Draft:
    return Draft(
        transaction_id=name,
        kind=act.kind,
        description=act.description,
        effective_at=effective_at,
        created_at=created_at,
        ordering_key=key,
        reverses=None,
        entries=[_entry(leg) for leg in act.legs],
        metadata={"source": "faust-ledger demo"},
    )


def _entry(leg: Leg) -> DraftEntry:
    account, currency, amount = leg
    return DraftEntry(
        account=account,
        side="debit" if amount > 0 else "credit",
        amount=money.show(abs(amount), SCALES[currency]),
        currency=currency,
    )


Mistake = Callable[[Sequence[Made], str], Made]
"""Takes the transactions so far, and a new id."""


def _mistakes(count: int) -> Mapping[int, Mistake]:
    """The mistakes by number, spread over the second half."""
    kinds = (unbalanced, too_fine, misspelt, reversal, second_reversal, reused, repetition)
    step = count // 2 // (len(kinds) + 1)
    # None of these is the number of a settlement.
    return {count // 2 + index * step + 3: kind for index, kind in enumerate(kinds)}


def _last(made: Sequence[Made], kind: str) -> Made:
    found = (each for each in reversed(made) if each.draft["kind"] == kind)
    return next(each for each in found if each.expected == "accepted")


def _but(draft: Draft, **changes: Any) -> Draft:
    return cast("Draft", draft | changes)


def unbalanced(made: Sequence[Made], name: str) -> Made:
    """An order fill with unequal sides."""
    draft = _last(made, "order_fill").draft
    first, *others = draft["entries"]
    scale = SCALES[first["currency"]]
    amount = money.parse(first["amount"], scale)
    assert isinstance(amount, int), "it was made by money.show"
    entries = [first | {"amount": money.show(amount + 1, scale)}, *others]
    return Made(_but(draft, transaction_id=name, entries=entries), Reason.NOT_BALANCED)


def too_fine(made: Sequence[Made], name: str) -> Made:
    """A deposit of a fraction of a cent."""
    draft = _last(made, "deposit").draft
    entries = [entry | {"amount": "250.005"} for entry in draft["entries"]]
    return Made(_but(draft, transaction_id=name, entries=entries), Reason.TOO_MANY_DECIMALS)


def misspelt(made: Sequence[Made], name: str) -> Made:
    """An order fill in an unregistered security."""
    draft = _last(made, "order_fill").draft
    *others, taken, given = draft["entries"]
    entries = [*others, taken | {"currency": "XTSE:SHPO"}, given | {"currency": "XTSE:SHPO"}]
    return Made(_but(draft, transaction_id=name, entries=entries), Reason.UNKNOWN_CURRENCY)


def reversal(made: Sequence[Made], name: str) -> Made:
    """A reversal of a fee."""
    fee = _last(made, "fee")
    back: list[DraftEntry] = [
        entry | {"side": "credit" if entry["side"] == "debit" else "debit"}
        for entry in fee.draft["entries"]
    ]
    draft = _but(
        fee.draft, transaction_id=name, kind="reversal", description="Fee charged by mistake",
        reverses=fee.draft["transaction_id"], entries=back,
    )  # fmt: skip
    return Made(draft)


def second_reversal(made: Sequence[Made], name: str) -> Made:
    """A second reversal of the same fee."""
    draft = _last(made, "reversal").draft
    return Made(_but(draft, transaction_id=name), Reason.REVERSED_ALREADY)


def reused(made: Sequence[Made], name: str) -> Made:
    """Another deposit with the id of an earlier one; `name` stays unused."""
    draft = _last(made, "deposit").draft
    entries = [entry | {"amount": "999.00"} for entry in draft["entries"]]
    return Made(_but(draft, entries=entries), Reason.ID_REUSED)


def repetition(made: Sequence[Made], name: str) -> Made:
    """A deposit published again, as by a producer that received no answer."""
    return Made(_last(made, "deposit").draft, "duplicate")

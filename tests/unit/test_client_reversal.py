"""Reversals: mirrored, summing to zero with the original, with an id that a retry repeats."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.cli.reverse import print_refusal_of
from ledger.client import lines
from ledger.client.log_search import Decided, LogFindings
from ledger.client.reversal import line_of, original_in, reversal_id, reversal_of
from ledger.client.whereabouts import Whereabouts
from ledger.domain import money
from ledger.domain.checks import MAX_DESCRIPTION, MAX_ID, check_fields
from ledger.domain.policy import Policy
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Refusal
from ledger.domain.transaction import Entry, fingerprint, legs, mirror
from ledger.gl.lookups import FoundTransaction, LookupResult, ReversedBy
from ledger.gl.memory import MemoryJournal
from ledger.gl.rows import PostedTransaction
from tests.integration.gl_runs import NOW, Chain, moved, void_of

AMOUNTS = st.integers(1, money.MAX_AMOUNT)
ENTRY = st.tuples(
    st.sampled_from(["assets:cash", "liabilities:deposits:1", "income:fees"]),
    st.sampled_from([("CAD", 2), ("JPY", 0), ("BTC", 8)]),
    st.one_of(AMOUNTS, AMOUNTS.map(lambda amount: -amount)),
)


def posted(entries, *, name="dep-1", key="", **fields):
    usual = {
        "shard": 3, "offset": 7, "transaction_id": name, "kind": "deposit", "description": "",
        "effective_at": NOW, "recorded_at": NOW, "created_at": NOW, "ordering_key": key,
        "reverses": "", "metadata": "", "entries": entries,
    }  # fmt: skip
    return PostedTransaction(**(usual | fields))


def entries_of(draft, scales):
    """The draft's entries as intake reads them."""
    return [
        Entry(
            each["account"], each["currency"], scales[each["currency"]],
            money.parse(each["amount"], scales[each["currency"]])
            * (1 if each["side"] == "debit" else -1),
        )
        for each in draft["entries"]
    ]  # fmt: skip


@given(st.lists(ENTRY, min_size=1, max_size=6), st.sampled_from(["", "client-7"]))
def test_a_reversal_is_what_intake_takes_for_one(chosen, key):
    rows = [(account, code, scale, amount) for account, (code, scale), amount in chosen]
    original = posted(rows, key=key)
    made = reversal_of(original, created_at=NOW + 1)
    scales = {code: scale for _, code, scale, _ in rows}
    assert made["ordering_key"] == (key or "dep-1")
    assert made["reverses"] == "dep-1"
    back = entries_of(made, scales)
    # The rule of ledger.domain.reversal.
    assert legs(key or "dep-1", back) == mirror(key or "dep-1", [Entry(*row) for row in rows])
    sums = {}
    for account, code, _, amount in [*rows, *back]:
        sums[account, code] = sums.get((account, code), 0) + amount
    assert not any(sums.values())
    again = reversal_of(posted([tuple(each) for each in back], key=key), created_at=NOW)
    assert entries_of(again, scales) == [Entry(*row) for row in rows]


@given(st.text(min_size=1, max_size=MAX_ID))
def test_an_id_of_any_length_gives_one_that_is_taken_and_always_the_same(name):
    assert reversal_id(name) == reversal_id(name)
    assert len(reversal_id(name)) <= MAX_ID


def test_ids_of_long_ids_differ():
    assert reversal_id("a" * MAX_ID) != reversal_id("b" * MAX_ID)
    assert reversal_id("dep-1") == "reversal-of/dep-1"


def test_the_same_again_is_a_repetition_and_another_reason_is_not():
    original = posted([("assets:cash", "CAD", 2, 5), ("income:fees", "CAD", 2, -5)])
    first = reversal_of(original, created_at=NOW, reason="entered twice")
    later = reversal_of(original, created_at=NOW + 10**9, reason="entered twice")
    assert fingerprint(first) == fingerprint(later)
    other = reversal_of(original, created_at=NOW, reason="another")
    assert other["transaction_id"] == first["transaction_id"]
    assert fingerprint(other) != fingerprint(first)
    assert reversal_of(original, created_at=NOW, effective_at=NOW + 5)["effective_at"] == NOW + 5


def test_the_line_is_one_that_publish_takes():
    original = posted([("assets:cash", "CAD", 2, 123), ("income:fees", "CAD", 2, -123)])
    made = reversal_of(original, created_at=NOW, reason="x" * 2_000)
    assert len(made["description"]) == MAX_DESCRIPTION
    read = lines.read(json.dumps(line_of(made)), created_at=None)
    assert not isinstance(read, Refused)
    assert read == made
    assert check_fields(read, recorded_at=NOW, policy=Policy()) is None
    assert line_of(made)["entries"][0] == {
        "account": "assets:cash", "side": "credit", "amount": "1.23", "currency": "CAD",
    }  # fmt: skip


def whereabouts(journal, name="t-0", **log):
    return Whereabouts(name, journal.find(name), LogFindings(**log), [])


@pytest.fixture
def journal():
    made = MemoryJournal()
    chain = Chain()
    made.post(0, made.watermark(0), [chain.run(moved(0, 1), moved(1, 2))])
    made.chain = chain
    return made


def extended(journal, *transactions, **more):
    run = journal.chain.run(*transactions, **more)
    journal.post(0, journal.watermark(0), [run])
    return run


def test_the_original_is_the_posted_transaction(journal):
    assert original_in(whereabouts(journal)) == next(journal.transactions(0))


def test_what_is_reversed_already_is_not_reversed_again(journal):
    extended(journal, moved(2, -1, reverses="t-0"))
    sentence = original_in(whereabouts(journal))
    assert "t-0 was reversed already, by t-2 at offset 2 of shard 0" in sentence


def test_a_reversal_of_ours_is_given_again(journal):
    extended(journal, moved(2, -1, reverses="t-0", transaction_id=reversal_id("t-0")))
    assert original_in(whereabouts(journal)) == next(journal.transactions(0))


def test_a_reversal_that_is_void_does_not_count(journal):
    run = extended(journal, moved(2, -1, reverses="t-0"))
    extended(journal, end=9, voided=[void_of(run, 2, at=5)])
    assert original_in(whereabouts(journal)) == next(journal.transactions(0))
    assert "t-2 is void" in original_in(whereabouts(journal, "t-2"))


def test_what_is_decided_and_not_posted_can_be_reversed(journal):
    waiting = posted([("assets:cash", "CAD", 2, 5), ("income:fees", "CAD", 2, -5)], name="new")
    found = whereabouts(journal, "new", decided=[Decided(waiting, 3, NOW)])
    assert original_in(found) == waiting


def test_what_is_not_found_says_what_could_not_be_looked_at():
    nothing = Whereabouts("x", None, LogFindings(), ["the database is down"])
    sentence = original_in(nothing)
    assert "No accepted transaction x was found" in sentence
    assert "the database is down" in sentence


def test_found_transactions_are_named_by_what_the_books_have():
    by = ReversedBy("r", 3, 9, NOW, NOW, is_void=False)
    found = FoundTransaction(posted([]), None, None, [by], 10)
    shown = Whereabouts("dep-1", LookupResult({}, [found]), LogFindings(), []).as_json()
    assert shown["transactions"][0]["reversed_by"][0]["transaction_id"] == "r"


def test_a_second_reversal_in_other_words_names_what_to_look_at(capsys):
    draft = reversal_of(posted([("assets:cash", "CAD", 2, 1)], name="t-0"), created_at=NOW)
    refusal = Refusal(67, NOW, draft["transaction_id"], Reason.ID_REUSED, "", "Id.", None, None)
    print_refusal_of(draft, 0, refusal)
    assert "`faust-ledger transaction show t-0` names what reversed it" in capsys.readouterr().err
    print_refusal_of(draft, 0, refusal._replace(code=Reason.ACCOUNT_CLOSED))
    assert "ACCOUNT_CLOSED" in capsys.readouterr().err

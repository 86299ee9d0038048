"""Runs: encoding, the digest chain, and whose run is dropped."""

import random
from dataclasses import fields, replace
from hashlib import sha256

import pytest

from ledger.domain import avro
from ledger.domain.run import (
    NO_DIGEST,
    Content,
    Decision,
    Outcomes,
    Refusal,
    RunHead,
    Stripe,
    Watermark,
    chain_digest,
)
from tests.builders import (
    CASH,
    DEPOSIT,
    FEES,
    content,
    draft,
    no_memory,
    numbered,
    received,
    run_of,
    settle,
    unreadable,
)

MAX = 2**63 - 1
TWO = content(
    (3, [(CASH, "CAD", 500), (DEPOSIT, "CAD", -500)]),
    (7, [(CASH, "CAD", MAX), (FEES, "CAD", -1), (DEPOSIT, "CAD", 1 - MAX)]),
)


def test_content_comes_back_as_it_was() -> None:
    assert Content.decode(TWO.encode()) == TWO
    assert Content.decode(Content().encode()) == Content()


def test_content_always_gives_the_same_bytes() -> None:
    assert TWO.encode() == Content.decode(TWO.encode()).encode()


def test_content_names_stripes_and_legs() -> None:
    assert TWO.stripes() == [Stripe(CASH, "CAD"), Stripe(DEPOSIT, "CAD"), Stripe(FEES, "CAD")]
    assert list(TWO.legs()) == [
        [(CASH, "CAD", 500), (DEPOSIT, "CAD", -500)],
        [(CASH, "CAD", MAX), (FEES, "CAD", -1), (DEPOSIT, "CAD", 1 - MAX)],
    ]


def test_outcomes_come_back_as_they_were() -> None:
    outcomes = Outcomes(
        b"f" * 32,
        [1, 2, MAX],
        [
            Refusal(5, -1, None, "UNREADABLE", "", "why", None, None),
            Refusal(6, MAX, "caf\u00e9", "TOO_LATE", "created_at", "why", b"", b"\xff" * 1_000),
        ],
    )
    assert Outcomes.decode(outcomes.encode()) == outcomes
    assert Outcomes.decode(Outcomes().encode()) == Outcomes()


def test_decision_comes_back_as_it_was() -> None:
    decision = settle(numbered([draft("t-1"), unreadable(), draft("t-1")]))
    again = Decision(**avro.decode("Decision", avro.encode("Decision", decision.row())))
    assert again == decision
    assert again.digest == decision.digest


@pytest.mark.parametrize("decoder", [Content.decode, Outcomes.decode])
def test_bytes_of_something_else_are_a_value_error(decoder) -> None:
    chance = random.Random(4)
    whole = TWO.encode()
    texts = [b"", b"\xff" * 40, whole + b"\0", whole[:-1], b"\x02" * 7]
    texts += [chance.randbytes(chance.randrange(1, 200)) for _ in range(300)]
    raised = 0
    for text in texts:
        try:
            decoder(text)
        except ValueError:
            raised += 1
    assert raised >= len(texts) - 5


def test_truncated_avro_never_raises_anything_but_value_error() -> None:
    whole = avro.encode("Transaction", draft(metadata={"a": "b"}, reverses="x"))
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="not Avro"):
            avro.decode("Transaction", whole[:length])
    with pytest.raises(ValueError, match="1 bytes after"):
        avro.decode("Transaction", whole + b"\0")
    assert avro.decode("Transaction", b"12345" + whole, 5) == draft(
        metadata={"a": "b"}, reverses="x"
    )


def test_avro_carries_no_lone_surrogates() -> None:
    """So `decide`, whose drafts were decoded from Avro, never meets one."""
    with pytest.raises(ValueError, match="UnicodeDecodeError"):
        avro.decode_as({"type": "string"}, b"\x06\xed\xa0\x80")
    with pytest.raises(UnicodeEncodeError):
        avro.encode("Transaction", draft("\ud800"))


# The chain


def chain(*contents: Content) -> list[tuple[Decision, Watermark]]:
    """Runs that follow each other, each with the watermark after it."""
    mark, made = Watermark(), []
    for offset, each in enumerate(contents):
        decision = run_of(each, watermark=mark)
        mark = decision.after(mark, decisions_offset=offset)
        made.append((decision, mark))
    return made


def test_a_run_follows_the_last_one_by_position_and_digest() -> None:
    (first, one), (second, two) = chain(TWO, content((9, [(CASH, "CAD", 1), (FEES, "CAD", -1)])))
    assert first.follows == NO_DIGEST
    assert first.continues(Watermark())
    assert second.continues(one)
    assert (second.start, second.follows) == (first.end, first.digest)
    assert two == Watermark(2, 10, second.digest, second.recorded_until)
    assert not second.continues(Watermark())
    assert not first.continues(one)
    assert not second.continues(replace(one, digest=NO_DIGEST))
    assert not second.continues(replace(one, end=one.end + 1))


def test_a_zombies_run_is_dropped_whole_by_everybody() -> None:
    """Both append after the same run; whoever came first in the log wins."""
    base = settle([received(draft("t-1"))])
    mark = base.after(Watermark(), decisions_offset=0)
    mine = settle([received(draft("t-2"), 1)], watermark=mark)
    zombie = settle([received(draft("t-3"), 1)], watermark=mark, memory=no_memory())
    later = settle([received(draft("t-4"), 2)], watermark=mine.after(mark, decisions_offset=1))
    for log, valid in (
        ([base, mine, zombie, later], [base, mine, later]),
        ([base, zombie, mine, later], [base, zombie]),
        ([base, mine, mine, later], [base, mine, later]),
    ):
        at, accepted = Watermark(), []
        for offset, decision in enumerate(log):
            if decision.continues(at):
                at = decision.after(at, decisions_offset=offset)
                accepted.append(decision)
        assert accepted == valid


def test_a_run_without_positions_still_moves_the_chain() -> None:
    """Reference data read in between is put on record by an empty run; a second one is dropped."""
    mark = chain(TWO)[0][1]
    empty = settle([], watermark=mark)
    after = empty.after(mark, decisions_offset=mark.decisions_offset)
    assert empty.continues(mark)
    assert after.end == mark.end
    assert not empty.continues(after)


def test_the_digest_covers_everything() -> None:
    decision = chain(TWO, TWO)[1][0]
    changed = {
        "shard": 1,
        "start": 1,
        "end": 99,
        "follows": b"x" * 32,
        "recorded_until": 1,
        "reference_offset": 1,
        "accepted": 1,
        "content": Content().encode(),
        "outcomes": Outcomes().encode() + b"\0",
        "reference_digest": b"r" * 32,
        "voids": b"v",
    }
    assert changed.keys() == {field.name for field in fields(Decision)}
    digests = {replace(decision, **{name: value}).digest for name, value in changed.items()}
    assert len(digests | {decision.digest}) == len(changed) + 1


def test_the_digest_can_be_made_from_the_heads_that_a_journal_keeps() -> None:
    decision = chain(TWO, TWO)[1][0]
    head = RunHead(*(getattr(decision, name) for name in RunHead._fields))
    parts = {
        "content": sha256(decision.content).digest(),
        "outcomes": sha256(decision.outcomes).digest(),
    }
    assert chain_digest(head, **parts) == decision.digest


def test_the_digest_is_the_one_it_always_was() -> None:
    """The chain is for ever: another value here would orphan every journal there is."""
    expected = "c7d3c6f6b4a29b64a735d09fdb00224fe0d336dc2ac9c02c2d24a3bfd8b62a98"
    assert run_of(TWO).digest.hex() == expected

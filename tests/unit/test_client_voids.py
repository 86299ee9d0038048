"""What may be voided, and the record that asks for it."""

import asyncio

import pytest

from ledger.cli.output import print_voids
from ledger.cli.void import _row
from ledger.client.voids import Unposted, _wanted, require_unposted, void, void_request
from ledger.domain.checks import check_fields
from ledger.domain.decide import check_key
from ledger.domain.policy import DAY, Policy
from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.rows import PostedVoid
from ledger.settings import Settings
from tests.builders import content_of, draft, id_in_shard, numbered, pair, settle

NAME = id_in_shard(2, 4)
BOTH = content_of(settle(numbered([draft(NAME), draft("t-9", entries=pair("7", "JPY"))], 5)))
UNPOSTED = Unposted(2, 3, BOTH.part({5}))


def test_a_request_is_in_the_same_shard_and_its_id_cannot_be_guessed() -> None:
    made = void_request(UNPOSTED, "me: " + "x" * 2_000)
    assert (made["kind"], made["reverses"], made["entries"]) == ("ledger.void", NAME, [])
    assert check_key(made, NAME.encode(), 2, 4) is None
    at = made["created_at"]
    assert check_fields(made, recorded_at=at, policy=Policy(), floor=at - DAY) is None
    assert made["transaction_id"] != void_request(UNPOSTED, "me")["transaction_id"]
    assert made["transaction_id"].startswith("ledger.void/2/5/")


def test_unposted_transactions_are_chosen_by_offset_or_by_decimals() -> None:
    assert [each.offset for each in _wanted(2, 3, BOTH, {6, 77})] == [6]
    assert _wanted(2, 3, BOTH, {"CAD": 2, "JPY": 0}) == []
    (odd,) = _wanted(2, 3, BOTH, {"JPY": 2})
    assert (odd.offset, odd.transaction_id, odd.mixed({"JPY": 2})) == (6, "t-9", {"JPY": (0, 2)})
    row = _row(odd, {"JPY": 2})
    assert row["why"] == (
        "JPY was decided with 0 decimals, and the general ledger has it with 2"
    )  # fmt: skip


def test_only_unposted_transactions_are_voided() -> None:
    posted = Watermark(4, 5)
    require_unposted(2, {5}, [UNPOSTED], posted)
    with pytest.raises(
        LedgerError, match="posted up to position 5, so the transaction at 4"
    ) as error:
        require_unposted(2, {4, 5}, [UNPOSTED], posted)
    assert "publish a reversal of a posted one. Nothing was changed" in str(error.value)
    with pytest.raises(LedgerError, match="No transaction was accepted at offset 6 of shard 2"):
        require_unposted(2, {5, 6}, [UNPOSTED], posted)


@pytest.mark.parametrize("reason", ["x" * 1_001, "a\nb", "\x1b"])
def test_an_invalid_reason_is_refused_before_anything_is_written(reason: str) -> None:
    with pytest.raises(LedgerError, match=r"The reason .*\. Nothing was changed"):
        asyncio.run(
            void(Settings(bootstrap_servers="none:1"), [UNPOSTED], reason=reason, seconds=1)
        )


def test_audits_print_voided_transactions(capsys: pytest.CaptureFixture[str]) -> None:
    print_voids([])
    assert capsys.readouterr().out == ""
    one = PostedVoid(2, 5, 9, 0, 3, 4, 1, "me: it is stuck", UNPOSTED.content.encode())
    odd = one._replace(content=b"?", was_posted=True)
    print_voids([each.as_json() for each in (one, odd)])
    printed = capsys.readouterr().out
    assert "2 void by authority, counted nowhere" in printed
    assert NAME in printed
    assert "me: it is stuck" in printed
    assert one.as_json()["recorded_at"] == "1970-01-01T00:00:00.000000Z"
    assert (odd.as_json()["transaction"], odd.as_json()["was_posted"]) == ("", True)
    assert str(one).startswith(f"void: {NAME!r}, shard 2 offset 5")

"""What each status of an application means, and what an operator does about it."""

from pathlib import Path

from ledger.health.exits import Exit, advice_of, meaning_of


def test_every_status_has_a_meaning_and_advice_of_its_own():
    texts = {(meaning_of(status), advice_of(status)) for status in (*Exit, 1)}
    assert len(texts) == len(Exit) + 1


def test_a_signal_and_an_unknown_status_have_a_meaning():
    assert meaning_of(-9) == "It was ended by signal 9."
    assert meaning_of(1) == "It ended by itself."
    assert "log" in advice_of(1)


def test_every_status_is_in_the_operations_page():
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for status in Exit:
        assert f"- **{status.value}, " in page, status

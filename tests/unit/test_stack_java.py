"""Command lines for Java, and what tests may add to them."""

import pytest

from ledger.stack import java


def test_tests_may_add_options_as_in_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(java.FOR_TESTS, "-XX:TieredStopAtLevel=1 '-Da=b c'")
    assert java.for_tests() == ("-XX:TieredStopAtLevel=1", "-Da=b c")
    monkeypatch.delenv(java.FOR_TESTS)
    assert java.for_tests() == ()

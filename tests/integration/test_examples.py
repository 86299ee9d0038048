"""The clients of `examples/` in other languages: publishers and balance readers, on a plain ledger."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.conftest import Stack
from tests.example_clients import LANGUAGES, Language, balance, deposits, publish, reading
from tests.wire import Wire

COMMON = uuid4().hex[:12]
"""Part of the id that every language publishes."""
every_language = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)


@every_language
def test_what_is_published_is_read_reconciled(
    stack: Stack, new_id: Callable[..., str], language: Language
) -> None:
    settings, made = stack.settings.model_dump(), deposits(new_id, language.name, COMMON)
    with reading(language, settings, *made.accounts) as reader:
        places = publish(language, settings, made.lines)
        reader.until(*made.reconciled)
    assert len({shard for shard, _ in places.values()}) > 1


@pytest.mark.traces
@every_language
def test_late_versions_are_ignored_and_what_is_withdrawn_is_forgotten(
    wire: Wire, new_id: Callable[..., str], language: Language
) -> None:
    late, again, gone, last = (f"liabilities:examples:{new_id()}" for _ in range(4))
    wire.spoiled = True

    def append(account: str, version: int) -> None:
        posted = f"{version}.00"
        value = balance(wire.codec, account, posted=posted, version=version) if version else None
        wire.append("balances", f"{account} CAD".encode(), value)

    try:
        for version in (5, 4):
            append(late, version)
        for version in (9, 0, 1):
            append(again, version)
        for version in (3, 0):
            append(gone, version)
        with reading(language, wire.settings.model_dump(), late, again, gone, last) as reader:
            reader.until(f"{late} CAD 5.00 0.00 reconciled", f"{again} CAD 1.00 0.00 reconciled")
            for account, version in (
                (late, 3),
                (late, 6),
                (again, 8),
                (again, 0),
                (again, 2),
                (last, 1),
            ):
                append(account, version)
            reader.until(*(
                f"{account} CAD {version}.00 0.00 reconciled"
                for account, version in ((late, 6), (again, 2), (last, 1))
            ))  # fmt: skip
        assert sorted(reader.lines) == sorted(
            f"{account} CAD {version}.00 0.00 reconciled"
            for account, version in (
                (late, 5),
                (late, 6),
                (again, 1),
                (again, 8),
                (again, 2),
                (last, 1),
            )
        )
    finally:
        for account in (late, again, gone, last):
            append(account, 0)

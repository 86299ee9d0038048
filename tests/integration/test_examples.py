"""The clients of `examples/` in other languages, on a plain ledger: over Kafka, and over HTTP."""

import subprocess
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.conftest import Stack
from tests.example_clients import (
    LANGUAGES,
    STARTED,
    Language,
    balance,
    built,
    deposits,
    environment,
    publish,
    reading,
)
from tests.integration.api_ledger import ApiLedger
from tests.waiting import PATIENCE
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


def over_http(ledger: ApiLedger, language: Language, program: str, lines: list[str]) -> list[str]:
    """What a backend prints; it fails where it ends with another code than 0."""
    access = {"API": ledger.urls[0], "TOKEN": ledger.token("publish", "read")}
    done = subprocess.run(
        (*language.publisher[:-1], program), cwd=built(language),
        env=environment(language, {}) | access | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        input="".join(f"{line}\n" for line in lines), capture_output=True, encoding="utf-8",
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "program"), [("python", "backend.py"), ("typescript", "build/backend.js")]
)
def test_a_backend_waits_for_each_deposit_and_reads_the_balance(
    api_ledger: ApiLedger, new_id: Callable[..., str], name: str, program: str
) -> None:
    account, first, second = f"liabilities:deposits:{new_id(name)}", new_id("d"), new_id("d")
    lines = [f"{first} {STARTED} {account} 0.10 CAD", f"{second} {STARTED} {account} 0.20 CAD"]
    printed = over_http(api_ledger, LANGUAGES[name], program, [*lines, lines[0]])
    assert printed == [
        f"{first} reconciled 0.10 CAD",
        f"{second} reconciled 0.30 CAD",
        f"{first} duplicate 0.30 CAD",
    ]

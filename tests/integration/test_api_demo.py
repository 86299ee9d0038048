"""What the demo does through the API, on the session's ledger: what it reads, and what it prints."""

import asyncio
import io
import os
import subprocess
from collections.abc import Callable
from random import randrange

import pytest
from rich.console import Console

from ledger.cli import demo_output as show
from ledger.cli.demo import Reached, Shown, new_token, requests
from ledger.demo import backend
from ledger.demo.backend import Answer, Backend
from ledger.domain.access import ALPHABET, ID_LENGTH, token_of
from ledger.errors import LedgerError
from tests.conftest import Finished, Stack
from tests.integration.api_ledger import ApiLedger
from tests.waiting import PATIENCE


def payment(name: str, account: str) -> str:
    """A line for `publish`: a client pays 12.34 in."""
    entries = [
        f'{{"account": "{path}", "side": "{side}", "amount": "12.34", "currency": "CAD"}}'
        for path, side in (("assets:bank:operating", "debit"), (account, "credit"))
    ]
    return (
        f'{{"transaction_id": "{name}", "kind": "deposit", "effective_at": "2026-11-30T10:00:00Z", '
        f'"entries": [{", ".join(entries)}]}}\n'
    )


def test_it_reads_a_balance_and_why_and_prints_requests_to_copy(
    api_ledger: ApiLedger, stack: Stack, cli: Callable[..., Finished], new_id: Callable[..., str]
) -> None:
    client, name = randrange(10**6, 10**7), new_id("demo")
    account = f"liabilities:clients:{client}:cash"
    cli("publish", "-", stdin=payment(name, account))
    console = Console(file=io.StringIO(), width=80)

    async def read() -> tuple[str, Answer]:
        token = await new_token(stack.settings)
        async with Backend(stack.settings, api_ledger.urls[0], token) as api:
            balance = await api.balance(account, "CAD", after=name)
            why = await api.why(account, "CAD", after=name)
        show.show_answers(console, [balance])
        show.show_why(console, (account, "CAD"), why)
        return token, why

    token, why = asyncio.run(read())
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.count("12.34") > 3
    assert why.row["adds_up"]

    # The same process, which has it: these requests do not say what they are to include.
    for number, asked in enumerate(commands(Reached(api_ledger.urls[0], token), client, name)):
        done = subprocess.run(
            ["bash", "-e", "-c", asked], capture_output=True, text=True, check=True,
            timeout=PATIENCE, env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        )  # fmt: skip
        assert ('"posted":"12.34"', '"adds_up":true', '"status":"reconciled"')[
            number
        ] in done.stdout


def commands(api: Reached, client: int, name: str) -> list[str]:
    """The three requests that the demo prints, each with the variables before it."""
    shown = Shown(well=True, client=client, accepted=name, refused=None)
    address, authorization, *lines = requests(shown, api, None)
    asked = "\n".join(lines).replace("\\\n", " ").splitlines()
    assert len(asked) == 3
    return [f"{address}\n{authorization}\n{each}" for each in asked]


def test_a_token_that_nobody_made_is_a_fault_with_a_sentence(
    api_ledger: ApiLedger, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "KNOWN_SECONDS", 0.1)
    unknown = token_of(ALPHABET[0] * ID_LENGTH, 1)

    async def read() -> None:
        async with Backend(stack.settings, api_ledger.urls[0], unknown):
            pass

    with pytest.raises(LedgerError, match="does not know a bearer token"):
        asyncio.run(read())

"""`faust-ledger demo`: show the whole ledger at work on one machine."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ledger.cli.output import FINDINGS, OK, errors, run
from ledger.cli.stack import directory, teller
from ledger.clock import now

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.cli.demo_output import Stopwatch
    from ledger.demo.generate import Made
    from ledger.settings import Settings

SEED = 1993
SECONDS = 120.0
SCOPES = ("publish", "read", "finance")
TOKEN_MICROS = 24 * 3_600 * 1_000_000


class Shown(NamedTuple):
    """Whether the demo went as expected, and what there is to look at afterwards.

    `client`: the number of the client whose balances were shown; `accepted`: the id of the last
    transaction that was accepted; `refused`: that of one that was refused, None if there is none.
    """

    well: bool
    client: int
    accepted: str
    refused: str | None


class Reached(NamedTuple):
    """The API: the address of a process, and a bearer token for it."""

    url: str
    token: str


def run_demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Data directory of the ledger that takes the made-up money. Default: one of the "
            "demo's own.",
        ),
    ] = None,
    transactions: Annotated[
        int, typer.Option(min=100, help="How many to publish; a few of them are bad.")
    ] = 5_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
) -> None:
    """Start a ledger, publish a wealth manager's day of transactions, and show the results.

    Exit codes: 0 every transaction is reconciled or refused as expected; 1 not, or there is a
    break; 3 a fault.
    """
    from ledger.cli import demo_output as show
    from ledger.demo.stage import running_stack
    from ledger.stack.api import urls
    from ledger.stack.files import layout
    from ledger.stack.progress import shown
    from ledger.stack.stack import settings_of
    from ledger.terminal import console as stdout

    place = directory(data_dir or home())
    console, messages = stdout(), errors()
    watch = show.Stopwatch(console)
    show.line(console, f"The demo's data: {place}")
    with (
        shown(messages) as meters,
        running_stack(
            place, workers=1, apis=1, keep=keep, meters=meters, say=teller(messages)
        ) as record,
    ):
        watch.done("Kafka, the schema registry, PostgreSQL, a worker and the API run")
        url, *_ = urls(layout(place), record)
        settings = settings_of(record)
        api = Reached(url, run(new_token(settings)))
        result = run(play(settings, api, console, watch, transactions))
        if not keep:
            show.line(console, "\nStopping what the demo started")
    if not keep:
        watch.done("Stopped")
    for text in ending(place, result, api, settings.ca_file, keep=keep):
        show.line(console, text)
    raise typer.Exit(OK if result.well else FINDINGS)


def home() -> Path:
    """The demo's own data directory."""
    import platformdirs

    return platformdirs.user_data_path("faust-ledger") / "demo"


async def new_token(settings: "Settings") -> str:
    """A bearer token for whoever looks at the demo; it expires after a day."""
    from ledger.cli.tokens import actor_of
    from ledger.client.tokens import TokenGrant, Tokens

    grant = TokenGrant(SCOPES, expires_at=now() + TOKEN_MICROS, note="demo")
    async with Tokens(settings, actor_of(settings)) as tokens:
        token, _ = await tokens.create(grant)
    return token


async def play(
    settings: "Settings", api: Reached, console: "Console", watch: "Stopwatch", count: int
) -> Shown:
    """Publish `count` transactions and print the results."""
    from ledger.cli import demo_output as show
    from ledger.cli.reconcile import audited
    from ledger.client.balances import BalanceReader
    from ledger.demo.backend import Backend
    from ledger.demo.generate import generate
    from ledger.demo.play import Player, register_assets

    at = now()
    # Each demo has ids of its own: those of an earlier demo would be repetitions.
    stream = list(generate(count, seed=SEED, label=f"demo-{at // 1_000_000}", at=at))
    await register_assets(settings, SECONDS)
    show.line(console, f"\nPublishing {count:,} transactions of a wealth manager and its clients")
    with show.following(console, count) as on_live:
        played = await Player(settings, seconds=SECONDS, on_live=on_live).play(stream)
    watch.done("Each transaction is reconciled or refused" if played.finished else "Time is up")
    async with BalanceReader(settings) as reader:
        balances = await reader.snapshot()
    client = show.busiest_client(stream, balances)
    show.show_balances(console, balances, client)
    show.show_refusals(console, played.refusals)
    show.show_summary(console, played)
    report = await audited(settings, full=False)
    show.show_verdict(console, played, report)
    watch.done("Every account is compared, stream against general ledger")
    accepted = last_accepted(stream)
    keys = show.few(balances, client)
    async with Backend(settings, api.url, api.token) as backend:
        show.show_answers(console, [await backend.balance(*key, after=accepted) for key in keys])
        show.show_why(console, keys[-1], why := await backend.why(*keys[-1], after=accepted))
    watch.done("An app backend reads it over HTTP")
    well = played.well and not (report.breaks or report.pending) and why.row["adds_up"]
    refused = next((each.transaction_id for each in played.refusals), None)
    return Shown(well, client, accepted, refused)


def last_accepted(stream: "Sequence[Made]") -> str:
    """The id of the last transaction that is accepted and can be reversed."""
    return next(
        made.draft["transaction_id"]
        for made in reversed(stream)
        if made.expected == "accepted" and made.draft["reverses"] is None
    )


def ending(
    place: Path, result: Shown, api: Reached, ca_file: Path | None, *, keep: bool
) -> list[str]:
    """The last lines: what to look at next."""
    if not keep:
        return [
            "\nNext:",
            "  make demo KEEP=1           the same, and everything stays running",
            "  docs/getting-started.md    a page each to publish, read, audit and run it",
        ]
    commands = [
        f"export FAUST_LEDGER_DATA_DIR={shlex.quote(str(place))}",
        f"faust-ledger balances --prefix liabilities:clients:{result.client}",
        f"faust-ledger register liabilities:clients:{result.client}:cash --currency CAD",
        f"faust-ledger explain liabilities:clients:{result.client}:cash --currency CAD",
        *([f"faust-ledger transaction show {result.refused}"] if result.refused else []),
        "faust-ledger trial-balance",
        "faust-ledger status",
    ]
    return [
        "\nEverything is still running. Look at it (`source .venv/bin/activate` first):",
        *(f"  {command}" for command in commands),
        "\nOr through the API, with a token that is good for a day:",
        *(f"  {line}" for line in requests(result, api, ca_file)),
        "\ndocs/getting-started.md has a page each to publish, read, audit and run it;",
        "docs/api.md is for app backends. `faust-ledger down` stops everything.",
    ]


def requests(result: Shown, api: Reached, ca_file: Path | None) -> list[str]:
    """Three requests to copy: a balance, why it is what it is, and a write that waits."""
    account = f"liabilities:clients:{result.client}:cash"
    trusting = f" --cacert {shlex.quote(str(ca_file))}" if ca_file else ""
    return [
        f"export API={api.url}/v1",
        f'export AUTH="Authorization: Bearer {api.token}"',
        f'curl{trusting} -H "$AUTH" "$API/balances/{account}"',
        f'curl{trusting} -H "$AUTH" "$API/balances/{account}/why"',
        f'curl{trusting} -H "$AUTH" "$API/transactions/{result.accepted}/reverse" \\',
        "  -H 'Prefer: wait=reconciled' -H 'Content-Type: application/json' -d '{}'",
    ]

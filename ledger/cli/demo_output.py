"""The demo's output, for somebody who sees a ledger for the first time."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import quantiles

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ledger.audit.findings import AuditReport
from ledger.cli.explain import GROUPS, PARTS, parts_of
from ledger.cli.tables import Column, Format, grouped, print_table_of
from ledger.client.balances import BalanceKey
from ledger.demo import market
from ledger.demo.backend import Answer
from ledger.demo.generate import Made
from ledger.demo.play import PACE, Live, Played
from ledger.domain.balance import Balance
from ledger.domain.run import Refusal
from ledger.terminal import plain_lines

LINE_SECONDS = 2.0
RATED_OVER = 10
BALANCES = (
    Column("account", "account", "account"),
    Column("posted", "balance", "amount"),
    Column("currency", "currency", "code"),
    Column("entries", "entries", "count", drop=1),
    Column("status", "status", "code"),
)
ANSWERS = (*BALANCES[:3], BALANCES[4], Column("took", "answered in", "number", drop=1))
REFUSALS = (
    Column("code", "code", "code"),
    Column("transaction_id", "transaction", "code"),
    Column("reason", "reason", "prose"),
)


class Stopwatch:
    """Prints how long each step took."""

    def __init__(self, console: Console) -> None:
        self._console, self._since = console, time.monotonic()

    def done(self, step: str) -> None:
        """Print that `step` is done, and the seconds since the last one."""
        now = time.monotonic()
        line(self._console, f"{step} ({now - self._since:.0f} s)")
        self._since = now


def progress_text(live: Live, rate: float, total: int) -> str:
    """The three counts, and the present rate of reconciled transactions."""
    text = f"{live.published:,} published, {live.decided:,} decided, {live.reconciled:,} reconciled"
    return text if live.reconciled >= total else f"{text} ({rate:,.0f}/s)"


class Rate:
    """Transactions a second over the last few calls."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=RATED_OVER)

    def after(self, count: int) -> float:
        """The rate now that `count` are done."""
        self._looks.append((time.monotonic(), count))
        (began, first), (now, last) = self._looks[0], self._looks[-1]
        return (last - first) / (now - began) if now > began else 0.0


@contextmanager
def following(console: Console, total: int) -> Iterator[Callable[[Live], None]]:
    """Shows progress: a bar on a terminal, otherwise a line every two seconds."""
    rate, printed = Rate(), time.monotonic()
    has_bar = console.file.isatty()
    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not has_bar) as progress:
        task = progress.add_task("", total=total)

        def show(live: Live) -> None:
            nonlocal printed
            text = progress_text(live, rate.after(live.reconciled), total)
            progress.update(task, completed=live.reconciled, description=text)
            if not has_bar and time.monotonic() - printed >= LINE_SECONDS:
                printed = time.monotonic()
                line(console, text)

        yield show


def line(console: Console, text: str) -> None:
    """Print a line without folding and without markup."""
    console.print(Text(plain_lines(text)), soft_wrap=True)


def show_balances(console: Console, found: Mapping[BalanceKey, Balance], client: int) -> None:
    """Print a dozen balances: the firm's own, and those of one client."""
    keys = interesting(found, client)
    line(console, f"\nBalances, {len(keys)} of {len(found):,}:")
    rows = [found[key]._asdict() for key in keys]
    print_table_of(BALANCES, rows, Format.TABLE, nothing="No balances.", on=console)


def interesting(found: Mapping[BalanceKey, Balance], client: int) -> list[BalanceKey]:
    """The keys of the balances to print, without those that do not exist."""
    wanted = [
        (market.BANK, "CAD"), (market.BANK, "USD"),
        (market.CUSTODY, "XTSE:SHOP"), (market.CUSTODY, "CRYPTO:BTC"),
        (market.trading("CAD"), "CAD"), (market.trading("CAD"), "XTSE:SHOP"),
        (market.FEES, "CAD"),
    ]  # fmt: skip
    mine = (market.cash(client), market.savings(client), market.holdings(client))
    wanted += sorted(key for key in found if key[0] in mine)[:5]
    return [key for key in wanted if key in found]


def busiest_client(stream: Sequence[Made], found: Mapping[BalanceKey, Balance]) -> int:
    """The number of the client with the most balances."""
    counts: dict[int, int] = {}
    for account, _ in found:
        if account.startswith(market.CLIENTS):
            client = int(account.split(":")[2])
            counts[client] = counts.get(client, 0) + 1
    keys = {made.draft["ordering_key"] for made in stream}
    return max(
        (client for client in counts if f"client-{client}" in keys),
        key=lambda client: (counts[client], -client),
    )


def show_refusals(console: Console, refused: Sequence[Refusal]) -> None:
    """Print each refusal with its reason."""
    line(console, f"\nRefused, {len(refused)} that are wrong on purpose:")
    rows = [each._asdict() for each in refused]
    print_table_of(REFUSALS, rows, Format.TABLE, nothing="Nothing was refused.", on=console)


def show_summary(console: Console, played: Played) -> None:
    """Print what was measured."""
    tally, count = played.tally, len(played.refusals)
    line(console, "")
    line(
        console,
        f"{tally.accepted:,} accepted, {count} refused, {tally.duplicates} published twice and "
        "counted once",
    )
    line(
        console,
        f"{played.bulk:,} at once: {played.bulk / played.bulk_seconds:,.0f} a second, from "
        "publishing to the reconciled balance",
    )
    cuts = quantiles(played.latencies, n=100, method="inclusive")
    p50, p95, p99 = (1_000 * cuts[each - 1] for each in (50, 95, 99))
    line(
        console,
        f"{PACE} a second: reconciled after {p50:.0f} ms (median), {p95:.0f} ms (95 %), "
        f"{p99:.0f} ms (99 %)",
    )


def show_verdict(console: Console, played: Played, report: AuditReport) -> None:
    """Print whatever is wrong, and the last line."""
    if not played.finished:
        line(console, "The time is up, and not all of them are reconciled or refused yet.")
    for kind, by in played.unexpected.items():
        line(console, f"Not as expected: {by:+} {kind}")
    for found in report.breaks:
        line(console, found.sentence)
    line(
        console,
        f"{report.reconciled:,} of {report.accounts:,} accounts reconciled, "
        f"{len(report.breaks)} breaks",
    )


def few(found: Mapping[BalanceKey, Balance], client: int) -> list[BalanceKey]:
    """The keys of three balances to ask the API for; the last is the client's."""
    mine = (key for key in interesting(found, client) if key[0].startswith(market.CLIENTS))
    wanted = [(market.BANK, "CAD"), (market.FEES, "CAD"), next(mine)]
    return [key for key in wanted if key in found]


def show_answers(console: Console, answers: Sequence[Answer]) -> None:
    """Print balances as the API has answered them."""
    line(console, "\nThe same for app backends, over HTTP: GET /v1/balances/ACCOUNT")
    rows = [{**each.row, "took": f"{each.milliseconds:.0f} ms"} for each in answers]
    print_table_of(ANSWERS, rows, Format.TABLE, nothing="No balances.", on=console)


def show_why(console: Console, key: BalanceKey, why: Answer) -> None:
    """Print what a balance is made of, as the API has answered it, and how it was checked."""
    account, currency = key
    took, posted = f"{why.milliseconds:.0f} ms", grouped(why.row["posted"])
    line(console, f"\nWhy {posted} {currency}? GET /v1/balances/{account}/why ({took})")
    print_table_of(PARTS, parts_of(why.row), Format.TABLE, nothing="", on=console)
    line(console, "")
    print_table_of(GROUPS, why.row["by_kind"], Format.TABLE, nothing="No lines.", on=console)
    shards = why.row["by_shard"]
    checked = sum((each["compared_to"] or 0) >= each["position"] for each in shards)
    pending = len(why.row["pending"])
    line(
        console,
        f"\nCompared, stream against general ledger, in {checked} of {len(shards)} shards; "
        f"{pending} pending",
    )

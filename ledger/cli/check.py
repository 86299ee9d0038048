"""`faust-ledger check`: check transactions as `publish` does, and send nothing."""

import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.completeness import INCOMPLETE
from ledger.cli.dating import is_undatable, open_past
from ledger.cli.line_input import CsvOption, FileArgument, Input, open_input
from ledger.cli.outcome_lines import OutcomeLines, OutcomesOption, open_outcomes
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    print_json,
    print_note,
    print_plain,
    run,
    settings_for,
)
from ledger.cli.publish import (
    CreatedAt,
    PublishRequest,
    created_at_of,
    print_refused_line,
    take_lines,
    usage_errors,
)
from ledger.clock import now
from ledger.errors import sentence

if TYPE_CHECKING:
    from ledger.client.receipt import LineOutcome
    from ledger.settings import Settings

ALWAYS = "whether an id is that of an accepted transaction; what a reversal reverses"
OFFLINE = (
    "accounts (declared, open, their currency); assets that are not of ISO 4217; the ledger's own "
    "policy; whether a line without created_at was published before"
)


@dataclass(frozen=True)
class Ledger:
    """The ledger to ask; `why` it is not asked, and whether it should have answered."""

    settings: "Settings"
    why: str | None = None
    failed: bool = False


def check(
    file: FileArgument,
    csv: CsvOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no ledger, even if there is one.")
    ] = False,
    created_at: CreatedAt = None,
    outcomes: OutcomesOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check transactions with the rules of `publish`, and publish nothing.

    With a ledger the command uses its accounts, assets and policy. Without one, or with --offline,
    it checks what needs none: form, times, amounts, balance, and currencies of ISO 4217. It prints
    what was not checked; `not_checked` has it in JSON. What is good here can still be refused: an
    id may be taken, and reference data may change.

    --outcomes writes one JSON object about each line; `outcome` is valid, refused, or unknown
    where only a ledger knows the asset.

    Exit codes: 0 every line is good; 1 a line was refused, or a file is too old or needs
    --created-at; 2 wrong usage; 3 a fault; 4 something is not known: the ledger does not answer, or
    a line has an asset that only a ledger knows.
    """
    request = PublishRequest(
        file, csv, created_at=created_at_of(created_at),
        outcomes=open_outcomes(outcomes, file, as_json=as_json),
    )  # fmt: skip
    ledger = _ledger(data_dir, offline=offline)
    with usage_errors():
        raise typer.Exit(run(_check(request, ledger, as_json=as_json)))


def _ledger(data_dir: Path | None, *, offline: bool) -> Ledger:
    from ledger.settings import load

    if data_dir is not None and not offline:
        return Ledger(settings_for(data_dir))
    settings = load(data_dir)
    if offline:
        return Ledger(settings, "--offline was given")
    if "bootstrap_servers" not in settings.model_fields_set:
        return Ledger(settings, "there is none here, and bootstrap_servers is not set")
    return Ledger(settings_for(data_dir))


async def _check(request: PublishRequest, ledger: Ledger, *, as_json: bool) -> int:
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        source = await open_input(request.file, request.csv, spool=False)
        stack.callback(source.close)
        checked = _Checked(stack.enter_context(OutcomeLines(request.outcomes)))
        if ledger.why is None:
            ledger = await _with_ledger(request, source, ledger, checked)
        if ledger.why is not None:
            await _offline(request, source, ledger, checked)
    found: dict[str, Any] = {
        "lines": checked.good + checked.refused + checked.unknown,
        "good": checked.good,
        "refused": checked.refused,
        "unknown": checked.unknown,
        "ledger_asked": ledger.why is None,
        "not_checked": [ALWAYS] if ledger.why is None else [ALWAYS, OFFLINE],
        "seconds": round(time.monotonic() - began, 3),
    }
    if as_json:
        print_json(found)
    else:
        _print_found(found, ledger, quiet=request.outcomes is sys.stdout)
    if checked.refused or checked.is_undatable:
        return FINDINGS
    return INCOMPLETE if ledger.failed or checked.unknown else OK


@dataclass
class _Checked:
    """Counts of lines; `is_undatable`: lines without created_at could be repetitions."""

    outcomes: OutcomeLines
    good: int = 0
    refused: int = 0
    unknown: int = 0
    is_undatable: bool = False

    def take(self, found: "LineOutcome", *, offline: bool = False) -> None:
        """Count, print and write the outcome of a line."""
        from ledger.domain.refusal import Reason

        refused = found.refused
        if offline and refused is not None and refused.reason is Reason.UNKNOWN_CURRENCY:
            why = f"{refused.field} is not of ISO 4217; a ledger may have it as an asset."
            print_note(f"line {found.line}: not known: {why}")
            found = found._replace(refused=None, failure=why)
            self.unknown += 1
        elif refused is not None:
            print_refused_line(found)
            self.refused += 1
        else:
            self.good += 1
        self.outcomes.add(found)


async def _with_ledger(
    request: PublishRequest, source: Input, ledger: Ledger, checked: _Checked
) -> Ledger:
    """Check with the ledger's reference data; returns why that was not possible, if it was not."""
    from ledger.client.bulk import Feed
    from ledger.client.publisher import Publisher
    from ledger.errors import Unavailable

    async with AsyncExitStack() as stack:
        try:
            publisher = await stack.enter_async_context(Publisher(ledger.settings))
        except Unavailable as error:
            return replace(ledger, why=str(error), failed=True)
        past = open_past(ledger.settings, stack)
        if await is_undatable(request, source, past):
            checked.is_undatable = True
            return ledger
        feed = Feed(
            publisher,
            created_at=request.default_time(source),
            on_outcome=checked.take,
            past=past,
            promised=request.created_at is not None,
        )
        await take_lines(source, "Checking", feed.check)
    return ledger


async def _offline(
    request: PublishRequest, source: Input, ledger: Ledger, checked: _Checked
) -> None:
    from ledger.client.bulk import Feed
    from ledger.client.checking import OfflineChecker
    from ledger.streaming.reference import policy_of

    feed = Feed(
        OfflineChecker(policy_of(ledger.settings)),
        created_at=now() if request.created_at is None else request.created_at,
        on_outcome=partial(checked.take, offline=True),
    )
    await take_lines(source, "Checking", feed.check)


def _print_found(found: dict[str, Any], ledger: Ledger, *, quiet: bool) -> None:
    # With `--outcomes -` stdout is for programs.
    show = print_note if quiet else print_plain
    unknown = f", {found['unknown']:,} not known" if found["unknown"] else ""
    show(f"{found['good']:,} of {found['lines']:,} lines are good, {found['refused']:,} refused"
         f"{unknown}. Nothing was sent.")  # fmt: skip
    if ledger.why is not None:
        print_note(sentence(f"No ledger was asked: {ledger.why}"))
    print_note(f"Not checked: {'; '.join(found['not_checked'])}.")

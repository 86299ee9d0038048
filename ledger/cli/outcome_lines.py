"""`--outcomes`: one JSON object a line about every line that `publish` or `check` read."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TextIO

import typer

from ledger.cli.streams import OutputFailed

if TYPE_CHECKING:
    from ledger.client.outcomes import OutcomeWatch
    from ledger.client.receipt import LineOutcome, Receipt
    from ledger.domain.run import Refusal

VALID, PUBLISHED, REFUSED, UNKNOWN = "valid", "published", "refused", "unknown"

OutcomesOption = Annotated[
    str | None,
    typer.Option(
        "--outcomes", metavar="FILE|-",
        help="Write one JSON object a line: line, id, outcome, code, field, sentence, shard, "
        "offset.",
    ),
]  # fmt: skip


def open_outcomes(name: str | None, source: str, *, as_json: bool) -> TextIO | None:
    """The stream to write to. A usage error where it cannot be, before anything is published."""
    if name is None:
        return None
    if name == "-":
        if as_json:
            raise typer.BadParameter("- and --json would both print to stdout; name a file.",
                                     param_hint="--outcomes")  # fmt: skip
        return sys.stdout
    try:
        if Path(name).exists() and Path(source).exists() and os.path.samefile(name, source):  # noqa: PTH121
            raise typer.BadParameter(f"{name} is the input itself.", param_hint="--outcomes")
        return Path(name).open("w", encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{name}: {error.strerror}", param_hint="--outcomes") from error


class OutcomeLines:
    """Writes outcomes to `stream` as they become known, or nowhere; a context manager.

    With `watch`, what is published is kept in a temporary file and written on leaving, with what
    the ledger has decided by then.
    """

    def __init__(self, stream: TextIO | None, watch: "OutcomeWatch | None" = None) -> None:
        self._stream, self._watch = stream, watch
        self._waiting = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - __exit__
        self._refusals: dict[Receipt, Refusal] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._waiting:
            self._waiting.seek(0)
            for text in self._waiting:
                self._write(self._decided(json.loads(text)))
        if self._stream is not None:
            with _writing():
                self._stream.flush() if self._stream is sys.stdout else self._stream.close()

    def add(self, found: "LineOutcome") -> None:
        """Take the outcome of a line."""
        if self._stream is None:
            return
        row = _row(found)
        if found.receipt is not None and self._watch is not None:
            self._waiting.write(json.dumps(row) + "\n")
        else:
            self._write(row)

    def hold(self, found: "LineOutcome") -> None:
        """Take the outcome of a line that was only checked; it counts unless it is published."""
        if self._stream is not None:
            self._waiting.write(json.dumps(_row(found)) + "\n")

    def drop_held(self) -> None:
        """The lines that were only checked are published now."""
        self._waiting.seek(0)
        self._waiting.truncate()

    def refused_by_ledger(self, receipt: "Receipt", refusal: "Refusal") -> None:
        """Take the service's refusal of a line that was published."""
        if self._stream is not None:
            self._refusals[receipt] = refusal

    def _decided(self, row: dict[str, Any]) -> dict[str, Any]:
        from ledger.client.outcomes import Outcome
        from ledger.client.receipt import Receipt

        if self._watch is None or row["offset"] is None:
            return row
        receipt = Receipt(row["shard"], row["offset"])
        outcome = self._watch.outcome_of(receipt)
        row["outcome"] = PUBLISHED if outcome is Outcome.UNDECIDED else outcome.value
        if (refusal := self._refusals.get(receipt)) is not None:
            row |= {"code": refusal.code, "field": refusal.field, "sentence": refusal.reason}
        return row

    def _write(self, row: dict[str, Any]) -> None:
        if self._stream is not None:
            with _writing():
                self._stream.write(json.dumps(row) + "\n")


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputFailed(
            f"The outcomes cannot be written ({error.strerror}). What was published stays "
            "published; it is safe to publish the same lines again."
        ) from error


def _row(found: "LineOutcome") -> dict[str, Any]:
    refused, receipt = found.refused, found.receipt
    outcome = VALID
    if refused is not None:
        outcome = REFUSED
    elif receipt is not None:
        outcome = PUBLISHED
    elif found.failure is not None:
        outcome = UNKNOWN
    return {
        "line": found.line,
        "id": found.transaction_id,
        "outcome": outcome,
        "code": refused and refused.reason.value,
        "field": refused and refused.field,
        "sentence": refused.sentence if refused else found.failure,
        "shard": receipt and receipt.shard,
        "offset": receipt and receipt.offset,
    }

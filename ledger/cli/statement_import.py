"""What the commands of `faust-ledger statements` do with the topic and the general ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ledger.cli.moments import moment_of
from ledger.cli.read import from_ledger
from ledger.cli.statement_rows import TieAnswer, change_fields, head_fields, tie_fields
from ledger.cli.tokens import actor_of
from ledger.errors import Unavailable
from ledger.settings import Settings
from ledger.statements.book import Book
from ledger.statements.changes import Change, changes
from ledger.statements.csv_files import Given
from ledger.statements.formats import Options, read_statements
from ledger.statements.importing import Origin, Plan, Planned, Wanted, plan
from ledger.statements.mapping import parse_mapping
from ledger.statements.model import Fault, Statement, Unproven
from ledger.statements.proof import ties
from ledger.statements.records import Head, SavedMapping
from ledger.statements.source import Source
from ledger.statements.store import Statements


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was given."""

    file: str
    account: str | None
    mapping: str | None
    encoding: str
    opening: str | None
    closing: str | None
    on: date | None
    timezone: str | None
    relink: bool
    tied: bool


@dataclass(frozen=True, slots=True)
class Result:
    """A statement of the file, what it changed, and the ledger beside it."""

    planned: Planned
    changes: list[Change]
    tie: TieAnswer

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        scale = self.planned.statement.scale
        return head_fields(self.planned.head) | {
            "verdict": self.planned.verdict,
            "changes": [change_fields(each, scale) for each in self.changes],
        } | tie_fields(self.tie)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: nothing is imported where something is refused."""

    results: list[Result] = field(default_factory=list)
    refused: Unproven | None = None

    @property
    def is_tie_known(self) -> bool:
        """Whether the ledger was compared with every statement."""
        return all(each.tie.known for each in self.results)

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        refused = self.refused and {
            "code": self.refused.code, "line": self.refused.line or None,
            "reason": self.refused.sentence,
        }  # fmt: skip
        return {"statements": [each.fields() for each in self.results], "refused": refused}


async def import_file(settings: Settings, stream: Source, asked: Asked) -> Imported:
    """Read, prove and append the statements of a file."""
    async with Statements(settings, actor_of(settings).who) as statements:
        try:
            made = await _plan(statements, stream, asked)
            found = [await _result(settings, statements, made, each) for each in made.statements]
            if asked.tied:
                _require_tied(found)
            lost = await statements.append(made)
        except Unproven as error:
            return Imported(refused=error)
        if lost:
            return Imported(refused=Unproven(
                Fault.CHANGED_MEANWHILE,
                f"Another import of {lost[0].statement.id} came first. Import the file again.",
            ))  # fmt: skip
        return Imported(found)


async def _plan(statements: Statements, stream: Source, asked: Asked) -> Plan:
    reference = await statements.reference()
    saved = _mapping(statements.book, asked.mapping)
    options = Options(
        mapping=None if saved is None else parse_mapping(saved.text), encoding=asked.encoding,
        given=Given(asked.account or "", asked.opening, asked.closing, asked.on),
    )  # fmt: skip
    form, found = read_statements(stream, reference.scales, options)
    name = "" if asked.file == "-" else Path(asked.file).name
    origin = Origin(form, name, saved.label if saved else "", statements.by)
    wanted = Wanted(asked.account, asked.relink, asked.timezone)
    return plan(found, statements.book, reference, wanted, origin)


def _mapping(book: Book, name: str | None) -> SavedMapping | None:
    if name is None:
        return None
    if versions := book.mappings.get(name):
        return versions[-1]
    raise Unproven(
        Fault.MAPPING_UNKNOWN,
        f"No mapping {name!r} is saved. `faust-ledger statements mappings` lists them.",
    )


async def _result(
    settings: Settings, statements: Statements, made: Plan, planned: Planned
) -> Result:
    found: list[Change] = []
    if planned.verdict == "corrected":
        assert planned.before is not None, "it corrects one"
        found = changes(await statements.whole(planned.before), planned.statement)
    identification = planned.statement.account.identification
    link = made.links.get(identification) or statements.book.links[identification]
    return Result(planned, found, await tie(settings, planned.head, planned.statement,
                                            link.timezone))  # fmt: skip


def _require_tied(found: Sequence[Result]) -> None:
    for each in found:
        if not each.tie.known:
            raise Unavailable(f"Nothing was imported: {each.tie.why}")
        for row in tie_fields(each.tie)["ties"]:
            if row["stated"] != row["ledger"]:
                raise Unproven(
                    Fault.LEDGER_DIFFERS,
                    f"{each.planned.statement.id} ends with {row['stated']} {row['code']} on "
                    f"{each.planned.statement.closing.on}, and {each.planned.head.account} has "
                    f"{row['ledger']}.",
                )


async def tie(settings: Settings, head: Head, statement: Statement, timezone: str) -> TieAnswer:
    """The statement beside the general ledger at the end of its closing day."""
    moment = moment_of(None, str(statement.closing.on), timezone, None)
    try:
        rows, report = await from_ledger(settings, [head.account], None, moment)
    except Unavailable as error:
        return TieAnswer([], str(error))
    held = {each.currency: (each.debits - each.credits, each.scale) for each in rows}
    found = ties(statement, held)
    return TieAnswer(found, "" if report.complete else " ".join(report.sentences()))


async def read_book(settings: Settings) -> Book:
    """All statements that count."""
    async with Statements(settings, actor_of(settings).who) as statements:
        return statements.book


async def read_statement(settings: Settings, id_: str) -> tuple[Head, Statement, TieAnswer] | None:
    """A statement with its lines, and the ledger beside it; None where there is none."""
    async with Statements(settings, actor_of(settings).who) as statements:
        head = statements.book.present(id_)
        if head is None:
            return None
        statement = await statements.whole(head)
        link = statements.book.links[statement.account.identification]
    return head, statement, await tie(settings, head, statement, link.timezone)


async def save(settings: Settings, name: str, text: str) -> SavedMapping:
    """Save a mapping by name. Raises Unproven for one that is wrong."""
    async with Statements(settings, actor_of(settings).who) as statements:
        return await statements.save_mapping(name, text)

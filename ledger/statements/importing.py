"""What an import of a file would do: the pure step between a file and the topic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ledger.domain import account as accounts
from ledger.domain.reference import Reference
from ledger.statements.book import Book
from ledger.statements.formats import Found
from ledger.statements.model import Fault, Statement, Unproven
from ledger.statements.proof import Place, prove, prove_place
from ledger.statements.records import Head, Link, Part, digest_of, parts_of

Verdict = Literal["imported", "corrected", "unchanged"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command says about accounts.

    `account`: of the ledger, that of all statements in the file. `relink`: it may be another than
    before. `timezone`: where the bank's days end; None for what was remembered, or UTC.
    """

    account: str | None = None
    relink: bool = False
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where statements come from, for their records."""

    form: str
    file: str
    mapping: str
    by: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement of the file that is proven, and what it does to what is there."""

    head: Head
    statement: Statement
    verdict: Verdict
    before: Head | None
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import of the file appends: links first, then the statements in order."""

    links: Mapping[str, Link]
    statements: Sequence[Planned]


def plan(
    found: Sequence[Found], book: Book, reference: Reference, wanted: Wanted, origin: Origin
) -> Plan:
    """Prove every statement of a file, each after those before it.

    Raises Unproven for the first that fails, and then nothing of the file is imported.
    """
    links: dict[str, Link] = {}
    planned: dict[str, Planned] = {}
    places: dict[tuple[str, str], dict[str, Place]] = {}
    for statement, line in found:
        account = statement.account.identification
        link = links.get(account) or _link(book, statement, wanted, line)
        _require_account(link.account, statement, reference, line)
        prove(statement, line)
        made = _planned(statement, link, book, origin)
        if (twin := planned.get(statement.id)) is not None:
            _require_same(made, twin, line)
            continue
        if statement.series not in places:
            places[statement.series] = book.places(statement.series)
        if not statement.of_securities and made.verdict != "unchanged":
            series = places[statement.series]
            series.pop(statement.id, None)
            place, corrects = Place.of(statement), made.verdict == "corrected"
            prove_place(place, list(series.values()), corrects=corrects, line=line)
            series[statement.id] = place
        planned[statement.id] = made
        if book.links.get(account) != link:
            links[account] = link
    return Plan(links, list(planned.values()))


def _require_same(made: Planned, twin: Planned, line: int) -> None:
    if made.head.digest != twin.head.digest:
        raise Unproven(
            Fault.PERIOD_OVERLAPS,
            f"{made.statement.id} is in the file twice, with other contents.", line,
        )  # fmt: skip


def _link(book: Book, statement: Statement, wanted: Wanted, line: int) -> Link:
    identification = statement.account.identification
    known = book.links.get(identification)
    if wanted.account is None:
        if known is None:
            raise Unproven(
                Fault.ACCOUNT_NOT_LINKED,
                f"No account of the ledger is known for {identification}. Give it once with "
                "--account; it is remembered.", line,
            )  # fmt: skip
        return replace(known, timezone=wanted.timezone or known.timezone)
    if known is not None and known.account != wanted.account and not wanted.relink:
        raise Unproven(
            Fault.ACCOUNT_LINKED,
            f"{identification} is {known.account}, and --account is {wanted.account}. Give "
            "--relink if it is another from now on.", line,
        )  # fmt: skip
    timezone = wanted.timezone or (known.timezone if known else "UTC")
    return Link(wanted.account, timezone)


def _require_account(account: str, statement: Statement, reference: Reference, line: int) -> None:
    if not accounts.well_formed(account):
        raise Unproven(
            Fault.ACCOUNT_UNKNOWN, f"{account!r} is no account, such as assets:bank:main.", line
        )
    declared = reference.accounts.get(account)
    if declared is None:
        if not reference.policy.open_unknown_accounts:
            raise Unproven(
                Fault.ACCOUNT_UNKNOWN,
                f"{account} is not declared. `faust-ledger accounts import` declares it.", line,
            )  # fmt: skip
    elif declared.currency not in (None, statement.currency) and not statement.of_securities:
        raise Unproven(
            Fault.ACCOUNT_CURRENCY,
            f"{account} takes {declared.currency} alone, and the statement is in "
            f"{statement.currency}.", line,
        )  # fmt: skip


def _planned(statement: Statement, link: Link, book: Book, origin: Origin) -> Planned:
    before = book.present(statement.id)
    digest = digest_of(statement)
    verdict: Verdict = "imported"
    if before is not None:
        verdict = "unchanged" if before.digest == digest else "corrected"
    parts = parts_of(statement)
    head = Head(
        replace(statement, lines=(), positions=(), stated_count=None), link.account, digest,
        before.digest if before else b"", len(parts),
        len(statement.lines) + len(statement.positions), origin.form, origin.file, origin.mapping,
        origin.by,
    )  # fmt: skip
    return Planned(head, statement, verdict, before, parts)

"""Statements that come in pages, joined: each page begins where the one before ended."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ledger.domain import money
from ledger.statements.model import Fault, Statement, Unproven


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a statement, with its own balances; `line`: of the file, where it begins.

    `is_first`: it opens with the statement's balance, and not with one in between. `is_last`: it
    closes with it.
    """

    statement: Statement
    number: int | None
    is_first: bool
    is_last: bool
    line: int


def joined(pages: Iterable[Page]) -> Iterator[tuple[Statement, int]]:
    """Whole statements, each with the line at which it begins.

    Raises Unproven for a missing page.
    """
    open_: list[Page] = []
    for page in pages:
        if open_:
            _require_next(open_[-1], page)
        elif not page.is_first:
            raise _missing("The pages before it are missing: it begins with a balance in between.",
                           page.line)  # fmt: skip
        open_.append(page)
        if page.is_last:
            yield _whole(open_), open_[0].line
            open_ = []
    if open_:
        raise _missing("Its last page is missing: it ends with a balance in between.",
                       open_[-1].line)  # fmt: skip


def _require_next(last: Page, page: Page) -> None:
    before, after = last.statement, page.statement
    is_same = (before.series, before.number) == (after.series, after.number)
    if page.is_first or not is_same:
        raise _missing("The last page of the statement before it is missing.", page.line)
    if last.number is not None and page.number is not None and page.number != last.number + 1:
        raise _missing(f"Page {page.number} follows page {last.number}.", page.line)
    if before.closing.amount != after.opening.amount:
        ends, begins = (
            money.show(each, before.scale) for each in (before.closing.amount, after.opening.amount)
        )
        raise Unproven(
            Fault.BALANCE_DIFFERS, f"The page begins with {begins}, and the one before ends with "
            f"{ends}.", page.line,
        )  # fmt: skip


def _missing(sentence: str, line: int) -> Unproven:
    return Unproven(Fault.PAGES_MISSING, sentence, line)


def _whole(pages: list[Page]) -> Statement:
    first, last = pages[0].statement, pages[-1].statement
    if len(pages) == 1:
        return first
    lines = [line for page in pages for line in page.statement.lines]
    counts = [page.statement.stated_count for page in pages]
    return replace(
        first,
        closing=last.closing,
        lines=tuple(line._replace(number=at) for at, line in enumerate(lines, 1)),
        stated_count=None if None in counts else sum(each or 0 for each in counts),
        left_out=sum(page.statement.left_out for page in pages),
    )

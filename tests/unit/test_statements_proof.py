"""Proofs of statements: by themselves, in their series, beside the ledger; and corrections."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from ledger.domain.policy import Policy
from ledger.domain.reference import Account, PolicyChange, Reference
from ledger.statements.book import Book
from ledger.statements.changes import changes
from ledger.statements.formats import Found
from ledger.statements.importing import Origin, Wanted, plan
from ledger.statements.model import Position, Unproven
from ledger.statements.proof import Tie, prove, ties
from ledger.statements.records import (
    SavedMapping,
    digest_of,
    head_row,
    lines_key,
    lines_row,
    link_row,
    mapping_row,
    parts_of,
    with_lines,
)
from tests.statement_files import CLOSE, IBAN, Entry, camt, camt_statement, found, mt940, read

BANK = "assets:bank:main"
WANTED = Wanted(account=BANK)
ORIGIN = Origin("camt.053", "s.xml", "", "command:ann")


TWO = (Entry(10, "a"), Entry(-3, "b"))


def statement(entries=TWO, **options):
    [made] = read(camt(camt_statement(entries, **options)))
    return made


def fault(call):
    with pytest.raises(Unproven) as caught:
        call()
    return caught.value.code, caught.value.line, caught.value.sentence


def reference(*items):
    made = Reference()
    made.add(items)
    return made


class Topic:
    """The topic in memory: what is planned is appended and folded, as `Statements` does."""

    def __init__(self, known=None):
        self.book, self.rows, self.reference = Book(), [], known or reference()

    def take(self, *statements, wanted=WANTED):
        """Import; returns the verdicts."""
        given = [Found(each, 7) for each in statements]
        made = plan(given, self.book, self.reference, wanted, ORIGIN)
        for identification, link in made.links.items():
            self.append(link_row(identification, link, "ann"))
        for each in made.statements:
            if each.verdict != "unchanged":
                self.append_statement(each.head, each.statement)
        return [each.verdict for each in made.statements]

    def append_statement(self, head, statement, *, parts=None):
        for number, part in enumerate(parts_of(statement)[:parts]):
            self.book.note_lines(lines_key(head.digest, number), len(self.rows))
            self.rows.append(lines_row(head.digest, "ann", part))
        self.append(head_row(head))

    def append(self, row):
        self.rows.append(row)
        self.book.take(row, len(self.rows))


# By itself.


def test_a_statement_that_adds_up_is_proven():
    prove(statement())
    prove(statement([], opening=5))


def test_sums_that_do_not_add_up_are_refused():
    code, line, sentence = fault(lambda: prove(statement(closing=8), 3))
    assert (code, line) == ("SUM_DIFFERS", 3)
    assert sentence == ("Opening 0.00 and 2 lines make 0.07, and closing is 0.08: 0.01 is missing.")


def test_a_wrong_sign_is_named():
    _, _, sentence = fault(lambda: prove(statement(closing=13)))
    assert sentence.endswith("It would hold with the other sign in line 2.")


def test_counts_and_dates_are_compared():
    made = statement()
    assert fault(lambda: prove(replace(made, stated_count=3)))[0] == "COUNT_DIFFERS"
    prove(replace(made, stated_count=2))
    late = [Entry(1, booked=CLOSE + timedelta(days=1))]
    code, line, _ = fault(lambda: prove(statement(late)))
    assert (code, line > 0) == ("DATES_OUT_OF_ORDER", True)
    turned = replace(made, opening=made.opening._replace(on=CLOSE + timedelta(days=1)))
    assert fault(lambda: prove(turned))[0] == "DATES_OUT_OF_ORDER"


def test_the_count_that_a_file_states_is_read():
    total = "<TxsSummry><TtlNtries><NbOfNtries>3</NbOfNtries></TtlNtries></TxsSummry>"
    made = statement(more=total)
    assert fault(lambda: prove(made))[0] == "COUNT_DIFFERS"


# In its series.


def day(number):
    return date(2026, 11, number)


def nth(number, opening, amount=1, **options):
    return statement([Entry(amount, "x", booked=day(number))], opening=opening, number=number,
                     on=day(number), **options)  # fmt: skip


def test_statements_follow_each_other():
    topic = Topic()
    assert topic.take(nth(1, 0)) == ["imported"]
    assert topic.take(nth(2, 1), nth(3, 2)) == ["imported", "imported"]
    # Twice changes nothing, also a part of it.
    count = len(topic.rows)
    assert topic.take(nth(2, 1)) == ["unchanged"]
    assert len(topic.rows) == count


def test_a_hole_is_refused_and_filled():
    topic = Topic()
    topic.take(nth(1, 0))
    code, line, sentence = fault(lambda: topic.take(nth(3, 2)))
    assert (code, line) == ("NUMBER_MISSING", 7)
    assert "Number 3 follows number 1" in sentence
    assert topic.take(nth(2, 1), nth(3, 2)) == ["imported", "imported"]


def test_what_comes_before_the_first_must_lead_to_it():
    topic = Topic()
    topic.take(nth(5, 10))
    assert fault(lambda: topic.take(nth(4, 3)))[0] == "OPENING_DIFFERS"
    assert fault(lambda: topic.take(nth(3, 9)))[0] == "NUMBER_MISSING"
    assert topic.take(nth(4, 9)) == ["imported"]


def test_an_opening_that_is_not_the_closing_before_is_refused():
    topic = Topic()
    topic.take(nth(1, 0))
    assert fault(lambda: topic.take(nth(2, 5)))[0] == "OPENING_DIFFERS"


def test_nothing_of_a_file_is_imported_if_one_fails():
    topic = Topic()
    assert fault(lambda: topic.take(nth(1, 0), nth(2, 1, closing=9)))[0] == "SUM_DIFFERS"
    assert topic.rows == []


def test_numbers_begin_again_with_a_year():
    topic = Topic()
    last = statement([], opening=4, number=250, on=date(2026, 12, 31))
    first = statement([], opening=4, number=1, on=date(2027, 1, 4))
    assert topic.take(last, first) == ["imported", "imported"]
    assert topic.take(statement([], opening=4, number=2, on=date(2027, 1, 5))) == ["imported"]
    both = [Entry(1, "z", booked=date(2027, 1, 4)), Entry(-1, "z", booked=date(2027, 1, 4))]
    again = statement(both, opening=4, number=1, on=date(2027, 1, 4))
    assert topic.take(again) == ["corrected"]


def test_periods_without_numbers_may_not_overlap():
    def unnumbered(opening, start, end):
        made = statement([], opening=opening, on=end)
        balance = made.opening._replace(on=start)
        return replace(made, number=None, bank_id="", opening=balance)

    topic = Topic()
    topic.take(unnumbered(1, day(1), day(10)))
    assert fault(lambda: topic.take(unnumbered(1, day(5), day(20))))[0] == "PERIOD_OVERLAPS"
    assert fault(lambda: topic.take(unnumbered(1, day(3), day(10))))[0] == "PERIOD_OVERLAPS"
    assert topic.take(unnumbered(1, day(10), day(20))) == ["imported"]


def test_accounts_and_currencies_are_series_of_their_own():
    topic = Topic()
    cad = statement([], currency="CAD", number=9, opening=77, on=day(2))
    topic.take(nth(1, 0))
    assert topic.take(cad) == ["imported"]


# Accounts.


def test_an_account_is_given_once_and_remembered():
    topic = Topic()
    assert fault(lambda: topic.take(nth(1, 0), wanted=Wanted()))[0] == "ACCOUNT_NOT_LINKED"
    topic.take(nth(1, 0), wanted=Wanted(BANK, timezone="Europe/Berlin"))
    assert topic.take(nth(2, 1), wanted=Wanted()) == ["imported"]
    link = topic.book.links[IBAN]
    assert (link.account, link.timezone) == (BANK, "Europe/Berlin")
    other = Wanted("assets:bank:other")
    assert fault(lambda: topic.take(nth(3, 2), wanted=other))[0] == "ACCOUNT_LINKED"
    topic.take(nth(3, 2), wanted=Wanted("assets:bank:other", relink=True))
    assert topic.book.links[IBAN].account == "assets:bank:other"


def test_an_account_must_be_one_of_the_ledger():
    wanted = Wanted("assets")
    assert fault(lambda: Topic().take(nth(1, 0), wanted=wanted))[0] == "ACCOUNT_UNKNOWN"
    strict = PolicyChange(Policy(open_unknown_accounts=False), 8)
    assert fault(lambda: Topic(reference(strict)).take(nth(1, 0)))[0] == "ACCOUNT_UNKNOWN"
    declared = Account(BANK, "", "CAD", None, None)
    assert fault(lambda: Topic(reference(declared)).take(nth(1, 0)))[0] == "ACCOUNT_CURRENCY"
    known = Account(BANK, "", "EUR", None, None)
    assert Topic(reference(strict, known)).take(nth(1, 0)) == ["imported"]


# Corrections.


def test_a_corrected_statement_supersedes_and_later_ones_may_be_corrected_after_it():
    topic = Topic()
    topic.take(nth(1, 0), nth(2, 1), nth(3, 2))
    assert topic.take(nth(2, 1, amount=5)) == ["corrected"]
    [*_, (head, broken)] = topic.book.listed()
    assert head.statement.number == 3
    assert "0.02" in broken
    assert topic.take(nth(3, 6)) == ["corrected"]
    assert [broken for _, broken in topic.book.listed()] == [None, None, None]
    assert len(topic.book.heads[head.statement.id]) == 2
    # It still follows what is before it.
    assert fault(lambda: topic.take(nth(3, 7)))[0] == "OPENING_DIFFERS"


def test_a_corrected_statement_says_what_changed_line_by_line():
    before = statement([Entry(10, "a"), Entry(-3, "b", "Rent"), Entry(5, "c"), Entry(5, "c")])
    after = statement([Entry(10, "a"), Entry(-4, "b", "Fees"), Entry(5, "c"), Entry(1, "d")])
    said = [(each.what, each.fields) for each in changes(before, after)]
    assert said == [
        ("closing", ()), ("changed", ("amount", "text")), ("added", ()), ("removed", ()),
    ]  # fmt: skip
    assert changes(before, before) == []
    moved = replace(before, lines=tuple(
        line._replace(place=line.place + 50) for line in before.lines
    ))  # fmt: skip
    assert changes(before, moved) == []
    assert digest_of(before) == digest_of(moved)


def test_many_changes_of_one_reference_take_no_time_by_the_square():
    count = 5_000
    before = statement([Entry(1, "same")] * count)
    after = statement([Entry(2, "same")] * count)
    assert len(changes(before, after)) == count + 1


# The topic.


def test_records_are_what_was_imported():
    topic = Topic()
    made = nth(1, 0, more="")
    topic.take(made)
    [head] = topic.book.current()
    rows = [topic.rows[each] for each in topic.book.parts_of(head)]
    whole = with_lines(head.statement, iter(rows))
    assert whole == replace(made, stated_count=None)
    assert digest_of(whole) == head.digest


def test_a_statement_counts_with_all_its_lines_and_after_that_which_it_supersedes():
    topic = Topic()
    made = plan([Found(nth(1, 0), 0)], topic.book, topic.reference, WANTED, ORIGIN)
    [first] = made.statements
    with pytest.raises(ValueError, match="not all of its lines"):
        topic.append_statement(first.head, first.statement, parts=0)
    topic.append_statement(first.head, first.statement)
    # The same again is the same; another that knows nothing of it came too late.
    topic.append_statement(first.head, first.statement)
    assert len(topic.book.heads[first.statement.id]) == 1
    other = plan([Found(nth(1, 0, amount=9), 0)], Book(), topic.reference, WANTED, ORIGIN)
    [second] = other.statements
    with pytest.raises(ValueError, match="came before it"):
        topic.append_statement(second.head, second.statement)
    assert topic.book.present(first.statement.id).digest == first.head.digest


def test_mappings_have_versions():
    topic = Topic()
    topic.append(mapping_row(SavedMapping("x", 1, "a"), "ann"))
    topic.append(mapping_row(SavedMapping("x", 2, "b"), "ann"))
    with pytest.raises(ValueError, match="came before it"):
        topic.append(mapping_row(SavedMapping("x", 2, "c"), "ann"))
    assert [each.label for each in topic.book.mappings["x"]] == ["x/1", "x/2"]


def test_a_copy_with_another_id_of_the_bank_is_the_same():
    made = nth(1, 0)
    assert digest_of(made) == digest_of(replace(made, bank_id="other"))
    one = replace(made, number=None)
    assert digest_of(one) != digest_of(replace(one, bank_id="other"))


def test_one_statement_in_two_formats_is_one_statement():
    [swift] = read(mt940([Entry(1, "x")], number="4"))
    assert swift.id == statement([Entry(1, "x")], number=4).id


def test_a_file_has_a_statement_twice():
    topic = Topic()
    assert topic.take(nth(1, 0), nth(1, 0)) == ["imported"]
    assert fault(lambda: topic.take(nth(2, 1), nth(2, 1, amount=2)))[0] == "PERIOD_OVERLAPS"


# Beside the ledger.


def test_a_closing_balance_is_compared_with_debits_less_credits():
    made = statement()
    assert ties(made, {"EUR": (7, 2), "CAD": (5, 2)}) == [Tie("EUR", 2, 7, 7)]
    [tie] = ties(made, {})
    assert (tie.ledger, tie.difference) == (0, 7)


def test_positions_are_compared_both_ways():
    apple = Position(1, 2, "US0378331005", "US0378331005", 125_000, 4)
    made = replace(statement([]), currency="", positions=(apple,))
    held = {"US0378331005": (125_000, 4), "VFV": (9, 6), "CAD": (0, 2)}
    assert ties(made, held) == [Tie("US0378331005", 4, 125_000, 125_000), Tie("VFV", 6, 0, 9)]


def test_statements_have_the_lines_at_which_they_begin():
    content = camt("\n", camt_statement([]), "\n\n", camt_statement([], number=2))
    lines = content.decode().splitlines()
    assert [lines[each.line - 1].count("<Stmt>") for each in found(content)] == [1, 1]

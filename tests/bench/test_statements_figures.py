"""How long a large statement takes: read, proven, compared and made into records."""

import io
import sys
import time

import pytest

from ledger.domain.reference import Reference
from ledger.statements.book import Book
from ledger.statements.formats import Options, read_statements
from ledger.statements.importing import Origin, Wanted, plan
from ledger.statements.records import SCHEMA, lines_row
from ledger.streaming.registry import Codec
from tests.statement_files import SCALES, Entry, camt, camt_statement, mt940

pytestmark = pytest.mark.bench

LINES = 100_000
CPU_SECONDS = 15.0
"""Three times what it may take on a quiet machine: others run beside this test."""
ENTRIES = [Entry((-1) ** at * (at + 1), f"ref-{at}", "Invoice 4711") for at in range(LINES)]


@pytest.mark.parametrize("form", ["camt.053", "MT940"])
def test_a_statement_of_many_lines_is_proven_in_seconds(form: str) -> None:
    content = camt(camt_statement(ENTRIES)) if form == "camt.053" else mt940(ENTRIES).encode()
    codec = Codec({SCHEMA: 1})
    began, used = time.monotonic(), time.process_time()
    _, found = read_statements(io.BytesIO(content), SCALES, Options())
    read = time.monotonic()
    origin = Origin(form, "large", "", "bench")
    made = plan(found, Book(), Reference(), Wanted("assets:bank"), origin)
    proven = time.monotonic()
    [each] = made.statements
    rows = [lines_row(each.head.digest, "bench", part) for part in each.parts]
    size = sum(len(codec.encode(SCHEMA, row)) for row in rows)
    ended, cpu = time.monotonic(), time.process_time() - used
    sys.stdout.write(
        f"{form}: {LINES:,} lines, {len(content):,} bytes: read {read - began:.2f} s, proven "
        f"{proven - read:.2f} s, {size:,} bytes of records {ended - proven:.2f} s, CPU {cpu:.2f} s\n"
    )
    assert len(each.statement.lines) == LINES
    assert cpu < CPU_SECONDS

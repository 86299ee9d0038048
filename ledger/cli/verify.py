"""`faust-ledger verify`: check double entry and the digest chain of the whole journal."""

from contextlib import closing
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    meter,
    print_json,
    print_plain,
    print_voids,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, print_table_of

if TYPE_CHECKING:
    from ledger.domain.run import Watermark
    from ledger.gl.rows import JournalFinding
    from ledger.settings import Settings

SUMS = (
    Column("currency", "currency", "code"),
    Column("debits", "debits", "amount"),
    Column("credits", "credits", "amount"),
)


def print_findings(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check the journal for consistency and against the digests that were published.

    The command checks that every transaction balances, that every stripe is the sum of its entries,
    that the digest of every run matches its rows and follows the run before it, that the chain
    reaches the head that each shard published last, and that every row of every table belongs to
    a run of that chain. It also checks that every line of history is an entry of the journal, and
    that everything derived from lines adds up. It finds an altered, extended or shortened journal
    even if the database cannot be trusted.

    Exit codes: 0 no findings, 1 there are findings, 3 a fault.
    """
    settings = settings_for(data_dir)
    # The heads are read before the journal, so they can be behind it and never ahead.
    heads = run(published_heads(settings))
    report = verified(settings, heads)
    if as_json:
        print_json(report)
    else:
        _print(report)
    raise typer.Exit(FINDINGS if report["findings"] else OK)


async def published_heads(settings: "Settings") -> "list[Watermark]":
    """The watermark of each shard's last Progress record."""
    from ledger.client.outcomes import last_progress
    from ledger.client.partitions import ledger_partitions
    from ledger.client.records import Records
    from ledger.streaming.reader import Reader
    from ledger.streaming.topics import topics

    name = topics(settings).progress.name
    counts = await ledger_partitions(settings, name)
    records = await Records.of(settings, "Progress")
    async with Reader(settings) as reader:
        return [each.watermark for each in await last_progress(reader, records, name, counts[name])]


def verified(settings: "Settings", heads: "list[Watermark]") -> dict[str, Any]:
    """The report as --json prints it."""
    from ledger.domain import money
    from ledger.gl.databases import history_findings, open_journal
    from ledger.gl.verify import verify_journal

    with (
        closing(open_journal(settings.database_url)) as journal,
        meter("Shards", len(heads)) as shown,
    ):
        found = verify_journal(journal, heads, shown)
        if not found.findings:
            # Of a journal that is wrong itself it would name what is right.
            found.findings += history_findings(settings, journal)
    return {
        "transactions": found.transactions,
        "runs": found.runs,
        "shards": len(heads),
        "currencies": {
            currency: {
                "debits": money.show(sides.debits, sides.scale),
                "credits": money.show(sides.credits, sides.scale),
            }
            for currency, sides in found.sums.items()
        },
        "findings": [_finding_row(each) for each in found.findings],
        "voided": [each.as_json() for each in found.voided],
    }


def _finding_row(found: "JournalFinding") -> dict[str, Any]:
    row = found.row.as_json() if found.row else {"table": None, "key": None}
    return {"shard": found.shard, "offset": found.offset, "finding": found.sentence, **row}


def _print(report: dict[str, Any]) -> None:
    print(
        f"{report['transactions']:,} transactions in {report['runs']:,} runs of "
        f"{report['shards']} shards, {len(report['findings'])} findings"
    )
    sums = [{"currency": code, **sides} for code, sides in report["currencies"].items()]
    if sums:
        print_table_of(SUMS, sums, Format.TABLE, nothing="")
    print_voids(report["voided"])
    for found in report["findings"]:
        where = "" if found["shard"] is None else f"shard {found['shard']}: "
        print_plain(f"{where}{found['finding']}")

"""`faust-ledger verify`: double entry and the digest chain of the whole journal."""

from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    AsJson,
    DataDir,
    meter,
    print_json,
    print_table,
    run,
    say_voids,
    settings_for,
    tell,
)

if TYPE_CHECKING:
    from ledger.domain.run import Watermark
    from ledger.gl.audit import Finding
    from ledger.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(verify)


def verify(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check the journal by itself and against what was published about it.

    Every transaction balances; every stripe is the sum of its entries; every run's digest is
    that of its rows, and follows the run before; the chain reaches the head that each shard last
    published; every row of every table belongs to a run of that chain. An altered, extended or
    shortened journal is found even if the database cannot be trusted.

    Exit codes: 0 all is well, 1 there are findings, 3 a fault.
    """
    settings = settings_for(data_dir)
    # Read before the journal: it can only be behind, never ahead of it.
    heads = run(published_heads(settings))
    report = audited(settings, heads)
    if as_json:
        print_json(report)
    else:
        _print(report)
    raise typer.Exit(REFUSED if report["findings"] else OK)


async def published_heads(settings: "Settings") -> "list[Watermark]":
    """Each shard's last progress."""
    from ledger.client.outcomes import standing
    from ledger.client.reading import ledger_partitions
    from ledger.client.records import Records
    from ledger.streaming.reader import Reader
    from ledger.streaming.topics import topics

    name = topics(settings).progress.name
    counts = await ledger_partitions(settings, name)
    records = await Records.of(settings, "Progress")
    async with Reader(settings) as reader:
        return [each.watermark for each in await standing(reader, records, name, counts[name])]


def audited(settings: "Settings", heads: "list[Watermark]") -> dict[str, Any]:
    """What --json prints."""
    from ledger.domain import money
    from ledger.gl.postgresql import PostgresJournal
    from ledger.gl.verify import verify

    journal = PostgresJournal(settings.database_url)
    try:
        with meter("Shards", len(heads)) as shown:
            found = verify(journal, heads, shown)
    finally:
        journal.close()
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
        "findings": [_finding(each) for each in found.findings],
        "voided": [each.as_json() for each in found.voided],
    }


def _finding(found: "Finding") -> dict[str, Any]:
    row = found.row.as_json() if found.row else {"table": None, "key": None}
    return {"shard": found.shard, "offset": found.offset, "finding": found.sentence, **row}


def _print(report: dict[str, Any]) -> None:
    print(
        f"{report['transactions']:,} transactions in {report['runs']:,} runs of "
        f"{report['shards']} shards, {len(report['findings'])} findings"
    )
    rows = [[code, each["debits"], each["credits"]] for code, each in report["currencies"].items()]
    print_table({"currency": "left", "debits": "right", "credits": "right"}, rows)
    say_voids(report["voided"])
    for found in report["findings"]:
        where = "" if found["shard"] is None else f"shard {found['shard']}: "
        tell(f"{where}{found['finding']}")

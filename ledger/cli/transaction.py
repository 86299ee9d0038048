"""`faust-ledger transaction show`: one transaction from the log to the books."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.completeness import INCOMPLETE
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    located,
    print_json,
    print_note,
    print_plain,
    print_sentence,
    require_utf8,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, print_table_of
from ledger.terminal import LEAST_PROSE, columns_of, folded, plain

if TYPE_CHECKING:
    from ledger.client.whereabouts import Whereabouts
    from ledger.gl.lookups import LookupResult
    from ledger.settings import Settings

BACK = 10_000
ENTRIES = (
    Column("account", "account", "account"),
    Column("debit", "debit", "amount"),
    Column("credit", "credit", "amount"),
    Column("currency", "currency", "code"),
)

Back = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="COUNT",
        help="How many of the newest records of a shard to look at for repetitions and for what "
        "waits, and of the newest refused ones.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--ordering-key",
        metavar="KEY",
        help="The transaction's ordering key: what is not posted is then looked for in its shard "
        "alone.",
    ),
]


def show_transaction(
    transaction_id: Annotated[str, typer.Argument(metavar="ID", help="The transaction's id.")],
    ordering_key: Key = None,
    back: Back = BACK,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a transaction: entries, position, and whether it is decided, posted and compared.

    It also shows what reverses it, whether it is void, its repetitions, and the refusals of records
    with its id.

    A posted transaction is found by its id. What is not posted is looked for in every shard, for an
    id alone does not give the shard: in what is decided and not posted, in the newest refused
    records and in the newest records of the log (--back). JSON states what was looked at, in
    "looked_at", and what could not be, in "unknown". Its "state" is compared, posted, decided,
    waiting, void, refused or not found.

    Exit codes: 0 found, even if only as refused; 1 not found; 2 wrong usage; 3 a fault; 4 something
    could not be looked at.
    """
    require_utf8(transaction_id, "ID")
    require_utf8(ordering_key or "", "--ordering-key")
    settings = settings_for(data_dir)
    found = run(look_up(settings, transaction_id, ordering_key=ordering_key, back=back))
    shown = found.as_json()
    if as_json:
        print_json(shown)
    else:
        print_transaction(shown)
    for sentence in found.unknown:
        print_note(f"Not looked at: {sentence}")
    is_found = shown["transactions"] or shown["waiting"] or shown["refusals"]
    raise typer.Exit(INCOMPLETE if not found.complete else OK if is_found else FINDINGS)


async def look_up(
    settings: "Settings", transaction_id: str, *, ordering_key: str | None = None, back: int = BACK
) -> "Whereabouts":
    """What the general ledger and Kafka have of an id. Raises LedgerError if neither answers."""
    import asyncio

    from ledger.client.lookup import look_up_transaction

    async def from_books() -> "LookupResult":
        return await asyncio.to_thread(_from_books, settings, transaction_id)

    return await look_up_transaction(
        settings, transaction_id, from_books, ordering_key=ordering_key, back=back
    )


def _from_books(settings: "Settings", transaction_id: str) -> "LookupResult":
    from sqlalchemy.exc import ArgumentError

    from ledger.gl.databases import open_journal
    from ledger.gl.journal import JournalUnavailable

    try:
        journal = open_journal(settings.database_url)
    except ArgumentError as error:
        raise JournalUnavailable("the setting database_url is not an address") from error
    with closing(journal):
        return journal.find(transaction_id)


def print_transaction(shown: Mapping[str, Any]) -> None:
    """Print what `Whereabouts.as_json` returned, for people."""
    for each in shown["transactions"]:
        print_plain(f"{each['transaction_id']}: {each['state']}")
        print_table_of(ENTRIES, [_entry(leg) for leg in each["entries"]], Format.TABLE, nothing="")
        _print_fields([*_about(each), *_way(each)])
    if not shown["transactions"]:
        print_plain(f"{shown['transaction_id']}: {shown['state']}")
    _print_fields(_others(shown))
    if shown["state"] == "not found":
        for sentence in _not_found(shown):
            print_sentence(sentence)


def _print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print a line for each name and value; values fold between words on a terminal."""
    for name, value in fields:
        start = f"  {name:<12}"
        lines = folded(plain(value), max(columns_of(sys.stdout) - len(start), LEAST_PROSE))
        print(start + f"\n{' ' * len(start)}".join(lines))


def _entry(leg: Mapping[str, Any]) -> dict[str, Any]:
    sides = {"debit": None, "credit": None}
    return {**leg, **sides, leg["side"]: leg["amount"]}


def _about(each: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "kind", each["kind"]
    if each["description"]:
        yield "description", each["description"]
    for name, value in each["metadata"].items():
        yield "metadata", f"{name}: {value}"
    yield "effective", each["effective_at"]
    if each["ordering_key"] != each["transaction_id"]:
        yield "ordered by", each["ordering_key"]


def _way(each: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    shard = each["shard"]
    yield "recorded", f"{each['recorded_at']}, {_place(each)}"
    decided = each["decided"]
    yield "decided", f"{decided['at'] or 'yes'}, decision offset {decided['decisions_offset']}"
    yield "posted", _posted(each["posted"])
    to = each["compared"]["to_position"]
    done = {True: "yes", False: "not yet", None: "not known"}[each["compared"]["done"]]
    yield "compared", done if to is None else f"{done}; shard {shard} is compared up to {to}"
    if each["reverses"]:
        yield "reverses", each["reverses"]
    yield from _reversed_by(each)
    if void := each["void"]:
        yield "void", f"since {void['recorded_at']}: {void['reason'] or 'no reason given'}"


def _posted(posted: Mapping[str, Any]) -> str:
    if posted["done"] is None:
        return "not known"
    return (posted["at"] or "yes") if posted["done"] else "not yet"


def _reversed_by(each: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in each["reversed_by"]:
        name = f"{one['transaction_id']}{', which is void' if one['is_void'] else ''}"
        yield "reversed by", f"{name}, effective {one['effective_at']}, at offset {one['offset']}"
    searched = each["reversals_searched_to"]
    if not each["reversed_by"] and searched is not None:
        yield "reversed by", f"nothing before offset {searched}"


def _others(shown: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in shown["repetitions"]:
        yield "repeated", f"{each['recorded_at']}, at offset {each['offset']}: changed nothing"
    for each in shown["waiting"]:
        yield "waiting", f"since {each['recorded_at']}, {_place(each)}: not decided yet"
    for each in shown["refusals"]:
        by = ", whose id could not be read and whose key is this" if each["by_key"] else ""
        yield "refused", f"{each['recorded_at']}, {_place(each)}{by}"
        yield "", f"{each['code']}: {located(each['field'], each['reason'])}"


def _place(each: Mapping[str, Any]) -> str:
    return f"at offset {each['offset']} of shard {each['shard']}"


def _not_found(shown: Mapping[str, Any]) -> Iterator[str]:
    """What was looked at, and what to do."""
    looked = ["everything that is posted, by id"] if shown["posted_to"] else []
    for name, what in (
        ("decisions", "what is decided and not posted"),
        ("rejects", "the newest refused records"),
        ("transactions", "the newest records of the log"),
    ):
        spans = [each for each in shown["looked_at"] if each["topic"].endswith(f".{name}")]
        if spans:
            count = sum(each["end"] - each["start"] for each in spans)
            whole = ", all there are" if all(each["whole"] for each in spans) else ""
            looked.append(f"{what} ({count:,} in {len(spans)} shards{whole})")
    if looked:
        yield f"Looked at: {'; '.join(looked)}."
    yield (
        "What to do: compare the id with the producer's, to the letter. If it was published, an "
        "older refusal is found with --back 1000000. If its producer has no receipt, publishing it "
        "again with the same id is safe."
    )

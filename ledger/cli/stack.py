"""`faust-ledger up`, `down`, `status` and `doctor`: the embedded stack of one machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import AsJson, DataDir, errors, print_note, print_plain
from ledger.cli.tables import Column, Format, print_table_of
from ledger.terminal import plain

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.health.findings import Finding
    from ledger.health.status import StackStatus
    from ledger.stack.record import Record

MOST_CENTRES = 9
SHOWN = ("bootstrap_servers", "registry_url", "database_url")
PARTS = (
    Column("part", "part", "code"), Column("state", "state", "code"),
    Column("pid", "pid", "number"), Column("port", "port", "number"),
    Column("memory", "memory", "number", drop=2), Column("up for", "up for", "code", drop=1),
)  # fmt: skip
PARTITIONS = (
    Column("worker", "worker", "code"), Column("stage", "stage", "code"),
    Column("partitions", "partitions", "code"), Column("state", "state", "code"),
    Column("lag", "lag", "count"),
    Column("behind", "behind", "text", drop=1),
)  # fmt: skip
FINDINGS = (Column("well", "", "code"), Column("what", "what", "code"), Column("found", "found"))


def port_option(name: str) -> Any:
    """An option for a service's port."""
    return typer.Option(
        f"--{name}-port",
        min=1,
        max=65535,
        show_default=False,
        help=f"Port of {name} on 127.0.0.1. Default: as before; for the first `up`, a free one.",
    )


def directory(data_dir: Path | None) -> Path:
    """The option, else the setting; `StackError` when the stack's packages are not installed."""
    from ledger.settings import Settings
    from ledger.stack import extra

    extra.require_packages()
    return data_dir or Settings().data_dir


def teller(console: "Console") -> Callable[[str], None]:
    """A function that prints a line of progress."""
    from rich.text import Text

    return lambda line: console.print(Text(plain(line)), soft_wrap=True)


def up(
    data_dir: DataDir = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=False,
            help="How many workers run, now and after the next `up`. Default: as many as before; "
            "for the first `up` one, or one in each data centre.",
        ),
    ] = None,
    api: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=False,
            help="How many API processes run, now and after the next `up`. Default: as many as "
            "before; for the first `up` none.",
        ),
    ] = None,
    kafka_port: Annotated[int | None, port_option("kafka")] = None,
    registry_port: Annotated[int | None, port_option("registry")] = None,
    postgres_port: Annotated[int | None, port_option("postgres")] = None,
    data_centres: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_CENTRES,
            show_default=False,
            help="Kafka brokers, each with a rack and workers of its own; with several also a "
            "replica of the database and a second registry. Fixed by the first `up`. Default: 1.",
        ),
    ] = None,
    secure: Annotated[
        bool | None,
        typer.Option(
            "--secure",
            show_default=False,
            help="TLS and passwords everywhere, and rights by role. Fixed by the first `up`.",
        ),
    ] = None,
    synchronous: Annotated[
        bool | None,
        typer.Option(
            "--synchronous/--asynchronous",
            show_default=False,
            help="Whether a posting counts only when the replica of the database has it too. "
            "Default: as before; for the first `up` --asynchronous.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start Kafka, the schema registry, PostgreSQL, workers and the API; return when all are ready.

    Whatever runs already is left alone, and whatever has died is started. The first `up` downloads
    about 210 MB; later ones need no network.
    """
    place = directory(data_dir)
    from ledger.stack import stack
    from ledger.stack.identity import Ports, Shape
    from ledger.stack.progress import shown

    # Progress is for people: it goes to stderr, and stdout stays readable for programs.
    console = errors()
    with shown(console) as meters:
        record = stack.up(
            place,
            wanted=Ports(kafka_port, registry_port, postgres_port),
            shape=Shape(data_centres, secure),
            worker_count=workers,
            api_count=api,
            synchronous=synchronous,
            remember=True,
            meters=meters,
            say=teller(console),
        )
    if as_json:
        print(json.dumps(up_json(record)))
    else:
        # Never folded, so that an address can be copied.
        for name, value in up_json(record).items():
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            print_plain(f"{name.replace('_', ' '):<18} {text or 'none'}")


def up_json(record: "Record") -> dict[str, object]:
    """Addresses and workers of a stack; `workers` are the pids of their supervisors."""
    from ledger.stack import api, files

    return {
        **{name: record.addresses[name] for name in SHOWN},
        "data_dir": str(record.data_dir),
        "workers": [part.pid for part in record.workers],
        "api": api.urls(files.layout(record.data_dir), record),
    }


def down(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop the API, the workers, the registry, Kafka and PostgreSQL, in that order.

    The data stays.
    """
    place = directory(data_dir)
    from ledger.stack import stack

    stopped = stack.down(place, say=teller(errors()))
    if as_json:
        print(json.dumps({"data_dir": str(place), "stopped": stopped}))
    elif not stopped:
        # Another directory may have been meant.
        print_note(f"Nothing ran in {place}.")


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the addresses, what runs, and whether each shard makes progress or why not.

    Exit code 1 unless all is well: without a worker nothing is.
    """
    place = directory(data_dir)
    from ledger.health.status import read_status, status_json

    found = read_status(place)
    if as_json:
        print(json.dumps(status_json(found)))
    else:
        print_status(found)
    raise typer.Exit(0 if found.ok else 1)


def print_status(found: "StackStatus") -> None:
    """Addresses, then what is short in tables, then reasons and paths whole."""
    from ledger.health.status import part_rows, partition_rows, sentences

    print_plain(f"{'data directory':<18} {found.data_dir}")
    for name, address in found.addresses.items():
        print_plain(f"{name.replace('_', ' '):<18} {short_address(address)}")
    for columns, rows in ((PARTS, part_rows(found)), (PARTITIONS, partition_rows(found))):
        if shown := list(rows):
            print()
            print_table_of(columns, shown, Format.TABLE, nothing="")
    if lines := list(sentences(found)):
        print()
        print_plain("\n".join(lines))


def short_address(address: str) -> str:
    """An address without parameters, which are long and in --json; of several servers with all."""
    from urllib.parse import parse_qs

    place, _, query = address.partition("?")
    given = parse_qs(query)
    if "host" not in given:
        return place
    ports = given.get("port", [""])[0].split(",")
    servers = zip(given["host"][0].split(","), ports, strict=False)
    return place.replace("@/", f"@{','.join(':'.join(each) for each in servers)}/", 1)


def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="First remove what broken downloads and crashes left.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong, or soon will be, and suggest the fix.

    Exit code 1 when something is wrong. --json has "removed" with --clean.
    """
    place = directory(data_dir)
    from ledger.health import doctor as health

    removed = [str(path) for path in health.clean(place)] if clean else []
    findings = health.examine(place)
    if as_json:
        more = {"removed": removed} if clean else {}
        print(json.dumps(health.findings_json(findings) | more))
    else:
        if clean:
            print_plain("\n".join(f"removed {path}" for path in removed) or "nothing to remove")
        print_findings(findings)
    raise typer.Exit(0 if all(each.well for each in findings) else 1)


def print_findings(findings: "list[Finding]") -> None:
    """What is well in a line each; then what is not, with what to do, whole and never cut."""
    rows = [
        {"well": "well", "what": each.name, "found": each.detail} for each in findings if each.well
    ]
    print_table_of(FINDINGS, rows, Format.TABLE, nothing="nothing is well")
    for each in findings:
        if not each.well:
            print()
            print_plain(f"look {each.name}: {each.detail}")
            print_plain(f"     to do: {each.advice}")

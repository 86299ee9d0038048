"""`faust-ledger up`, `down`, `status` and `doctor`: the embedded stack of one machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ledger.cli.output import errors
from ledger.cli.output import print_plain as tell
from ledger.settings import Settings
from ledger.terminal import plain, print_whole

if TYPE_CHECKING:
    from ledger.stack.record import Record

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="FAUST_LEDGER_DATA_DIR",
        show_default=False,
        help="Where the stack keeps its data. Default: the setting data_dir.",
    ),
]
MOST_CENTRES = 9
SHOWN = ("bootstrap_servers", "registry_url", "database_url")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for programs.")]


def port_option(name: str) -> Any:
    """An option for a service's port."""
    return typer.Option(
        f"--{name}-port",
        min=1,
        max=65535,
        show_default=False,
        help=f"Where {name} listens on 127.0.0.1. Default: as before; at first, a free port.",
    )


def directory(data_dir: Path | None) -> Path:
    """The option, else the setting; `StackError` when the stack's packages are not installed."""
    from ledger.stack import extra

    extra.require()
    return data_dir or Settings().data_dir


def teller(console: Console) -> Callable[[str], None]:
    """Prints a line of progress."""
    return lambda line: console.print(Text(plain(line)), soft_wrap=True)


def up(
    data_dir: DataDir = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, show_default=False, help="How many workers run. Default: as many as run now."
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
            help="Kafka brokers, each with a rack and workers of its own. Fixed at first. "
            "Default: 1.",
        ),
    ] = None,
    secure: Annotated[
        bool | None,
        typer.Option(
            "--secure",
            show_default=False,
            help="TLS and passwords everywhere, and rights by role. Fixed at first.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start Kafka, the schema registry, PostgreSQL and workers; return when all are ready.

    What runs already is left alone, what has died is started. The first time, about 210 MB are
    downloaded; after that no network is needed.
    """
    place = directory(data_dir)
    from ledger.stack import stack
    from ledger.stack.identity import Ports, Shape
    from ledger.stack.progress import shown

    # Progress is for people and goes to stderr, where it is in no program's way.
    console = errors()
    with shown(console) as meters:
        record = stack.up(
            place,
            wanted=Ports(kafka_port, registry_port, postgres_port),
            shape=Shape(data_centres, secure),
            worker_count=workers,
            meters=meters,
            say=teller(console),
        )
    if as_json:
        print(json.dumps(addresses(record)))
    else:
        show_addresses(record)


def addresses(record: "Record") -> dict[str, object]:
    """What `up --json` prints; `workers` are the pids of their supervisors."""
    return {
        **{name: record.addresses[name] for name in SHOWN},
        "data_dir": str(record.data_dir),
        "workers": [part.pid for part in record.workers],
    }


def show_addresses(record: "Record") -> None:
    """The same for people; lines that a terminal's width does not cut, to copy from."""
    for name, value in addresses(record).items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        tell(f"{name.replace('_', ' '):<18} {text or 'none'}")


def down(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop workers, registry, Kafka and PostgreSQL, in that order. The data stays."""
    place = directory(data_dir)
    from ledger.stack import stack

    stopped = stack.down(place, say=teller(errors()))
    if as_json:
        print(json.dumps({"data_dir": str(place), "stopped": stopped}))


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what runs, and for each shard whether it makes progress or why not.

    Exit code 1 unless all is well.
    """
    place = directory(data_dir)
    from ledger.stack import status as looking

    found = looking.look(place)
    if as_json:
        print(json.dumps(looking.as_json(found)))
    else:
        tell(found.data_dir)
        if found.seen:
            print_whole(looking.as_table(found))
        else:
            tell("no stack here: `faust-ledger up` makes one")
        if found.workers:
            print_whole(looking.shards_table(found))
    raise typer.Exit(0 if found.well else 1)


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Look for what is wrong or soon will be, and say what to do.

    Exit code 1 when something is.
    """
    place = directory(data_dir)
    from ledger.stack import doctor as looking

    findings = looking.examine(place)
    if as_json:
        print(json.dumps(looking.as_json(findings)))
    else:
        print_whole(looking.as_table(findings))
    raise typer.Exit(0 if all(each.well for each in findings) else 1)

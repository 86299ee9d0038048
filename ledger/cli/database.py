"""`faust-ledger psql`, `dump` and `restore`: PostgreSQL's programs on the general ledger."""

from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.output import AsJson, DataDir, print_json, print_plain, require_choice, settings_for

File = Annotated[Path, typer.Argument(help="The dump, a file.", show_default=False)]


def psql(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="For psql itself, after --: `-- -c 'SELECT 1'`.", show_default=False),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="A role of the embedded stack: finance reads, service posts, admin owns. Default: "
            "the role of the setting database_url.",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Open the general ledger with the bundled psql.

    The exit code is that of psql. Its environment is ours: of PostgreSQL's variables only
    credentials count.
    """
    url = ledger_address(data_dir, role)
    from ledger.stack import dumps

    dumps.run_psql(url, arguments or ())


def ledger_address(data_dir: Path | None, role: str | None = None) -> str:
    """The general ledger's address, of the settings or of a role of the embedded stack.

    Raises LedgerError for a role without a database, and where there are no programs for one.
    """
    from ledger.settings import require_database
    from ledger.stack import extra

    extra.require_packages()
    settings = settings_for(data_dir)
    url = settings.database_url if role is None else role_address(settings.data_dir, role)
    require_database(url)
    return url


def role_address(data_dir: Path, role: str) -> str:
    """The database's address for a role of the stack in `data_dir`."""
    from ledger.stack import credentials, files, identity

    require_choice(role, tuple(credentials.DATABASE_SETTINGS), "--role", "role with a database")
    place = files.layout(data_dir)
    files.require_own(place)
    settings = credentials.connection_settings(place, identity.require_identity(place), role)
    return str(settings["database_url"])


def dump(file: File, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write the general ledger to FILE with the bundled pg_dump, while it is in use.

    FILE is replaced at once and only when the dump is whole; only its owner can read it. The log
    is the authority: a dump saves the time to post everything again. See docs/backup.md.

    --json prints {"file", "bytes"}. Exit codes: 0 done; 3 a fault.
    """
    url = ledger_address(data_dir)
    from ledger.stack import dumps

    size = dumps.dump(url, file)
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        print_plain(f"{size:,} bytes written to {file}")


def restore(file: File, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Put a dump into a general ledger that has no rows, with the bundled pg_restore.

    A dump of an earlier version is migrated. What was posted after the dump is posted again from
    the decision log as soon as a worker runs. See docs/backup.md.

    --json prints {"file", "transactions", "migrations"}. Exit codes: 0 done; 3 a fault, or the
    general ledger is not empty.
    """
    url = ledger_address(data_dir)
    from ledger.stack import dumps

    done = dumps.restore(url, file)
    if as_json:
        print_json({"file": str(file), **done._asdict()})
        return
    print_plain(f"{done.transactions:,} transactions restored from {file}")
    if done.migrations:
        print_plain(f"migrations made: {', '.join(done.migrations)}")

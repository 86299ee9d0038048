"""`faust-ledger tokens`: the bearer tokens of the API."""

import getpass
import platform
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    FINDINGS,
    AsJson,
    DataDir,
    print_json,
    print_note,
    print_plain,
    require_choice,
    require_utf8,
    run,
    settings_for,
    time_option,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of
from ledger.clock import now

if TYPE_CHECKING:
    from ledger.client.audit_log import Actor
    from ledger.client.tokens import TokenGrant
    from ledger.domain.access import BearerToken
    from ledger.settings import Settings

NOTE_LENGTH = 200
COLUMNS = (
    Column("id", "id", "code"),
    Column("state", "state", "code"),
    Column("scopes", "scopes"),
    Column("accounts", "accounts", "account"),
    Column("created_at", "created at", "time", drop=2),
    Column("expires_at", "expires at", "time", drop=1),
    Column("revoked_at", "revoked at", "time", drop=1),
    Column("created_by", "created by", "code", drop=3),
    Column("note", "note", "prose"),
)

TokenId = Annotated[
    str, typer.Argument(metavar="ID", help="Its id, or the whole token.", show_default=False)
]


def create_token(
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it allows: publish, read, finance (with read) or admin (everything); may be "
            "repeated.",
            show_default=False,
        ),
    ],
    accounts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", show_default="all",
            help="Only this account and those below it; may be repeated.",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", show_default="never",
            help="When it expires: RFC 3339, or a date for its start in UTC.",
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="What it is for.", show_default=False)] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Create a bearer token of the API, and print it.

    It is printed this once and kept nowhere: the ledger stores its hash. Every API process takes it
    within a moment. It needs a user who may write the topic of tokens, which is admin.
    """
    from ledger.client.tokens import TokenGrant

    grant = TokenGrant(_scopes(scope), _paths(accounts or []), _expiry(expires), _note(note))
    token, stored = run(_create(settings_for(data_dir), grant))
    if as_json:
        print_json({"token": token, **row_of(stored)})
        return
    print_plain(token)
    print_note(
        f"Its id is {stored.id}. It is not shown again: keep it where secrets are kept. "
        f"`faust-ledger tokens revoke {stored.id}` takes it back."
    )


def list_tokens(
    fmt: FormatOption = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the bearer tokens of the API, without their secrets, the oldest first."""
    form = format_of(fmt, as_json=as_json)
    rows = [row_of(each) for each in run(_present(settings_for(data_dir)))]
    if form in (Format.TABLE, Format.CSV):
        lists = ("scopes", "accounts")
        rows = [{**row, **{name: ", ".join(row[name]) for name in lists}} for row in rows]
    print_table_of(COLUMNS, rows, form, nothing="There is no token: `faust-ledger tokens create`.")


def revoke_token(token_id: TokenId, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Revoke a bearer token of the API. Every API process refuses it within a moment.

    One that was revoked before stays as it is.

    Exit codes: 0 revoked; 1 no token has this id; 2 wrong usage; 3 a fault.
    """
    from ledger.domain.access import id_in

    require_utf8(token_id, "ID")
    id_ = id_in(token_id) or token_id
    revoked = run(_revoke(settings_for(data_dir), id_))
    if revoked is None:
        print_note(
            f"There is no token {id_}. `faust-ledger tokens list` has the ids; a token's own is in "
            "it, the ten characters after flt_."
        )
        raise typer.Exit(FINDINGS)
    row = row_of(revoked)
    if as_json:
        print_json(row)
        return
    print_plain(f"{row['id']} is revoked since {row['revoked_at']}")


def row_of(token: "BearerToken") -> dict[str, Any]:
    """A token for JSON, as far as it is stored and no secret."""
    return {
        "id": token.id,
        "state": token.state(now()),
        "scopes": list(token.scopes),
        "accounts": list(token.accounts),
        "note": token.note,
        "created_at": _shown(token.created_at),
        "created_by": token.created_by,
        "expires_at": _shown(token.expires_at),
        "revoked_at": _shown(token.revoked_at),
        "revoked_by": token.revoked_by,
    }


def _shown(micros: int | None) -> str | None:
    from ledger.client.drafts import rfc3339

    return None if micros is None else rfc3339(micros)


def _scopes(given: list[str]) -> list[str]:
    from ledger.domain.access import Scope

    for each in given:
        require_choice(each, list(Scope), "--scope", "scope")
    return [scope for scope in Scope if scope in given]


def _paths(given: list[str]) -> list[str]:
    from ledger.domain.access import is_path

    for each in given:
        require_utf8(each, "--accounts")
        if not is_path(each):
            raise typer.BadParameter(
                f"{each!r} is no path of accounts, such as liabilities:deposits.",
                param_hint="--accounts",
            )
    return list(dict.fromkeys(given))


def _expiry(given: str | None) -> int | None:
    if given is None:
        return None
    expires_at = time_option(given, "--expires")
    if expires_at <= now():
        raise typer.BadParameter(f"{given!r} is in the past.", param_hint="--expires")
    return expires_at


def _note(given: str) -> str:
    require_utf8(given, "--note")
    if len(given) > NOTE_LENGTH:
        raise typer.BadParameter(f"it has more than {NOTE_LENGTH} characters.", param_hint="--note")
    return given


def actor_of(settings: "Settings") -> "Actor":
    """Who gives a command, for the audit log: Kafka's user, and that of this machine."""
    from ledger.client.audit_log import Actor

    try:
        local = getpass.getuser()
    except (OSError, KeyError):
        local = "unknown"
    user = f"{settings.kafka_user}, {local}" if settings.kafka_user else local
    return Actor(f"command:{user}", platform.node())


async def _create(settings: "Settings", grant: "TokenGrant") -> "tuple[str, BearerToken]":
    from ledger.client.tokens import Tokens

    async with Tokens(settings, actor_of(settings)) as tokens:
        return await tokens.create(grant)


async def _present(settings: "Settings") -> "list[BearerToken]":
    from ledger.client.tokens import Tokens

    async with Tokens(settings, actor_of(settings)) as tokens:
        return await tokens.present()


async def _revoke(settings: "Settings", id_: str) -> "BearerToken | None":
    from ledger.client.tokens import Tokens

    async with Tokens(settings, actor_of(settings)) as tokens:
        return await tokens.revoke(id_)

"""Every public setting with its type; `faust-ledger settings` lists them.

A setting is read from the first of these that has it: the environment (`FAUST_LEDGER_SHARDS=16`),
the TOML file that `FAUST_LEDGER_CONFIG` names (default `faust-ledger.toml` in the working
directory), the running embedded stack of `data_dir` (addresses only), the defaults here. An unknown
name, a value of another type and an unreadable file are refused (`ledger.settings_sources`).
"""

import json
import re
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ledger import settings_sources
from ledger.errors import LedgerError, SettingsError
from ledger.hiding import readable, shown_url

STACK_FILE = "stack.json"
NO_DATABASE = "none"
"""As a database's address: this role has no database."""
ORACLE = ("oracle", "oracle+oracledb")
"""Schemes of addresses of an Oracle Database; every other one is PostgreSQL's."""
_BETWEEN_ADDRESSES = re.compile(r"\s*,\s*(?=https?://)")


class Settings(BaseSettings):
    """The settings of a ledger; the name of a time has its unit, and sizes are in bytes.

    Raises SettingsError, which names the source of a refused value.
    """

    model_config = SettingsConfigDict(
        env_prefix=settings_sources.PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data_dir: Path = Field(
        default=platformdirs.user_data_path("faust-ledger"),
        description="Directory for the data of the embedded stack and the workers.",
    )
    bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="Kafka brokers: host:port, separated by commas."
    )
    registry_url: str = Field(
        default="http://127.0.0.1:8081",
        description="Schema registry with the Confluent API. Several addresses of one registry are "
        "separated by commas: the first that answers is asked.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="SASL_SSL: TLS, and kafka_user by SCRAM-SHA-512."
    )
    kafka_user: str = Field(default="", description="User name in Kafka.")
    kafka_password_file: Path | None = Field(
        default=None, description="File with the password of kafka_user."
    )
    registry_user: str = Field(default="", description="User name in the schema registry.")
    registry_password_file: Path | None = Field(
        default=None, description="File with the password of registry_user."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file with the certificate authorities for Kafka and the registry. "
        "Default: the system's.",
    )
    database_url: str = Field(
        default="postgresql+psycopg://ledger_owner@127.0.0.1:5432/ledger",
        description="General ledger, as its owner: for migrations and reports. none: this role has "
        "no database.",
    )
    service_database_url: str = Field(
        default="postgresql+psycopg://ledger_service@127.0.0.1:5432/ledger",
        description="General ledger, as the posting service, which may only add to the journal.",
    )
    history: Literal["on", "off"] = Field(
        default="on",
        description="Whether workers fold history, which answers questions about points in time.",
    )
    history_database_url: str = Field(
        default="",
        description="Database of history, as the posting service, where it is not the general "
        "ledger's: a database of the same tables, such as a logical replica.",
    )
    prefix: str = Field(default="ledger", description="First part of the name of every topic.")
    shards: int = Field(
        default=8,
        ge=1,
        le=512,
        description="Partitions of the transactions topic; fixed when the ledger is created.",
    )
    balance_partitions: int = Field(
        default=8, ge=1, le=512, description="Partitions of the stripes and balances topics."
    )
    replication_factor: int = Field(default=1, ge=1, description="Replicas of every partition.")
    added_partitions: Literal["refuse", "ignore"] = Field(
        default="refuse",
        description="If a topic has more partitions than the ledger: refuse to start, or ignore "
        "the others. See docs/runbooks/partition-added.md.",
    )
    window_days: int = Field(
        default=30,
        ge=1,
        description="Days for which an id is remembered, and that created_at may be old. This and "
        "the next three make a new ledger's policy, which then counts (`faust-ledger policy`).",
    )
    early_minutes: int = Field(
        default=5, ge=0, description="Minutes that created_at may be ahead of the log's clock."
    )
    unknown_accounts: Literal["open", "refuse"] = Field(
        default="open", description="What to do with an account that is not declared."
    )
    max_transaction_bytes: int = Field(
        default=262_144, ge=1024, description="Largest record; a larger one is refused TOO_LARGE."
    )
    clock_ahead_seconds: int = Field(
        default=60,
        ge=1,
        description="A shard waits while its log's clock is further ahead than this of the "
        "worker's clock and of the worker's other shards.",
    )
    max_run_records: int = Field(default=10_000, ge=1, description="Most transactions of a run.")
    max_run_bytes: int = Field(
        default=4_194_304, ge=65_536, description="Most bytes of transactions of a run."
    )
    pending_after_ms: int = Field(
        default=100,
        ge=0,
        description="A balance that is not reconciled after this long is published as pending.",
    )
    session_timeout_seconds: int = Field(
        default=10, ge=6, description="A worker that is silent for this long loses its shards."
    )
    health_host: str = Field(
        default="127.0.0.1",
        description="Address on which a worker serves /live, /ready and /metrics.",
    )
    health_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Its port, one for each worker. 0: a free port, which `status` finds.",
    )
    api_host: str = Field(default="127.0.0.1", description="Address on which `api` listens.")
    api_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Its port, one for each API process. 0: a free port, which `status` finds.",
    )
    api_key_file: Path | None = Field(
        default=None,
        description="File with the key that signs position tokens and cursors; the same for all "
        "API processes of a ledger. Default: api.key in data_dir, which `up` makes.",
    )
    api_certificate_file: Path | None = Field(
        default=None,
        description="PEM file with the API's certificate and those between it and its authority. "
        "Without it the API answers without TLS.",
    )
    api_certificate_key_file: Path | None = Field(
        default=None,
        description="PEM file with the certificate's key. Default: the certificate's file.",
    )
    api_connections: int = Field(
        default=2_000,
        ge=10,
        description="Most HTTP connections of an API process; past that the one that has been "
        "idle longest is closed.",
    )
    api_requests: int = Field(
        default=1_000,
        ge=1,
        description="Most requests that an API process answers at once; others get 503.",
    )
    api_requests_per_second: int = Field(
        default=5_000,
        ge=1,
        description="Most requests a second of one bearer token, in one API process; more get 429.",
    )
    api_request_seconds: int = Field(
        default=20,
        ge=1,
        description="Seconds in which a request's headers must arrive, and then its body; and for "
        "which a client may leave an answer unread.",
    )
    live_connections: int = Field(
        default=5_000, ge=1, description="Most live connections of an API process."
    )
    live_connections_of_token: int = Field(
        default=1_000,
        ge=1,
        description="Most live connections of one bearer token at an API process.",
    )
    redis_url: str = Field(
        default="",
        description="Redis that all API processes share for live updates. Default: none, each "
        "process has its own buffer.",
    )
    oidc_issuer: str = Field(
        default="", description="OpenID Connect issuer whose tokens the API takes. Default: none."
    )
    oidc_audience: str = Field(default="", description="Audience that an issuer's token must name.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        settings_sources.check_environment(settings_cls.model_fields)
        found = settings_sources.in_file(settings_cls.model_fields)
        return (init_settings, env_settings, InitSettingsSource(settings_cls, found))

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            # Without its cause, whose trace repeats the values.
            raise SettingsError(settings_sources.explained(error, given, QUOTED)) from None
        self._require_history()

    def _require_history(self) -> None:
        """Raises SettingsError for a history that nothing can keep."""
        if is_oracle(self.history_database_url):
            raise SettingsError(
                "The setting history_database_url is refused: history is kept in PostgreSQL alone. "
                "Name a PostgreSQL that has the general ledger, or unset it."
            )
        journal = is_oracle(self.database_url) or is_oracle(self.service_database_url)
        if journal and self.history == "on":
            raise SettingsError(
                "The setting history is refused: history is kept in PostgreSQL alone, and the "
                "general ledger's address is Oracle's. Set history = \"off\"; questions about the "
                "past are then answered from the journal. docs/oracle.md has what differs."
            )

    @field_validator("*", mode="before")
    @classmethod
    def _meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse values that pydantic would take for a number, or for the working directory."""
        field = cls.model_fields[str(info.field_name)]
        if value == "" and field.default != "":
            raise ValueError("it is empty")
        if isinstance(value, bool) and field.annotation is int:
            raise ValueError("it is true or false, and must be a number")
        return value

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        each = [server.strip().rpartition(":") for server in value.split(",")]
        if not all(host and port.isdecimal() and "@" not in host for host, _, port in each) or (
            "://" in value
        ):
            raise ValueError(
                "it is host:port, separated by commas, with nothing before a host; the user is in "
                "kafka_user and kafka_password_file"
            )
        return value

    @field_validator("registry_url", "database_url", "service_database_url", "history_database_url")
    @classmethod
    def _address(cls, value: str) -> str:
        addresses = addresses_in(value)
        wrong = [each for each in addresses if not readable(each)]
        if wrong and value not in ("", NO_DATABASE):
            raise ValueError(
                f"{shown_url(wrong[0])} is no address like scheme://user:password@host:port/name; "
                "in a user, a password or a parameter write @ as %40, and a blank as %20"
            )
        return ",".join(addresses)


QUOTED = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if field.annotation is int or (isinstance(field.default, str) and field.annotation is not str)
)
"""Settings that are numbers or choices: a message may repeat their values."""
GROUPS = (
    ("bootstrap_servers", "kafka_security_protocol", "kafka_user", "kafka_password_file"),
    ("registry_url", "registry_user", "registry_password_file"),
    ("ca_file",),
    ("database_url",),
    ("service_database_url",),
    ("shards",),
    ("replication_factor",),
)
"""Settings of the embedded stack, each group taken whole: no server gets another's user."""
FROM_STACK = frozenset(name for group in GROUPS for name in group)


def addresses_in(url: str) -> list[str]:
    """The addresses of a setting that has several, separated by commas."""
    return _BETWEEN_ADDRESSES.split(url)


def is_oracle(url: str) -> bool:
    """Whether the database's address is Oracle's, by its scheme."""
    return url.partition("://")[0].lower() in ORACLE


def require_ledger(settings: Settings) -> None:
    """A SettingsError unless a stack or a setting names the servers of a ledger.

    The defaults are the addresses of whatever ledger happens to run on this machine.
    """
    given = settings.model_fields_set
    # A general ledger alone answers some questions, unless a stack's directory was named.
    if "bootstrap_servers" in given or ("database_url" in given and "data_dir" not in given):
        return
    place = f" --data-dir {settings.data_dir}" if "data_dir" in given else ""
    raise SettingsError(
        f"No ledger here: run `faust-ledger up{place}`, or set bootstrap_servers. There is no "
        f"stack in {settings.data_dir} (no {STACK_FILE})."
    )


def require_database(url: str) -> None:
    """A SettingsError for the address of a role that has no database."""
    if url == NO_DATABASE:
        raise SettingsError(
            "This role has no database: its address is `none`. Ask as finance, which reads the "
            "general ledger, or as admin; docs/security.md has what each role may do."
        )


def load(data_dir: Path | None = None) -> Settings:
    """The settings of a command; those not set come from the embedded stack of `data_dir`, if any.

    Raises SettingsError, and LedgerError for a stack's file that cannot be read.
    """
    base = Settings() if data_dir is None else Settings(data_dir=data_dir)
    file = base.data_dir / STACK_FILE
    try:
        if not file.exists():
            return base
        stack = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(stack, dict):
            raise ValueError("it is not an object")  # noqa: TRY004, TRY301 - of the file's text
        # The file has the names of settings; a setting from another source wins over it.
        unset = {
            name: stack[name]
            for group in GROUPS
            if base.model_fields_set.isdisjoint(group)
            for name in group
            if name in stack
        }
        return Settings(data_dir=base.data_dir, **unset)
    except OSError as error:
        raise LedgerError(
            f"The addresses of the stack in {base.data_dir} cannot be read: {error.strerror} "
            f"({error.filename}). Run this as the user who owns the stack, or choose another "
            "--data-dir."
        ) from error
    except (SettingsError, ValueError, RecursionError) as error:
        raise LedgerError(
            f"{file} is damaged ({error}). `faust-ledger up --data-dir {base.data_dir}` repairs it."
        ) from None

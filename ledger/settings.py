"""Every public setting, typed, in one place: `faust-ledger settings` lists them.

Read from, the first winning: the environment (`FAUST_LEDGER_SHARDS=16`), the TOML file that
`FAUST_LEDGER_CONFIG` names (default `faust-ledger.toml` in the working directory), the running
embedded stack of `data_dir` (addresses only), the defaults here. A name that is no setting, a value
that is none of its type and a file that cannot be read are refused (`ledger.settings_sources`).
"""

import json
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


class Settings(BaseSettings):
    """Times are in the unit their name says; sizes are in bytes.

    Raises SettingsError, which says where what is refused was set.
    """

    model_config = SettingsConfigDict(
        env_prefix=settings_sources.PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data_dir: Path = Field(
        default=platformdirs.user_data_path("faust-ledger"),
        description="Where the embedded stack and the workers keep their data.",
    )
    bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="Kafka brokers, host:port with commas between."
    )
    registry_url: str = Field(
        default="http://127.0.0.1:8081", description="Schema registry, Confluent API."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="SASL_SSL: over TLS, as kafka_user with SCRAM-SHA-512."
    )
    kafka_user: str = Field(default="", description="Who we are to Kafka.")
    kafka_password_file: Path | None = Field(
        default=None, description="A file with that user's password."
    )
    registry_user: str = Field(default="", description="Who we are to the schema registry.")
    registry_password_file: Path | None = Field(
        default=None, description="A file with that user's password."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file with the authorities that Kafka and the registry are checked "
        "against. Default: the system's.",
    )
    database_url: str = Field(
        default="postgresql+psycopg://ledger_owner@127.0.0.1:5432/ledger",
        description="General ledger as its owner: migrations and reports.",
    )
    service_database_url: str = Field(
        default="postgresql+psycopg://ledger_service@127.0.0.1:5432/ledger",
        description="General ledger as the posting service, which may only add to the journal.",
    )
    prefix: str = Field(default="ledger", description="First part of every topic's name.")
    shards: int = Field(
        default=8,
        ge=1,
        le=512,
        description="Partitions of the transactions topic; fixed when a ledger is created.",
    )
    balance_partitions: int = Field(
        default=8, ge=1, le=512, description="Partitions of the stripes and balances topics."
    )
    replication_factor: int = Field(default=1, ge=1, description="Copies of every partition.")
    added_partitions: Literal["refuse", "ignore"] = Field(
        default="refuse",
        description="Where a topic has more partitions than the ledger: start nothing, or use only "
        "those of the ledger. See docs/runbooks/partition-added.md.",
    )
    window_days: int = Field(
        default=30,
        ge=1,
        description="How long an id is remembered, and how old created_at may be. This and the "
        "next three are a new ledger's; from then on its policy counts (`faust-ledger policy`).",
    )
    early_minutes: int = Field(
        default=5, ge=0, description="How far created_at may be ahead of the log's clock."
    )
    unknown_accounts: Literal["open", "refuse"] = Field(
        default="open", description="What happens to an account nobody declared."
    )
    max_transaction_bytes: int = Field(
        default=262_144, ge=1024, description="A bigger record is refused TOO_LARGE."
    )
    clock_ahead_seconds: int = Field(
        default=60,
        ge=1,
        description="A shard whose log's clock is further ahead of its worker's, and of the "
        "worker's other shards, waits instead of deciding.",
    )
    max_run_records: int = Field(default=10_000, ge=1, description="Transactions decided at once.")
    max_run_bytes: int = Field(
        default=4_194_304, ge=65_536, description="Bytes of transactions decided at once."
    )
    pending_after_ms: int = Field(
        default=100,
        ge=0,
        description="A balance not reconciled after this long is published as pending first.",
    )
    session_timeout_seconds: int = Field(
        default=10, ge=6, description="A worker silent for this long loses its shards."
    )
    health_host: str = Field(
        default="127.0.0.1", description="Where a worker answers /live, /ready and /metrics."
    )
    health_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="The same; 0 takes a free port, which `status` finds. One for each worker.",
    )

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
            # Not from it: its trace repeats the values.
            raise SettingsError(settings_sources.explained(error, given, QUOTED)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses what pydantic would take for a number, or the working directory."""
        field = cls.model_fields[str(info.field_name)]
        if value == "" and field.default != "":
            raise ValueError("it is empty")
        if isinstance(value, bool) and field.annotation is int:
            raise ValueError("it is true or false, and must be a number")
        return value

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        if "@" in value or "://" in value:
            raise ValueError(
                "it is host:port with commas between, and nothing before a host; kafka_user and "
                "kafka_password_file say who we are"
            )
        return value

    @field_validator("registry_url", "database_url", "service_database_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if not readable(value):
            raise ValueError(
                f"{shown_url(value)} is no address such as scheme://user:password@host:port/name; "
                "in a user, a password or a parameter write @ as %40, a blank as %20"
            )
        return value


QUOTED = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if field.annotation is int or (isinstance(field.default, str) and field.annotation is not str)
)
"""Numbers and words to choose from: a message may repeat what stands there."""
GROUPS = (
    ("bootstrap_servers", "kafka_security_protocol", "kafka_user", "kafka_password_file"),
    ("registry_url", "registry_user", "registry_password_file"),
    ("ca_file",),
    ("database_url",),
    ("service_database_url",),
    ("shards",),
    ("replication_factor",),
)
"""What the embedded stack says, together or not at all: nobody's server gets another's user."""
FROM_STACK = frozenset(name for group in GROUPS for name in group)


def load(data_dir: Path | None = None) -> Settings:
    """Settings as every command sees them. Raises SettingsError.

    What nobody set comes from the embedded stack of `data_dir`, where there is one.
    """
    base = Settings() if data_dir is None else Settings(data_dir=data_dir)
    file = base.data_dir / STACK_FILE
    try:
        if not file.exists():
            return base
        stack = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(stack, dict):
            raise ValueError("it is no object")  # noqa: TRY004, TRY301 - of the file's text
        # The stack writes the same names as the settings; what a person set wins over it.
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
            f"({error.filename}). Run this as the user whose stack it is, or choose another "
            "--data-dir."
        ) from error
    except (SettingsError, ValueError, RecursionError) as error:
        raise LedgerError(
            f"{file} is damaged ({error}). `faust-ledger up --data-dir {base.data_dir}` mends it."
        ) from None

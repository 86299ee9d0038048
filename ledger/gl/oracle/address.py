"""Addresses of an Oracle Database, and what the ledger reads from them.

`oracle://user:password@host:1521/?service_name=FREEPDB1&schema=ledger_owner`, or with a name of
tnsnames.ora `oracle://user:password@ledger_high/?config_dir=/etc/oracle&wallet_location=…`.
"""

import re
from pathlib import Path
from typing import NamedTuple, Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ledger.errors import SettingsError
from ledger.hiding import shown_url

DRIVER = "oracle+oracledb"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_$#]{0,127}")
_MOST_PARTITIONS = 1_024
_OF_DRIVER = frozenset((
    "config_dir", "disable_oob", "edition", "https_proxy", "https_proxy_port", "sdu",
    "service_name", "ssl_server_cert_dn", "ssl_server_dn_match", "wallet_location",
    "wallet_password",
))  # fmt: skip
"""Parameters that go to oracledb.connect as they are."""


class OracleAddress(NamedTuple):
    """`url`: what SQLAlchemy gets. `schema`: the owner of the tables, None for the user itself.

    `partitions`: how many hash partitions by shard new tables of the journal get, 0 for none.
    """

    url: URL
    schema: str | None = None
    partitions: int = 0

    @classmethod
    def of(cls, address: str) -> Self:
        """Raises SettingsError, which never repeats a password."""
        try:
            url = make_url(address)
        except (ArgumentError, ValueError):
            raise refused(address, "cannot be read") from None
        given = {name: str(value) for name, value in url.query.items()}
        schema, partitions = given.pop("schema", None), given.pop("partitions", "0")
        file = given.pop("passfile", None)
        if unknown := sorted(given.keys() - _OF_DRIVER):
            raise refused(address, f"has a parameter that is not known: {', '.join(unknown)}")
        if schema is not None and not _NAME.fullmatch(schema):
            raise refused(
                address, "names a schema that is no name of Oracle's, such as ledger_owner"
            )
        if not partitions.isdecimal() or int(partitions) > _MOST_PARTITIONS:
            raise refused(address, f"has partitions that are no number up to {_MOST_PARTITIONS}")
        if url.host is None:
            raise refused(address, "has no host, and no name of tnsnames.ora")
        if url.port is not None and not (url.database or "service_name" in given):
            raise refused(address, "has no service_name")
        if file is not None:
            url = url.set(password=_password(address, Path(file)))
        return cls(url.set(drivername=DRIVER, query=given), schema, int(partitions))


def refused(address: str, why: str) -> SettingsError:
    """A SettingsError about an address."""
    return SettingsError(
        f"The database's address {shown_url(address)} {why}. The settings database_url and "
        "service_database_url are like "
        "oracle://user@host:1521/?service_name=FREEPDB1&schema=ledger_owner; what is not a letter "
        "or a digit in a password is percent-encoded. docs/oracle.md has all parameters."
    )


def _password(address: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0]
    except OSError as error:
        raise refused(address, f"names a passfile that cannot be read ({error.strerror})") from None

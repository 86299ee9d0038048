"""What to do about PostgreSQL's errors that a person can put right while postings wait."""

from collections.abc import Mapping

_TAKEN = "every connection is in use: end some (pg_stat_activity), or raise the limit"
_SETUP = "run `faust-ledger setup` as the owner (of the embedded stack `faust-ledger up`)"
_PLACE = "correct host and port in database_url and service_database_url, or start the server there"
BY_CODE: Mapping[str, str] = {
    "25006": "the database is read-only, as a standby is: name the primary",
    "42501": f"a right is missing: {_SETUP}, which grants what each role needs",
    "42P01": f"tables are missing: {_SETUP}, which creates them, or restore a backup; or the "
    "address names another database or search_path",
    "53100": "the disk is full: make room where the server has its tables and its log",
    "53200": "the server is out of memory: give it more, or lower max_connections",
    "53300": _TAKEN,
}
"""By SQLSTATE."""
OF_ROLE: Mapping[str, str] = {
    "password authentication failed": "the password is wrong, or has expired (VALID UNTIL): "
    "`faust-ledger up` sets the embedded stack's again; on a database of your own correct "
    "service_database_url",
    "no password supplied": "the password is missing: `faust-ledger up` writes the embedded "
    "stack's again; on a database of your own correct service_database_url",
    "too many connections for role": _TAKEN,
    "too many clients": _TAKEN,
    "remaining connection slots": _TAKEN,
    "is not permitted to log in": "ALTER ROLE … LOGIN",
    "does not exist": "the database or the role is gone, or the address names another one: correct "
    "the address, or restore a backup",
    "permission denied": "grant the role CONNECT on the database again",
    "no pg_hba.conf entry": "allow the role from this address in the server's pg_hba.conf",
}
"""By what the server answers a role that cannot connect: psycopg has no code for it then."""
OF_SERVER: Mapping[str, str] = {
    "resolve host": _PLACE,
    "translate host name": _PLACE,
    "onnection refused": _PLACE,
    "timeout expired": _PLACE,
    "certificate": "correct sslmode and sslrootcert in the address, or the server's certificate",
}
"""By what libpq says of a server that cannot be reached."""
OTHERWISE = "look at the database's own log if this lasts"


def advice(code: str | None, message: str) -> str:
    """What to do about an error with that SQLSTATE, None if it has none, and that message."""
    if code is not None and code in BY_CODE:
        return BY_CODE[code]
    known = {**OF_ROLE, **OF_SERVER}
    return next((known[words] for words in known if words in message), OTHERWISE)

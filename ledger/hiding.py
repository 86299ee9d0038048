"""Hides passwords in addresses and messages.

A database address is parsed as SQLAlchemy parses it, so `u:pa/ss@host` has a password with a slash.
Of an ambiguous address only the scheme is shown.
"""

import logging
import re
from urllib.parse import unquote_plus

HIDDEN = "***"

_URL = re.compile(
    r"""(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://
        (?:(?P<user>[^:/?\#@\s]*)(?P<password>:[^@\s]*)?@)?
        (?P<hosts>(?:\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._-]+)?\]|[A-Za-z0-9._-]|%[0-9A-Fa-f]{2}|[,:])*)
        (?P<path>/[^?\#@\s]*)?
        (?:\?(?P<query>[^\#@\s]*))?
        (?P<fragment>\#[^@\s]*)?""",
    re.VERBOSE,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_SHOWN_PARAMETERS = re.compile(
    r"host|hostaddr|port|dbname|user|passfile|connect_timeout|client_encoding|options|"
    r"application_name|keepalives\w*|tcp_user_timeout|ssl(?!password)\w*|gss\w*|krbsrvname|"
    r"target_session_attrs|load_balance_hosts|service|channel_binding|require_auth|"
    r"service_name|schema|partitions|config_dir|wallet_location"
)
"""Parameters of PostgreSQL's and Oracle's addresses without secrets; `passfile` names a file. All
others are hidden."""
_IN_TEXT = re.compile(
    r"(?<=')[A-Za-z][A-Za-z0-9+.-]*://[^'\n]*(?=')|(?<=\")[A-Za-z][A-Za-z0-9+.-]*://[^\"\n]*(?=\")|"
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>`]+"
)
"""An address in quotes, or up to a blank."""
_WORD_IN_TEXT = re.compile(
    r"(?P<name>\b\w*(?:password|passwd|pwd|secret|token))(?P<is>\s*=\s*)"
    r"(?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s'\"&,;)]+)",
    re.IGNORECASE,
)
_BEARER_IN_TEXT = re.compile(
    r"(?P<ours>\bflt_[0-9A-Za-z]{10})[0-9A-Za-z]+|(?P<other>\bbearer\s+)(?!flt_)[\w.~+/=-]{16,}",
    re.IGNORECASE,
)
"""A bearer token of the API, of which the id may be shown, or of an issuer."""


def shown_url(url: str) -> str:
    """`url` with possible secrets as ***; only the scheme of one that cannot be parsed."""
    found = _read(url)
    if found is None:
        scheme = _SCHEME.match(url)
        return f"{scheme[0]}://{HIDDEN}" if scheme else HIDDEN
    return "".join((
        found["scheme"], "://", _who(found), found["hosts"], found["path"] or "",
        "" if found["query"] is None else f"?{_parameters(found['query'])}",
        f"#{HIDDEN}" if found["fragment"] else "",
    ))  # fmt: skip


def readable(url: str) -> bool:
    """Whether `url` is an unambiguous address."""
    return _read(url) is not None


def _read(url: str) -> re.Match[str] | None:
    found = _URL.fullmatch(url)
    hosts = found["hosts"].split(",") if found else []
    ports = (each.rpartition("]")[2].partition(":")[2] for each in hosts)
    return found if all(not port or port.isdecimal() for port in ports) else None


def _who(found: re.Match[str]) -> str:
    if found["user"] is None:
        return ""
    if found["password"] is not None:
        return f"{found['user']}:{HIDDEN}@"
    # Over HTTP a name without a password is usually a key.
    secret = found["scheme"].lower().startswith("http")
    return f"{HIDDEN if secret else found['user']}@"


def _parameters(query: str) -> str:
    return "&".join(map(_parameter, query.split("&"))) if query else ""


def _parameter(pair: str) -> str:
    name, separator, _ = pair.partition("=")
    if not separator:
        return HIDDEN
    known = _SHOWN_PARAMETERS.fullmatch(unquote_plus(name).lower())
    return pair if known else f"{name}={HIDDEN}"


def hidden(text: str) -> str:
    """A message with its addresses as in `shown_url`, and passwords and bearer tokens as ***.

    Messages of libraries repeat the addresses that they were given.
    """
    text = _IN_TEXT.sub(_shown_in_text, text)
    text = _WORD_IN_TEXT.sub(rf"\g<name>\g<is>{HIDDEN}", text)
    return _BEARER_IN_TEXT.sub(lambda found: (found["ours"] or found["other"]) + HIDDEN, text)


def _shown_in_text(found: re.Match[str]) -> str:
    address = found[0].rstrip(".,;:!?)]}")
    return shown_url(address) + found[0][len(address) :]


class HidingFormatter(logging.Formatter):
    """Formats a log record without passwords, its message on one line.

    Messages may contain what a producer wrote, so control characters are spelt out.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        from ledger.terminal import plain

        return plain(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return hidden(super().format(record))


class Sparing(logging.Filter):
    """Lets each sentence of a library pass once in ten seconds.

    aiokafka says a hundred times a second that a broker is away, for as long as it is.
    """

    def __init__(self, library: str, seconds: float = 10.0) -> None:
        super().__init__()
        self._library, self._seconds = library, seconds
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(self._library):
            return True
        sentence = (record.name, str(record.msg))
        if record.created - self._said.get(sentence, 0.0) < self._seconds:
            return False
        self._said[sentence] = record.created
        return True


QUIET = ("aiokafka", "httpx")
"""Libraries that log each connection or request: of use to nobody who operates a ledger."""


def log_to_stderr() -> None:
    """Log to stderr, with times and levels and without passwords; of libraries what is wrong."""
    logging.basicConfig(level="INFO")
    form = HidingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    for each in logging.getLogger().handlers:
        each.setFormatter(form)
        each.addFilter(Sparing("aiokafka"))
    for name in QUIET:
        logging.getLogger(name).setLevel("WARNING")

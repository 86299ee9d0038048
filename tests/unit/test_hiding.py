"""What may be a password is shown nowhere: addresses, messages of libraries, logs."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ledger.hiding import HidingFormatter, hidden, readable, shown_url

SHOWN = {
    "postgresql://u@h:5432/d": "postgresql://u@h:5432/d",
    "postgresql+psycopg://u@h/d?passfile=%2Fs%2Fpgpass&sslmode=disable":
        "postgresql+psycopg://u@h/d?passfile=%2Fs%2Fpgpass&sslmode=disable",
    "http://127.0.0.1:8081/apis/v7": "http://127.0.0.1:8081/apis/v7",
    "postgresql:///d?host=/run/postgresql": "postgresql:///d?host=/run/postgresql",
    "postgresql://u:pw@h/d": "postgresql://u:***@h/d",
    "postgresql://u:p/w@h/d": "postgresql://u:***@h/d",
    "postgresql://u:p%40w@[::1]:5432/d": "postgresql://u:***@[::1]:5432/d",
    "postgresql://u:p:w@h1:1,h2:2/d": "postgresql://u:***@h1:1,h2:2/d",
    "postgresql://h/d?user=u&password=pw": "postgresql://h/d?user=u&password=***",
    "postgresql://h/d?p%61ssword=pw&SSLPASSWORD=pw": "postgresql://h/d?p%61ssword=***&SSLPASSWORD=***",
    "postgresql://h/d?anything=pw&pw": "postgresql://h/d?anything=***&***",
    "https://u:pw@registry:8081/": "https://u:***@registry:8081/",
    "https://pw@registry/": "https://***@registry/",
    # What can be read in two ways, or not at all.
    "postgresql://u:p@w@h/d": "postgresql://***",
    "postgresql://u:pw": "postgresql://***",
    "postgresql://u:p w@h/d": "postgresql://***",
    "postgresql://[::1:pw/d": "postgresql://***",
    "postgresql://u:1/pw@h/d?application_name=a@b": "postgresql://***",
    "host=h password=pw": "***",
    "u:pw@h": "***",
}  # fmt: skip


@pytest.mark.parametrize("url", SHOWN)
def test_an_address_is_shown_without_its_password(url):
    assert shown_url(url) == SHOWN[url]
    assert readable(url) == (not SHOWN[url].endswith(("://***", "***")) or "=" in SHOWN[url])


PARTS = st.text(alphabet="uh:/@?#[]%=&0 .", max_size=6)


@given(before=PARTS, after=PARTS)
def test_no_spelling_shows_the_password_that_sqlalchemy_reads(before, after):
    url = f"postgresql://u:{before}sEcrEt{after}@h:5432/d?password=sEcrEt"
    assert "sEcrEt" not in shown_url(url)
    assert "sEcrEt" not in hidden(f"connection to {url!r} failed")


@given(st.text(alphabet="au:/@?#[]%=&0.,", max_size=20))
def test_a_password_as_sqlalchemy_parses_it_is_hidden(text):
    url = f"postgresql://{text}"
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        return
    if found.password and str(found.password) not in "://@*":
        shown = shown_url(url)
        assert shown == "postgresql://***" or f":{found.password}@" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no 'postgresql://u:pw@h/d'.", "no 'postgresql://u:***@h/d'."),
        ("see http://u:pw@h:1/x, please", "see http://u:***@h:1/x, please"),
        ("host=h password=pw user=u", "host=h password=*** user=u"),
        ("password='p w' sslpassword = pw", "password=*** sslpassword = ***"),
        ("passfile=/s/pgpass, 12:30", "passfile=/s/pgpass, 12:30"),
    ],
)
def test_passwords_in_a_message_of_a_library_are_hidden(text, shown):
    assert hidden(text) == shown


def test_a_log_has_no_password_and_a_line_for_a_record():
    record = logging.LogRecord(
        "x",
        logging.ERROR,
        "f",
        1,
        "id %s at %s",
        ("a\nERROR forged\x1b[2J", "http://u:pw@h/"),
        None,
    )
    found = HidingFormatter("%(levelname)s %(message)s").format(record)
    assert found == r"ERROR id a\nERROR forged\x1b[2J at http://u:***@h/"
    try:
        raise ValueError("postgresql://u:pw@h/d")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    trace = HidingFormatter("%(message)s").format(record)
    assert trace.count("\n") > 1
    assert "pw" not in trace


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"refused flt_0123456789{'a' * 49}.", "refused flt_0123456789***."),
        (
            f"Authorization: Bearer flt_0123456789{'a' * 20}",
            "Authorization: Bearer flt_0123456789***",
        ),
        ("bearer eyJhbGciOiJSUzI1NiJ9.eyJz-_dWI.c2ln", "bearer ***"),
        ("token flt_0123456789 is revoked", "token flt_0123456789 is revoked"),
        ("a bearer token of the ledger", "a bearer token of the ledger"),
    ],
)
def test_of_a_bearer_token_the_id_is_shown(text: str, shown: str) -> None:
    assert hidden(text) == shown

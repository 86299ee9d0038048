"""Oracle's addresses and errors, and settings that name one; without a database."""

import sys
from pathlib import Path

import pytest

from ledger.errors import SettingsError
from ledger.gl.databases import (
    history_address,
    open_history,
    open_history_writer,
    open_journal,
    require_history,
)
from ledger.gl.history.books import LinesQuery, RefusalsQuery
from ledger.gl.history.why import WhyQuery
from ledger.gl.journal import JournalUnavailable, NotPostable
from ledger.gl.oracle import OracleJournal
from ledger.gl.oracle.address import OracleAddress
from ledger.gl.oracle.faults import ADVICE, OracleError, translate
from ledger.gl.postgresql import PostgresJournal, shadows
from ledger.hiding import shown_url
from ledger.settings import Settings
from ledger.stack import dumps

URL = "oracle://ledger_service:se%40cret@db.example:1521/?service_name=FREEPDB1&schema=ledger_owner"


class Info:
    """What python-oracledb has as an exception's argument."""

    def __init__(self, full_code: str) -> None:
        self.full_code = full_code

    def __str__(self) -> str:
        return f"{self.full_code}: in words\nHelp: https://docs.oracle.com/error-help/db/"


def test_an_address_has_a_schema_that_the_driver_does_not_see() -> None:
    found = OracleAddress.of(f"{URL}&partitions=8")
    assert (found.schema, found.partitions) == ("ledger_owner", 8)
    assert (found.url.password, dict(found.url.query)) == ("se@cret", {"service_name": "FREEPDB1"})
    assert found.url.drivername == "oracle+oracledb"


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n", encoding="utf-8")
    found = OracleAddress.of(f"oracle://u@ledger_high/?config_dir=/etc/oracle&passfile={file}")
    assert (found.url.host, found.url.password) == ("ledger_high", "from a file")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("oracle://u:se%40cret@h:1521/", "no service_name"),
        ("oracle://u:se%40cret@h:1521/?service_name=x&shema=y", "not known: shema"),
        ("oracle://u:se%40cret@h:1521/?service_name=x&schema=y;z", "no name of Oracle's"),
        ("oracle://u:se%40cret@h:1521/?service_name=x&partitions=many", "no number"),
        ("oracle://u:se%40cret@h:1521/?service_name=x&passfile=/not/there", "passfile"),
        ("oracle:///?service_name=x", "no host"),
    ],
)
def test_a_wrong_address_is_refused_in_a_sentence(address: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        OracleAddress.of(address)
    assert "cret" not in str(refused.value).replace("docs", "")
    assert "docs/oracle.md" in str(refused.value)


def test_an_address_is_shown_without_its_password() -> None:
    shown = shown_url(f"{URL}&wallet_password=other")
    assert "cret" not in shown and "other" not in shown
    assert "service_name=FREEPDB1&schema=ledger_owner" in shown


@pytest.mark.parametrize(
    "code",
    ["ORA-00028", "ORA-00060", "ORA-01653", "ORA-01017", "ORA-03113", "ORA-08177", "ORA-12514",
     "ORA-16000", "ORA-25408", "ORA-28001", "DPY-4011", "DPY-4024", "DPY-6005", "DPY-1001",
     *ADVICE],
)  # fmt: skip
def test_what_passes_is_waited_for(code: str) -> None:
    found = translate(Exception(Info(code)))
    assert isinstance(found, JournalUnavailable)
    assert code in str(found) and "Help:" not in str(found)


@pytest.mark.parametrize(
    "code", ["ORA-00001", "ORA-01400", "ORA-01438", "ORA-02290", "ORA-12899", "ORA-00904",
             "DPY-2015", "DPY-3002", ""],
)  # fmt: skip
def test_what_does_not_pass_is_refused(code: str) -> None:
    assert isinstance(translate(Exception(Info(code))), NotPostable)
    assert OracleError.of(Exception(Info(code))).code == code


def test_a_code_is_found_in_a_text_too() -> None:
    assert OracleError.of(Exception("ORA-01555: snapshot too old")).code == "ORA-01555"
    assert OracleError.of(Exception()) == ("", "Exception")


def test_the_scheme_chooses_the_journal() -> None:
    for address, kind in ((URL, OracleJournal), ("postgresql://u@h/db", PostgresJournal)):
        journal = open_journal(address)
        assert isinstance(journal, kind)
        journal.close()


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oracledb", None)
    with pytest.raises(SettingsError, match="python-oracledb is not installed"):
        open_journal(URL)


def test_history_is_refused_in_oracle() -> None:
    with pytest.raises(SettingsError, match='Set history = "off"'):
        Settings(database_url=URL)
    with pytest.raises(SettingsError, match="history_database_url is refused"):
        Settings(history_database_url=URL)
    settings = Settings(database_url=URL, service_database_url=URL, history="off")
    history = open_history(history_address(settings))
    assert history.positions() == {}
    with pytest.raises(SettingsError, match="PostgreSQL alone"):
        open_history_writer(URL)
    with pytest.raises(SettingsError, match="`balances --as-of` answer from the journal"):
        require_history(settings)


def test_absent_history_answers_no_zeros() -> None:
    history = open_history(URL)
    assert history.refusals(RefusalsQuery()).refusals == []
    for ask in (
        history.as_of,
        lambda: history.lines(LinesQuery("assets:cash")),
        lambda: history.why(WhyQuery("assets:cash")),
    ):
        with pytest.raises(JournalUnavailable, match=r"docs/oracle\.md"):
            ask()


def test_what_switches_schemas_is_refused_in_oracle() -> None:
    with pytest.raises(SettingsError, match="reconcile --full"):
        shadows.existing_shadows(URL)
    with pytest.raises(SettingsError, match="cannot be switched"):
        shadows.create_shadow(URL, "again", "a test")


def test_a_program_of_postgresql_is_not_started() -> None:
    with pytest.raises(SettingsError, match="works on PostgreSQL alone"):
        dumps.run_psql(URL, [])


def test_a_column_that_is_missing_is_of_another_release() -> None:
    found = translate(Exception(Info("ORA-00904")))
    assert isinstance(found, NotPostable)
    assert "Run `faust-ledger setup` as the owner" in str(found)

"""The sources of settings: which ones are taken from the embedded stack, and which never are."""

import json
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.settings import STACK_FILE, load
from ledger.streaming import connection

STACK = {
    "bootstrap_servers": "127.0.0.1:1",
    "kafka_security_protocol": "SASL_SSL",
    "kafka_user": "admin",
    "kafka_password_file": "/secrets/admin.password",
    "registry_url": "https://127.0.0.1:2/apis/ccompat/v7",
    "registry_user": "admin",
    "registry_password_file": "/secrets/admin.password",
    "ca_file": "/secrets/ca.pem",
    "shards": 4,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / STACK_FILE).write_text(json.dumps(STACK))
    return tmp_path


def test_settings_that_are_not_set_are_those_of_the_stack(place: Path) -> None:
    found = load(place)
    assert found.kafka_password_file == Path("/secrets/admin.password")
    assert (found.kafka_user, found.shards) == ("admin", 4)


def test_another_server_is_not_given_the_stacks_user(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "elsewhere:9092")
    found = load(place)
    assert found.bootstrap_servers == "elsewhere:9092"
    assert (found.kafka_security_protocol, found.kafka_user) == ("PLAINTEXT", "")
    assert found.kafka_password_file is None
    assert found.registry_user == "admin", "the registry is still the stack's"


def test_an_unreadable_password_file_names_its_setting(place: Path) -> None:
    settings = load(place).model_copy(update={"ca_file": None})
    with pytest.raises(LedgerError, match="kafka_password_file"):
        connection.kafka(settings)
    with pytest.raises(LedgerError, match="registry_password_file"):
        connection.registry(settings)
    with pytest.raises(LedgerError, match="no file with its password"):
        connection.kafka(settings.model_copy(update={"kafka_password_file": None}))


def test_unreadable_certificates_name_their_setting(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="ca_file"):
        connection.trust(tmp_path / "none.pem")

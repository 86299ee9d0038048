"""What a data directory keeps for life, and how it is written."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from ledger.errors import StackError
from ledger.settings import Settings, load
from ledger.stack import files, identity, record
from ledger.stack.credentials import database_url
from ledger.stack.files import Layout
from ledger.stack.identity import Identity, Ports, Shape
from ledger.stack.parts import Part


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    made = files.layout(tmp_path / "ledger")
    files.create_directories(made)
    return made


def established(place: Layout, wanted: Ports | None = None, shards: int | None = None) -> Identity:
    settings = Settings() if shards is None else Settings(shards=shards)
    me = identity.load_or_create(place, wanted or Ports(), settings)
    identity.save_identity(place, me)
    return me


def test_ports_passwords_and_cluster_stay(place: Layout) -> None:
    first = established(place)
    assert established(place) == first
    assert len(set(first.passwords.values())) == len(identity.DATABASE_ROLES) + len(identity.USERS)
    assert len({*first.kafka_ports, first.registry_port, first.postgres_port}) == 3


def test_a_role_that_came_later_gets_a_password(place: Layout) -> None:
    first = established(place)
    earlier = {name: word for name, word in first.passwords.items() if name != "api"}
    identity.save_identity(place, replace(first, passwords=earlier))
    later = established(place)
    assert {n: w for n, w in later.passwords.items() if n != "api"} == earlier
    assert later.passwords["api"] not in earlier.values()
    assert established(place) == later


def test_a_given_port_is_remembered(place: Layout) -> None:
    established(place, Ports(kafka=12345))
    assert established(place).kafka_ports == (12345,)


def test_one_port_for_two_parts_is_refused(place: Layout) -> None:
    with pytest.raises(StackError, match="need different ports"):
        established(place, Ports(kafka=12345, registry=12345))


def test_the_number_of_shards_is_fixed(place: Layout) -> None:
    established(place, shards=4)
    assert established(place).shards == 4
    with pytest.raises(StackError, match="created with 4 shards and 16"):
        established(place, shards=16)


def test_data_centres_and_security_are_fixed(place: Layout) -> None:
    me = identity.load_or_create(place, Ports(), Settings(), Shape(3, True))
    identity.save_identity(place, me)
    assert [broker.name for broker in me.brokers] == ["kafka-1", "kafka-2", "kafka-3"]
    assert me.copies == 3
    assert identity.load_or_create(place, Ports(), Settings(), Shape(3, True)) == me
    assert identity.load_identity(place) == me
    with pytest.raises(StackError, match="created with 3 data centres and 1"):
        identity.load_or_create(place, Ports(), Settings(), Shape(1, None))
    with pytest.raises(StackError, match="created with --secure"):
        identity.load_or_create(place, Ports(), Settings(), Shape(None, False))


def test_controllers_move_when_no_broker_runs(place: Layout) -> None:
    me = identity.load_or_create(place, Ports(), Settings(), Shape(3, False))
    moved = identity.with_new_controller_ports(me)
    assert moved.kafka_ports == me.kafka_ports
    assert len({*moved.controller_ports, *moved.kafka_ports}) == 6


def test_lost_passwords_are_not_replaced_by_new_ones(place: Layout) -> None:
    place.postgres.mkdir()
    (place.postgres / "PG_VERSION").write_text("18")
    with pytest.raises(StackError, match="is missing"):
        established(place)


def test_an_unreadable_identity_says_what_to_do(place: Layout) -> None:
    place.identity_file.write_text("{")
    with pytest.raises(StackError, match="Restore it from a backup"):
        established(place)


OF_0_2 = {
    "cluster_id", "kafka_ports", "controller_ports", "registry_port", "postgres_port", "shards",
    "secure", "passwords",
}  # fmt: skip
"""What release 0.2 takes; any other field there and it starts nothing."""


def test_an_older_release_reads_the_identity(place: Layout) -> None:
    me = replace(established(place), workers=2, api=1, api_ports=(23456,))
    identity.save_identity(place, me)
    assert json.loads(place.identity_file.read_text()).keys() == OF_0_2
    assert identity.load_identity(place) == me


def test_what_an_older_release_saves_keeps_what_is_remembered(place: Layout) -> None:
    me = replace(established(place), workers=2)
    identity.save_identity(place, me)
    stored = json.loads(place.identity_file.read_text())
    place.identity_file.write_text(json.dumps(stored | {"kafka_ports": [23456]}))
    assert identity.load_identity(place) == replace(me, kafka_ports=(23456,))


def test_an_identity_with_all_in_one_file_is_read(place: Layout) -> None:
    """As versions between 0.2 and 0.3 wrote it."""
    me = replace(established(place), workers=3)
    whole = json.loads(place.identity_file.read_text()) | {"workers": 3, "api": None}
    place.identity_file.write_text(json.dumps(whole | {"api_ports": []}))
    place.remembered_file.unlink()
    assert identity.load_identity(place) == me
    identity.save_identity(place, me)
    assert json.loads(place.identity_file.read_text()).keys() == OF_0_2


@pytest.mark.parametrize("text", ["{", "[]", "7"])
def test_an_unreadable_memory_of_up_may_be_removed(place: Layout, text: str) -> None:
    me = established(place)
    place.remembered_file.write_text(text)
    with pytest.raises(StackError, match=r"remembered\.json cannot be read .* Remove it"):
        established(place)
    place.remembered_file.unlink()
    assert established(place) == me


@pytest.mark.parametrize("name", ["identity.json", "remembered.json"])
def test_what_a_newer_release_wrote_is_refused_and_stays(place: Layout, name: str) -> None:
    established(place)
    file = place.root / name
    file.write_text(json.dumps(json.loads(file.read_text()) | {"regions": 3, "queue": "x"}))
    before = file.read_bytes()
    with pytest.raises(StackError, match=r"newer release .* \(queue, regions\)") as refused:
        established(place)
    assert "remove" not in str(refused.value)
    assert file.read_bytes() == before


def test_secrets_are_for_the_owner_alone(place: Layout) -> None:
    me = established(place)
    record.save_record(place, record.new_record(place, me))
    for file in (place.identity_file, place.remembered_file, place.stack_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in place.root.glob("*.part")] == []


def test_a_record_survives_and_settings_read_it(place: Layout, tmp_path: Path) -> None:
    me = established(place)
    part = Part("kafka", 1, 2.5, me.kafka_ports[0], tmp_path / "kafka.log")
    worker = Part("worker-1", 3, 4.5, None, tmp_path / "worker-1.log")
    written = record.Record(
        **{**vars(record.new_record(place, me)), "parts": (part,), "workers": (worker,)}
    )
    record.save_record(place, written)
    assert record.load_record(place) == written
    seen = load(place.root)
    assert seen.bootstrap_servers == f"127.0.0.1:{me.kafka_ports[0]}"
    assert f"@127.0.0.1:{me.postgres_port}/ledger" in seen.database_url
    assert me.passwords["ledger_owner"] not in place.stack_file.read_text()
    assert seen.registry_url.endswith("/apis/ccompat/v7")


@pytest.mark.parametrize("secure", [False, True])
def test_libpq_and_sqlalchemy_read_the_same_of_the_databases_address(
    tmp_path: Path, *, secure: bool
) -> None:
    """A blank in the data directory: SQLAlchemy writes it as a plus, which libpq takes for one."""
    place = files.layout(tmp_path / "é a+b,c%20")
    files.create_directories(place)
    me = replace(established(place), secure=secure)
    address = database_url(place, me, "ledger_owner")
    found = conninfo_to_dict(address.replace("+psycopg", ""))
    assert found["passfile"] == str(place.passfile("ledger_owner"))
    assert {each: found[each] for each in make_url(address).query} == make_url(address).query


@pytest.mark.parametrize("text", ["", "{", "[]", '{"parts": 1}', '{"parts": {}, "workers": [1]}'])
def test_a_half_written_record_is_no_record(place: Layout, text: str) -> None:
    place.stack_file.write_text(text)
    assert record.load_record(place) is None


def test_a_log_is_quoted_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    assert files.tail(log, 2) == "  | line 98\n  | line 99"
    assert "no log" in files.tail(tmp_path / "none.log")


def test_a_data_directory_that_cannot_be_made_is_a_stack_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="cannot be used"):
        files.create_directories(files.layout(tmp_path / "file" / "ledger"))

"""The second database and registry of several data centres: addresses, rules and fencing."""

import os
import signal
import stat
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from ledger.cli.stack import short_address
from ledger.errors import StackError
from ledger.settings import Settings, load
from ledger.stack import (
    credentials,
    files,
    identity,
    postgres,
    promotion,
    record,
    registry,
    replica,
)
from ledger.stack.files import Layout
from ledger.stack.identity import REPLICATOR, Identity, Ports, Shape
from ledger.stack.parts import Part
from ledger.stack.services import Service, by_kind
from ledger.stack.stack import unsaid


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    made = files.layout(tmp_path / "é ledger")
    files.create_directories(made)
    return made


@pytest.fixture
def me(place: Layout) -> Identity:
    """Of three data centres."""
    found = identity.load_or_create(place, Ports(), Settings(), Shape(3, False))
    identity.save_identity(place, found)
    return found


def test_several_data_centres_have_two_databases_and_two_registries(
    place: Layout, me: Identity
) -> None:
    assert [each.name for each in me.databases] == ["postgres", "postgres-2"]
    assert [each.name for each in me.registries] == ["registry", "registry-2"]
    servers = (*me.databases, *me.registries, *me.brokers)
    assert len({each.port for each in servers}) == 7
    assert identity.load_or_create(place, Ports(), Settings()) == me
    kinds = by_kind(place, me, place.root)
    assert [each.name for each in kinds.all] == [
        "postgres", "postgres-2", "kafka-1", "kafka-2", "kafka-3", "registry", "registry-2",
    ]  # fmt: skip
    assert len({each.marks for each in kinds.all}) == 7


def test_which_is_the_primary_is_of_the_identity_alone(place: Layout, me: Identity) -> None:
    identity.save_identity(place, replace(me, primary="postgres-2"))
    found = identity.require_identity(place)
    assert found.primary_database == me.replica_database
    assert found.replica_database == me.primary_database
    kinds = by_kind(place, found, place.root)
    assert kinds.replica is not None
    assert (kinds.database.name, kinds.replica.name) == ("postgres-2", "postgres")
    assert {each.needs for each in (kinds.replica, *kinds.registries)} == {"postgres-2"}


def test_an_earlier_stack_gets_them_with_the_next_up(place: Layout, me: Identity) -> None:
    passwords = {name: word for name, word in me.passwords.items() if name != REPLICATOR}
    earlier = replace(me, replica_port=0, second_registry_port=0, passwords=passwords)
    identity.save_identity(place, earlier)
    assert "replica_port" not in place.identity_file.read_text()
    found = identity.load_or_create(place, Ports(), Settings())
    assert found.replica_database is not None
    assert REPLICATOR in found.passwords
    assert found.kafka_ports == me.kafka_ports


def test_one_data_centre_has_one_of_each(tmp_path: Path) -> None:
    place = files.layout(tmp_path / "one")
    files.create_directories(place)
    me = identity.load_or_create(place, Ports(), Settings())
    assert (me.replica_database, REPLICATOR in me.passwords) == (None, False)
    assert [each.name for each in by_kind(place, me, place.root).all] == [
        "postgres", "kafka", "registry",
    ]  # fmt: skip
    address = credentials.database_url(place, me, "ledger_owner")
    assert f"@127.0.0.1:{me.postgres_port}/ledger" in address
    assert "target_session_attrs" not in address
    assert "," not in registry.url(me)
    with pytest.raises(StackError, match="one database and no replica"):
        replica.replica_of(me)
    with pytest.raises(StackError, match="no replica to wait for"):
        identity.with_synchronous(me, given=True)


def test_libpq_and_sqlalchemy_connect_to_the_one_that_takes_writes(
    place: Layout, me: Identity
) -> None:
    address = credentials.database_url(place, me, "ledger_owner")
    ports = f"{me.postgres_port},{me.replica_port}"
    of_libpq = conninfo_to_dict(address.replace("+psycopg", ""))
    found = make_url(address)
    _, of_sqlalchemy = found.get_dialect()().create_connect_args(found)
    for given in (of_libpq, of_sqlalchemy):
        assert (given["host"], given["port"]) == ("127.0.0.1,127.0.0.1", ports)
        assert given["target_session_attrs"] == "read-write"
        assert given["passfile"] == str(place.passfile("ledger_owner"))
        assert (given["user"], given["dbname"]) == ("ledger_owner", "ledger")
    assert credentials.database_url(place, replace(me, primary="postgres-2"), "ledger_owner") == (
        address
    ), "a fail-over changes no address"


def test_settings_take_the_addresses(place: Layout, me: Identity) -> None:
    record.save_record(place, record.new_record(place, me))
    found = load(place.root)
    assert found.registry_url == registry.url(me)
    shown = short_address(found.database_url)
    servers = f"127.0.0.1:{me.postgres_port},127.0.0.1:{me.replica_port}"
    assert shown == f"postgresql+psycopg://ledger_owner@{servers}/ledger"
    assert short_address("http://127.0.0.1:1/x?y=z") == "http://127.0.0.1:1/x"


def test_a_password_file_is_good_for_both_servers(me: Identity) -> None:
    lines = credentials.pgpass_line(me, "ledger_finance").splitlines()
    assert [line.split(":")[1] for line in lines] == [str(me.postgres_port), str(me.replica_port)]


def test_the_registry_connects_to_the_primary(place: Layout, me: Identity) -> None:
    address = registry.database_address(place, me)
    servers = f"127.0.0.1:{me.postgres_port},127.0.0.1:{me.replica_port}"
    assert address.startswith(f"jdbc:postgresql://{servers}/registry?")
    assert "targetServerType=primary" in address


def test_the_replicas_role_replicates_and_reads_nothing(me: Identity) -> None:
    rules = [line.split() for line in postgres.access_rules(me).splitlines()[1:]]
    # The first that fits counts.
    assert [(rule[1], rule[2], rule[4]) for rule in rules] == [
        ("all", REPLICATOR, "reject"),
        ("replication", REPLICATOR, "scram-sha-256"),
        ("all", "all", "scram-sha-256"),
    ]


def test_the_replica_finds_the_primary(me: Identity) -> None:
    found = conninfo_to_dict(replica.conninfo(me, folder="../"))
    assert found["port"] == str(me.postgres_port)
    assert found["passfile"] == "../replication.pgpass"
    moved = conninfo_to_dict(replica.conninfo(replace(me, primary="postgres-2"), folder=""))
    assert moved["port"] == str(me.replica_port)


@pytest.mark.parametrize(
    ("in_recovery", "status", "why"),
    [
        (True, "streaming", None),
        (True, None, "does not follow"),
        (True, "starting", "does not follow"),
        (False, None, "takes writes and is not the primary"),
    ],
)
def test_why_a_replica_is_not_well(in_recovery: bool, status: str | None, why: str | None) -> None:
    found = replica.why_not_following(in_recovery, status)
    assert (found is None) if why is None else (why in (found or ""))


# Fencing.


def database_of(place: Layout, name: str) -> Path:
    """A directory that looks like a server's."""
    made = place.database(name)
    made.mkdir()
    (made / "PG_VERSION").write_text("18\n")
    return made


def test_a_server_that_was_replaced_takes_no_writes(place: Layout) -> None:
    made = database_of(place, "postgres")
    replica.mark_stale(made)
    for name in (replica.STALE, replica.STANDBY):
        assert stat.S_IMODE((made / name).stat().st_mode) == 0o600
    replica.mark_stale(place.database("gone"))
    assert not place.database("gone").exists()


def test_a_database_that_is_gone_is_not_made_anew_beside_its_replica(
    place: Layout, me: Identity
) -> None:
    database_of(place, "postgres-2")
    with pytest.raises(StackError, match="database promote"):
        postgres.initialise(place, me, None)
    assert not place.postgres.exists()


def answering(place: Layout, me: Identity) -> tuple[record.Record, Service]:
    """A primary that runs, which is this process, and answers."""
    own = psutil.Process()
    part = Part("postgres", own.pid, own.create_time(), None, place.log("postgres"))
    found = replace(by_kind(place, me, place.root).database, missing=lambda: None)
    return record.new_record(place, me).with_part(part), found


def test_a_primary_that_answers_keeps_its_place(place: Layout, me: Identity) -> None:
    made = database_of(place, "postgres")
    known, primary = answering(place, me)
    with pytest.raises(StackError, match=f"pid {os.getpid()}. answers and takes writes"):
        promotion.fence(place, known, primary, unsaid, switch_over=False)
    assert [path.name for path in made.iterdir()] == ["PG_VERSION"]


def test_a_primary_that_does_not_run_is_fenced(place: Layout, me: Identity) -> None:
    made = database_of(place, "postgres")
    primary = by_kind(place, me, place.root).database
    promotion.fence(place, record.new_record(place, me), primary, unsaid, switch_over=False)
    assert {replica.STALE, replica.STANDBY} <= {path.name for path in made.iterdir()}


@pytest.mark.parametrize("left", [(), (replica.STANDBY, replica.STALE), ("PG_VERSION",)])
def test_what_is_no_replica_is_not_promoted(
    place: Layout, me: Identity, left: tuple[str, ...]
) -> None:
    made = database_of(place, "postgres-2")
    for name in left:
        (made / name).touch()
    with pytest.raises(StackError, match="nothing to promote"):
        promotion.promote_replica(place.root)
    assert identity.require_identity(place) == me


def test_a_replica_is_stopped_as_a_database_is(place: Layout, me: Identity) -> None:
    found = by_kind(place, me, place.root).replica
    assert found is not None
    assert found.stop_signal == signal.SIGINT

"""The embedded stack with its real processes: up, down, and up again after everything bad.

On the stack of test_stack_surroundings.py, whose tests come before these; the user's cache.
"""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ledger.settings import load
from ledger.stack import files, parts, record
from ledger.stack.record import Record
from tests.commands import faust_ledger
from tests.integration.surroundings import Surroundings
from tests.waiting import PATIENCE

pytestmark = pytest.mark.stack
pytest_plugins = ["tests.integration.surroundings"]

SERVICES = ("postgres", "kafka", "registry")
# Nobody answers here: whoever tries to reach the network fails at once.
DEAD = "http://127.0.0.1:1"
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), DEAD)
Json = dict[str, Any]


def launch(*words: str, **extra: str) -> "subprocess.Popen[str]":
    """Begin `faust-ledger` with `words`."""
    return subprocess.Popen(
        faust_ledger(*words),
        env={**os.environ, **extra},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    """(stdout, stderr) of a command that ends with `code`."""
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == code, err
    return out, err


def run(data_dir: Path, *words: str, code: int = 0, **extra: str) -> Json:
    """The JSON that a command prints."""
    out, _ = finish(launch(*words, "--json", "--data-dir", str(data_dir), **extra), code)
    found: Json = json.loads(out)
    return found


def services_are_well(data_dir: Path) -> None:
    """`status` has nothing to say but that no worker runs, which none does here."""
    found = run(data_dir, "status", code=1)
    assert set(found["parts"]) == set(SERVICES)
    assert {part["trouble"] for part in found["parts"].values()} == {None}
    assert found["advice"] == [
        "no worker runs, so nothing is decided or posted: `faust-ledger up --workers 1` starts one"
    ]


@pytest.fixture(scope="module")
def data_dir(surroundings: Surroundings) -> Path:
    """A running stack, whose worker is not of interest here, and which `up` remembers."""
    run(surroundings.data_dir, "up", "--workers", "0")
    return surroundings.data_dir


@pytest.fixture(scope="module")
def addresses(data_dir: Path) -> Json:
    """What `up --json` says of it, for ever."""
    return run(data_dir, "up")


@pytest.fixture
def up(data_dir: Path, addresses: Json) -> Json:
    """The same; starts what an earlier test has killed."""
    if not all(map(parts.running, on_record(data_dir).parts)):
        assert run(data_dir, "up") == addresses
    return addresses


def on_record(data_dir: Path) -> Record:
    known = record.load_record(files.layout(data_dir))
    assert known is not None
    return known


def pids(data_dir: Path) -> dict[str, int]:
    return {part.name: part.pid for part in on_record(data_dir).parts}


def kill(pid: int) -> None:
    parts.kill([psutil.Process(pid)])


async def write(servers: str, topic: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def read(servers: str, topic: str) -> bytes:
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=None) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        found = await asyncio.wait_for(consumer.getone(), PATIENCE)
        assert isinstance(found.value, bytes)
        return found.value


def registry(url: str, body: Json | None = None) -> Any:
    request = urllib.request.Request(
        url,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


def database(url: str, *statements: str) -> list[tuple[Any, ...]]:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        results = [connection.execute(sqlalchemy.text(each)) for each in statements]
        rows = [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    engine.dispose()
    return rows


def test_up_prints_one_object_and_settings_agree(data_dir: Path, up: Json) -> None:
    assert set(up) == {
        "bootstrap_servers",
        "registry_url",
        "database_url",
        "data_dir",
        "workers",
        "api",
    }
    settings = load(data_dir)
    assert up["bootstrap_servers"] == settings.bootstrap_servers
    assert up["registry_url"] == settings.registry_url
    assert up["database_url"] == settings.database_url
    assert up["data_dir"] == str(data_dir.resolve())
    assert up["workers"] == up["api"] == []
    assert stat.S_IMODE((data_dir / "stack.json").stat().st_mode) == 0o600
    assert database(settings.service_database_url, "SELECT current_user") == [("ledger_service",)]


def test_passwords_are_asked_for_and_the_disk_is_waited_for(up: Json) -> None:
    wrong = sqlalchemy.make_url(up["database_url"]).set(password="wrong")
    with pytest.raises(sqlalchemy.exc.OperationalError, match="password authentication failed"):
        database(wrong.render_as_string(hide_password=False), "SELECT 1")
    assert database(up["database_url"], "SHOW fsync") == [("on",)]


def test_everything_listens_on_loopback_alone(data_dir: Path, up: Json) -> None:
    ours = set(pids(data_dir).values())
    listening = [
        each.laddr.ip
        for each in psutil.net_connections("inet")
        if each.pid in ours and each.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= len(SERVICES)
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_up_twice_changes_nothing(data_dir: Path, up: Json) -> None:
    before = pids(data_dir)
    assert run(data_dir, "up") == up
    assert pids(data_dir) == before


def test_status_and_doctor_are_content_but_for_the_worker(data_dir: Path, up: Json) -> None:
    services_are_well(data_dir)
    status = run(data_dir, "status", code=1)
    assert all(part["rss"] > 1_000_000 for part in status["parts"].values())
    assert status["addresses"]["bootstrap_servers"] == up["bootstrap_servers"]
    doctor = run(data_dir, "doctor", code=1)
    assert [each["name"] for each in doctor["findings"] if not each["well"]] == ["workers"]


def test_what_no_worker_has_decided_is_counted(data_dir: Path, up: Json, tmp_path: Path) -> None:
    """It is neither pending nor a break, and not passed over."""
    line = {
        "transaction_id": "undecided-1", "kind": "deposit", "effective_at": "2026-01-02T03:04:05Z",
        "entries": [
            {"account": account, "side": side, "amount": "10.00", "currency": "CHF"}
            for account, side in (("assets:cash", "debit"), ("liabilities:a", "credit"))
        ],
    }  # fmt: skip
    (tmp_path / "day.jsonl").write_text(json.dumps(line) + "\n")
    before = run(data_dir, "reconcile")
    assert (before["undecided"], before["breaks"]) == (0, [])
    run(data_dir, "publish", str(tmp_path / "day.jsonl"))
    assert run(data_dir, "reconcile") == {**before, "undecided": 1}


def test_data_and_addresses_survive_down_and_an_offline_up(data_dir: Path, up: Json) -> None:
    schema = {"schema": '{"type": "record", "name": "A", "fields": []}'}
    asyncio.run(write(up["bootstrap_servers"], "kept", b"a record"))
    registered = registry(f"{up['registry_url']}/subjects/kept-value/versions", schema)
    database(up["database_url"], "CREATE TABLE kept (x int)", "INSERT INTO kept VALUES (42)")

    assert run(data_dir, "down")["stopped"] == ["registry", "kafka", "postgres"]
    assert run(data_dir, "down")["stopped"] == []
    assert not run(data_dir, "status", code=1)["ok"]
    assert run(data_dir, "up", **OFFLINE) == up

    assert asyncio.run(read(up["bootstrap_servers"], "kept")) == b"a record"
    assert (
        registry(f"{up['registry_url']}/subjects/kept-value/versions/1")["id"] == (registered["id"])
    )
    assert database(up["database_url"], "SELECT x FROM kept") == [(42,)]


def test_those_that_were_killed_are_started_again(data_dir: Path, up: Json) -> None:
    """And no other; tests/faults kills each of them alone, under load."""
    before, killed = pids(data_dir), ("kafka", "registry")
    for name in killed:
        kill(before[name])
    parts = run(data_dir, "status", code=1)["parts"]
    assert {name for name, part in parts.items() if not part["running"]} == set(killed)
    assert not run(data_dir, "doctor", code=1)["ok"]
    assert run(data_dir, "up") == up
    after = pids(data_dir)
    assert {name for name in SERVICES if after[name] != before[name]} == set(killed)
    services_are_well(data_dir)


def test_leftovers_of_a_crash_and_two_ups_at_once(data_dir: Path, up: Json) -> None:
    """All killed; a lock file naming a living process of the same user; half-written files."""
    place = files.layout(data_dir)
    for pid in pids(data_dir).values():
        kill(pid)
    stale = place.postgres / "postmaster.pid"
    owner = place.postgres.stat()
    # As root the database's user differs from ours, and PostgreSQL would see through it.
    stale.write_text(f"{os.getpid()}\n{place.postgres}\n1\n1\n\n127.0.0.1\n1 1\nready\n")
    os.chown(stale, owner.st_uid, owner.st_gid)
    (place.root / ".stack.json.1.part").write_text('{"par')
    place.stack_file.write_text('{"parts": {"kafka": ')
    both = [launch("up", "--json", "--data-dir", str(data_dir)) for _ in range(2)]
    assert [json.loads(finish(each)[0]) for each in both] == [up, up]
    services_are_well(data_dir)


def test_what_runs_without_a_record_is_taken_over(data_dir: Path, up: Json) -> None:
    before = pids(data_dir)
    (data_dir / "stack.json").unlink()
    assert run(data_dir, "up") == up
    assert pids(data_dir) == before


def test_a_recycled_pid_is_not_taken_for_ours(data_dir: Path, up: Json) -> None:
    """The record names a process of somebody else: it is left alone, ours is found."""
    before = pids(data_dir)
    stored = json.loads((data_dir / "stack.json").read_text())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        stored["parts"]["kafka"]["pid"] = stranger.pid
        (data_dir / "stack.json").write_text(json.dumps(stored))
        run(data_dir, "up")
        assert pids(data_dir) == before
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGKILL)


def test_a_running_part_does_not_move(data_dir: Path, up: Json) -> None:
    child = launch("up", "--kafka-port", "1", "--data-dir", str(data_dir))
    assert "cannot move to 1" in finish(child, 3)[1]
    assert run(data_dir, "up") == up


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        child = launch("up", "--registry-port", str(port), "--data-dir", str(tmp_path))
        out, err = finish(child, 3)
    assert out == ""
    assert f"Port {port}" in err
    assert f"pid {os.getpid()}" in err
    assert "--registry-port" in err
    assert "Traceback" not in err
    assert run(tmp_path, "status", code=1)["parts"] == {}


def test_a_part_that_cannot_start_is_named_with_its_log(data_dir: Path, up: Json) -> None:
    """A database made by another major version, as after an upgrade of the package."""
    place = files.layout(data_dir)
    kill(pids(data_dir)["postgres"])
    version = place.postgres / "PG_VERSION"
    before = version.read_text()
    try:
        version.write_text("9\n")
        _, err = finish(launch("up", "--data-dir", str(data_dir)), 3)
    finally:
        version.write_text(before)
    assert "postgres stopped while it was starting" in err
    assert "incompatible" in err
    assert str(place.log("postgres")) in err
    assert run(data_dir, "up") == up

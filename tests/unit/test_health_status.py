"""What `status` and `doctor` show of a stack: one story for one cause, whole at 80 columns."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.cli.stack import down, print_findings, print_status
from ledger.health.checks import processes
from ledger.health.checks.installation import Installation
from ledger.health.findings import Finding
from ledger.health.server import Answer, HealthServer, json_answer, write_address
from ledger.health.services import service_states
from ledger.health.status import (
    PartStatus,
    StackStatus,
    partition_rows,
    read_status,
    sentences,
    status_json,
)
from ledger.settings import Settings
from ledger.stack import files, identity, record
from ledger.stack.files import Layout
from ledger.stack.identity import Identity, Ports
from ledger.stack.parts import spawn
from ledger.stack.services import Service

LONG = "/" + "/".join(["a-directory-with-a-long-name"] * 5)


def part(name: str, trouble: str | None = None, *, running: bool = True) -> PartStatus:
    return PartStatus(name, running, 17, 23_456, 512_000_000, 75.0, trouble, f"{LONG}/{name}.log")


def row(stage: str, partition: int, state: str = "going on", why: str = "") -> dict[str, object]:
    return {"stage": stage, "partition": partition, "state": state, "why": why, "lag": 1_234}


def report(*why: str, rows: list[dict[str, object]]) -> dict[str, object]:
    return {"ready": not why, "why": list(why), "applications": {"stream": {"partitions": rows}}}


WAITS = (
    "posting: waiting for 12 s to post: The general ledger's database does not answer at the "
    "moment: connection refused. Postings wait in the decision log."
)
STACK = StackStatus(
    LONG,
    (part("postgres", "it does not run", running=False), part("kafka"), part("worker-1", WAITS)),
    {"worker-1": report(WAITS, "stream: waiting", rows=[row("intake", 0), row("intake", 1)])},
    {
        "bootstrap_servers": "127.0.0.1:23456",
        "database_url": "postgresql+psycopg://ledger_owner@127.0.0.1:1/ledger?passfile=%2Fx",
        "worker-1": "http://127.0.0.1:41234",
    },
)


def test_reasons_and_paths_are_whole_below_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(STACK)
    lines = capsys.readouterr().out.splitlines()
    assert f"data directory     {LONG}" in lines
    assert "database url       postgresql+psycopg://ledger_owner@127.0.0.1:1/ledger" in lines
    assert "worker-1           http://127.0.0.1:41234" in lines
    assert "postgres: it does not run" in lines
    assert f"worker-1: {WAITS}" in lines
    assert "worker-1: stream: waiting" in lines
    assert f"  its log: {LONG}/worker-1.log" in lines
    tables = [line for line in lines if LONG not in line and WAITS not in line]
    assert max(map(len, tables)) <= 80


def test_with_kafka_away_no_stage_goes_on() -> None:
    assert {each["state"] for each in partition_rows(STACK)} == {"going on"}
    away = replace(STACK, parts=(part("kafka", "it does not run", running=False),))
    assert {each["state"] for each in partition_rows(away)} == {"waiting"}
    one_of_two = replace(STACK, parts=(part("kafka-1", "gone"), part("kafka-2")))
    assert {each["state"] for each in partition_rows(one_of_two)} == {"going on"}


def test_partitions_wait_for_what_their_application_waits_for() -> None:
    found = report(WAITS, rows=[row("posting", 0), row("posting", 1, "stopped", "no")])
    found["applications"]["stream"]["own"] = {"state": "waiting"}  # type: ignore[index]
    waiting = replace(STACK, parts=(part("kafka"),), workers={"worker-1": found})
    assert [each["state"] for each in partition_rows(waiting)] == ["waiting", "stopped"]


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    made = files.layout(tmp_path / "ledger")
    files.create_directories(made)
    return made


@pytest.fixture
def me(place: Layout) -> Identity:
    made = identity.load_or_create(place, Ports(), Settings())
    identity.save_identity(place, made)
    return made


def test_without_a_worker_nothing_is_well(place: Layout, me: Identity) -> None:
    found = replace(read_status(place.root), parts=(part("kafka"),))
    assert not found.ok
    assert list(sentences(found)) == [
        "`faust-ledger up` starts what does not run",
        "no worker runs, so nothing is decided or posted: `faust-ledger up` starts one",
    ]
    shown = json.loads(json.dumps(status_json(found)))
    assert shown["ok"] is False
    assert shown["addresses"]["bootstrap_servers"] == f"127.0.0.1:{me.kafka_ports[0]}"
    identity.save_identity(place, replace(me, workers=0))
    installation = Installation(place, place.root, replace(me, workers=0), None)
    (finding,) = processes.workers(installation)
    assert (finding.well, finding.advice) == (False, "`faust-ledger up --workers 1` starts one")


def test_without_a_stack_the_command_that_makes_one(tmp_path: Path) -> None:
    found = read_status(tmp_path)
    assert not found.ok
    assert list(sentences(found)) == ["there is no stack here: `faust-ledger up` creates one"]


def test_a_ledger_elsewhere_is_not_to_be_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "kafka.example:9092")
    [sentence] = sentences(read_status(tmp_path))
    assert "a ledger at kafka.example:9092" in sentence
    assert "up" not in sentence.split()


def test_a_worker_of_servers_of_ones_own_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "kafka.example:9092")

    async def ready() -> Answer:
        return json_answer(report(rows=[row("intake", 0)]), ok=True)

    server = HealthServer("127.0.0.1", 0, {"/ready": ready})
    server.start()
    folder = tmp_path / "workers" / "worker-1"
    folder.mkdir(parents=True)
    write_address(folder, server.url)
    found = read_status(tmp_path)
    assert (found.ok, list(sentences(found))) == (True, [])
    assert found.addresses["bootstrap_servers"] == "kafka.example:9092"
    assert found.addresses["worker-1"] == server.url
    assert [each["stage"] for each in partition_rows(found)] == ["intake"]


def test_down_says_that_nothing_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    down(tmp_path)
    assert capsys.readouterr() == ("", f"Nothing ran in {tmp_path}.\n")
    down(tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out)["stopped"] == []


def test_a_service_waits_for_the_one_that_it_needs(place: Layout, me: Identity) -> None:
    """It is not said to hang, nor is anything else asked of it."""

    def service(name: str, needs: str = "") -> Service:
        def start() -> object:
            return spawn(name, ["sleep", "60"], port=1, log=place.log(name))

        def missing() -> str | None:
            return "it does not answer: timed out" if needs else None

        return Service(name, 1, place.log(name), (str(place.root), name), (os.geteuid(),),
                       start, missing, 1, signal.SIGTERM, 1, needs)  # type: ignore[arg-type]  # fmt: skip

    database, registry = service("postgres"), service("registry", "postgres")
    known = record.new_record(place, me).with_part(registry.start())
    try:
        states = service_states([database, registry], known)
        assert [each.trouble for each in states] == [
            "it does not run",
            "it waits for postgres: it does not run",
        ]
        finding = processes._service(states[1], "registry")
        assert finding.advice == "it continues by itself: see postgres"
        both = known.with_part(database.start())
        assert [each.trouble for each in service_states([database, registry], both)] == [
            None,
            "it does not answer: timed out",
        ]
    finally:
        for each in (*known.parts, *both.parts):
            os.kill(each.pid, signal.SIGKILL)


def test_a_finding_that_is_not_well_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(
        [
            Finding("python", True, "3.11.2"),
            Finding("leftovers", False, f"{LONG}/.x.part", "`faust-ledger doctor --clean`"),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert "well  python  3.11.2" in lines
    assert f"look leftovers: {LONG}/.x.part" in lines
    assert "     to do: `faust-ledger doctor --clean`" in lines


def test_history_s_row_says_how_far_it_is_behind() -> None:
    rows = [
        row("history", shard) | {"behind_transactions": count, "behind_seconds": seconds}
        for shard, count, seconds in ((0, 900, 61.0), (1, 400, 75.0))
    ]
    stack = StackStatus(LONG, (), {"worker-1": report(rows=[*rows, row("intake", 0)])})
    found = {each["stage"]: each["behind"] for each in partition_rows(stack)}
    assert found == {"history": "1,300 transactions, 1 min 15 s", "intake": ""}

"""What a supervisor answers for its worker; real servers stand for its applications."""

import asyncio
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledger.cli.supervisor import Supervisor
from ledger.errors import LedgerError
from ledger.health.server import (
    HealthServer,
    json_answer,
    metrics_answer,
    read_address,
    write_address,
)
from ledger.health.worker import Child, WorkerHealth
from ledger.settings import Settings


def get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Application:
    """Its answers, as agents/runtime/health.py gives them."""

    def __init__(self, folder, name, why=()):
        self.name, self.why = name, list(why)
        folder.mkdir()
        server = HealthServer("127.0.0.1", 0, {
            "/live": self.live, "/ready": self.ready, "/metrics": self.metrics,
        })  # fmt: skip
        server.start()
        write_address(folder, server.url)

    async def live(self):
        return json_answer({"live": True}, ok=True)

    async def ready(self):
        found = {"ready": not self.why, "why": self.why, "partitions": []}
        return json_answer(found, ok=not self.why)

    async def metrics(self):
        return metrics_answer(
            b"# HELP runs_total Runs.\n# TYPE runs_total counter\nruns_total 3.0\n"
        )


@pytest.fixture
def children():
    ours = SimpleNamespace(pid=os.getpid())
    return [Child("stream", ours, started=time.monotonic()), Child("posting", ours)]


@pytest.fixture
def worker(tmp_path, children):
    """The address of a worker of two applications that make progress."""
    made = WorkerHealth("worker-1", tmp_path, children)
    made.applications = [
        Application(tmp_path / each.application, each.application) for each in children
    ]
    server = HealthServer("127.0.0.1", 0, made.routes())
    server.start()
    return SimpleNamespace(url=server.url, health=made, applications=made.applications)


def test_it_is_ready_when_both_applications_are(worker):
    code, body = get(f"{worker.url}/ready")
    assert (code, json.loads(body)["why"]) == (200, [])
    worker.applications[1].why = ["posting 0: stopped for 1 s: It was cut."]
    code, body = get(f"{worker.url}/ready")
    report = json.loads(body)
    assert (code, report["ready"]) == (503, False)
    assert report["why"] == ["posting: posting 0: stopped for 1 s: It was cut."]
    assert get(f"{worker.url}/live")[0] == 200


def test_an_application_that_does_not_run_is_reported(worker, children):
    children[0].process, children[0].due = None, time.monotonic() + 3
    children[0].status, children[0].ends = 74, 2
    code, body = get(f"{worker.url}/ready")
    report = json.loads(body)
    assert code == 503
    assert (
        "it does not run, and starts again in 3 s. It ended with 74: The worker's disk"
        in report["why"][0]
    )
    assert report["applications"]["stream"]["restarts"] == 2
    assert report["applications"]["stream"]["last_exit"]["status"] == 74
    assert report["applications"]["posting"]["ready"]
    # The supervisor restarts it: to restart the worker would not help.
    assert get(f"{worker.url}/live")[0] == 200
    found = samples(worker)
    assert found["faust_ledger_application_running", "stream"] == 0
    assert found["faust_ledger_application_ends_total", "stream"] == 2
    assert found["faust_ledger_application_last_exit_status", "stream"] == 74
    assert ("runs_total", "stream") not in found
    assert found["runs_total", "posting"] == 3


def samples(worker):
    code, text = get(f"{worker.url}/metrics")
    assert code == 200
    assert text.count(b"# TYPE runs_total counter") <= 1
    return {
        (sample.name, sample.labels["application"]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_metrics_of_both_have_a_label_each(worker):
    found = samples(worker)
    assert found["runs_total", "stream"] == found["runs_total", "posting"] == 3


def test_a_supervisor_that_hangs_is_not_live(worker):
    worker.health.checked -= 60
    code, body = get(f"{worker.url}/live")
    assert (code, json.loads(body)["live"]) == (503, False)


def test_an_address_of_another_process_is_not_read(tmp_path):
    write_address(tmp_path, "http://127.0.0.1:1")
    assert read_address(tmp_path, os.getpid()) == "http://127.0.0.1:1"
    assert read_address(tmp_path, 1) is None
    assert read_address(tmp_path / "nowhere", 1) is None


def test_it_answers_while_the_rest_of_the_process_is_busy(worker):
    """However busy: the agents' loop is another thread's."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            sum(range(10_000))

    busy = [threading.Thread(target=work) for _ in range(3)]
    for each in busy:
        each.start()
    try:
        since = time.monotonic()
        assert get(f"{worker.url}/ready")[0] == 200
        assert time.monotonic() - since < 5
    finally:
        stop.set()
        for each in busy:
            each.join()


def test_a_port_in_use_is_an_error_with_the_fix(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(data_dir=tmp_path, health_port=port)
        supervisor = Supervisor(settings, "worker-1")
        with pytest.raises(LedgerError, match=rf"127\.0\.0\.1:{port}.*Set health_port"):
            supervisor._serve(WorkerHealth("worker-1", tmp_path, []))


def test_a_full_disk_does_not_end_the_supervisor(tmp_path, caplog):
    (tmp_path / "workers").write_text("a file where a folder should be")
    supervisor = Supervisor(Settings(data_dir=tmp_path), "worker-1")
    assert supervisor._publish_address("http://127.0.0.1:1") == "http://127.0.0.1:1"
    assert "cannot be written" in caplog.text
    (tmp_path / "workers").unlink()
    assert supervisor._publish_address("http://127.0.0.1:1") == ""
    assert read_address(tmp_path / "workers" / "worker-1", os.getpid()) == "http://127.0.0.1:1"


def test_it_answers_before_its_applications_do(children, tmp_path):
    answer = asyncio.run(WorkerHealth("w", tmp_path, children).ready())
    assert answer.status == 503
    assert "does not answer" in json.loads(answer.body)["why"][0]


@pytest.mark.parametrize(
    ("history", "applications"),
    [("on", ["stream", "posting", "history"]), ("off", ["stream", "posting"])],
)
def test_history_is_an_application_unless_it_is_off(tmp_path, history, applications):
    supervisor = Supervisor(Settings(data_dir=tmp_path, history=history), "worker-1")
    assert [each.application for each in supervisor.children] == applications

"""The compose files of docker/, started and used as docs/containers.md has it."""

import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import compose
from tests.images.compose import Compose
from tests.images.engine import UID, Engine, done
from tests.images.test_containers import lines, note
from tests.waiting import until

FILES = ("compose.yaml", "compose.three-centres.yaml")


@pytest.fixture(scope="module", params=FILES)
def project(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compose]:
    """Everything of a file, healthy."""
    if why := compose.missing():
        pytest.skip(why)
    with compose.opened(engine, tmp_path_factory.mktemp("compose"), request.param) as made:
        try:
            made.up()
        except AssertionError:
            note(made.command("logs", "--tail", "15", code=None).out)
            raise
        yield made


def flow(project: Compose, prefix: str, count: int) -> None:
    """Publish and wait until all is reconciled; nothing lost, nothing doubled."""
    project.ledger("publish", "-", "--wait", stdin=lines(prefix, count))

    def posted() -> str:
        found = project.command(
            "run", "--rm", "--no-deps", "-T", "setup", "balances", f"assets:{prefix}", "--json",
            code=None,
        )  # fmt: skip
        return json.loads(found.out)["posted"] if found.out else ""

    until(lambda: posted() == f"{count}.00", posted, 120)


def test_transactions_flow_to_reconciled_balances(project: Compose) -> None:
    flow(project, "compose", 500)


def test_the_api_answers_on_its_published_port(project: Compose) -> None:
    token = json.loads(project.ledger("tokens", "create", "--scope", "read", "--json").out)["token"]
    secure = (project.folder / "secrets-secure" / "ca.pem").exists()
    tls = (
        ssl.create_default_context(cafile=project.folder / "secrets-secure" / "ca.pem")
        if secure else None
    )  # fmt: skip
    for port in project.ports.values():
        url = f"{'https' if secure else 'http'}://127.0.0.1:{port}/v1/balances/assets:compose"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60, context=tls) as answer:
            assert "500.00" in answer.read().decode()


def test_no_process_of_ours_is_root(project: Compose) -> None:
    for service in project.services():
        if service["Service"].startswith(("worker", "api")):
            for each in project.engine.processes(project.container(service["Service"])):
                assert set(each.uids()) == {UID}, each


def test_a_broker_or_a_worker_that_is_killed_costs_nothing(project: Compose) -> None:
    victim = "kafka-2" if "three" in project.file else "worker-2"
    done(*project.engine.podman("kill", "--signal", "KILL", project.container(victim)))
    flow(project, "killed", 500)
    project.command("start", victim)
    until(lambda: not project.unhealthy(), project.unhealthy, 120)
    found = json.loads(project.ledger("reconcile", "--full", "--json").out)
    assert found["breaks"] == []
    assert found["undecided"] == 0


def test_stopped_in_order_everything_of_ours_ends_with_0(project: Compose) -> None:
    project.command("stop", "worker-1", "worker-2", "api-1", "api-2")
    for service in project.services():
        if service["Service"] in ("worker-1", "worker-2", "api-1", "api-2"):
            assert (service["State"], service["ExitCode"]) == ("exited", 0), service


def test_secrets_are_in_no_container_s_environment_or_arguments(project: Compose) -> None:
    """What anyone may read who can inspect a container."""
    folder: Path = project.folder / ("secrets-secure" if "three" in project.file else "secrets")
    passwords = [each.read_text().strip() for each in folder.glob("*.password")]
    assert len(passwords) >= 5
    for service in project.services():
        shown = json.dumps(project.engine.inspect(project.container(service["Service"])))
        assert not [each for each in passwords if each in shown], service["Service"]

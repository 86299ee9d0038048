"""The image and the whole flow in containers: run by `make images-test`, in this order."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.images.conftest import Containers
from tests.images.engine import RUN_BASE, UID, Engine
from tests.waiting import until

MEGABYTE = 1_000_000
DOC = "/usr/share/doc/faust-ledger"
WORKER_PROCESSES = 4
"""A supervisor and three applications."""


def lines(prefix: str, count: int) -> str:
    """Transactions of one dollar each, as `publish` reads them."""
    entries = [
        {"account": f"assets:{prefix}", "side": "debit", "amount": "1.00", "currency": "CAD"},
        {"account": "equity:images", "side": "credit", "amount": "1.00", "currency": "CAD"},
    ]
    row = {"kind": "test", "effective_at": "2026-11-20T15:00:00Z", "entries": entries}
    return "".join(
        json.dumps({"transaction_id": f"{prefix}-{n}", **row}) + "\n" for n in range(count)
    )


def posted(ledger: Containers, prefix: str) -> str:
    """The balance of the account of `lines`, reconciled, read from the stream by a container."""
    found = ledger.command("finance", "balances", f"assets:{prefix}", "--json", code=None)
    return json.loads(found.out)["posted"] if found.out else "0.00"


def flow(ledger: Containers, prefix: str, count: int = 500) -> None:
    """Publish, wait until all is reconciled, and find exactly that: nothing lost, nothing doubled."""
    ledger.command("admin", "publish", "-", "--wait", stdin=lines(prefix, count))
    until(lambda: posted(ledger, prefix) == f"{count}.00", lambda: posted(ledger, prefix), 120)


def note(text: str) -> None:
    """For whoever reads the run: `make images-test` shows it."""
    sys.stdout.write(f"\n{text}\n")


# The image alone.


def test_the_image_states_what_it_is(engine: Engine) -> None:
    about = engine.inspect()
    config = about["Config"]
    assert config["User"] == f"{UID}:{UID}"
    assert config["Entrypoint"] == ["faust-ledger"]
    assert list(config["Volumes"]) == ["/var/lib/faust-ledger"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert about["HealthCheck" if "HealthCheck" in about else "Healthcheck"]["Test"][-1] == "health"
    base = engine.inspect(RUN_BASE.image)["Size"]
    note(f"{about['Size'] / MEGABYTE:.0f} MB, of which the base is {base / MEGABYTE:.0f}")


def test_its_data_directory_is_its_own_and_closed_to_others(engine: Engine) -> None:
    look = (
        "import os; print(*((oct(s.st_mode & 0o777), s.st_uid) for s in map(os.stat, "
        "('/var/lib/faust-ledger', '/var/lib'))))"
    )
    ended = engine.command("-c", look, options=("--entrypoint", "python"))
    assert ended.out.strip() == f"('0o700', {UID}) ('0o755', 0)"


def test_there_is_no_shell_in_it(engine: Engine) -> None:
    ended = engine.command("-c", "true", options=("--entrypoint", "/bin/sh"))
    assert ended.code == 127, ended


def test_it_has_an_inventory_with_every_package_and_its_licence(engine: Engine) -> None:
    python = ("--entrypoint", "python")
    read = f"import sys, pathlib; sys.stdout.write(pathlib.Path('{DOC}', sys.argv[1]).read_text())"
    bill = json.loads(engine.command("-c", read, "sbom.cdx.json", options=python).out)
    assert bill["bomFormat"] == "CycloneDX"
    there = {each["name"].lower().replace("_", "-") for each in bill["components"]}
    names = "import importlib.metadata as m; print(*{d.name for d in m.distributions()})"
    installed = engine.command("-c", names, options=python).out.lower().replace("_", "-").split()
    assert set(installed) - there - {"faust-ledger"} == set()
    licences = engine.command("-c", read, "licenses.txt", options=python).out
    assert "psycopg" in licences
    assert "Apache License" in licences


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--version",), 0), (("balances", "--nowhere"), 2), (("balances",), 3), (("worker",), 3),
     (("health",), 1)],
)  # fmt: skip
def test_a_command_ends_in_a_container_as_outside(
    engine: Engine, words: tuple[str, ...], code: int
) -> None:
    assert engine.command(*words).code == code


def test_a_wrong_setting_ends_a_worker_with_3_and_a_sentence(engine: Engine) -> None:
    mistyped = "FAUST_LEDGER_SHARDS".removesuffix("S")
    ended = engine.command("worker", options=("--env", f"{mistyped}=8"))
    assert ended.code == 3
    assert "FAUST_LEDGER_SHARDS" in ended.err


# A ledger.


def test_setup_makes_everything_on_empty_servers_and_changes_nothing_again(
    containers: Containers,
) -> None:
    first = containers.command("admin", "setup")
    assert "migrations made" in first.out
    assert containers.command("admin", "setup").out == ""


@pytest.fixture(scope="module")
def ledger(containers: Containers) -> Containers:
    """Two workers and an API process in containers, ready."""
    containers.start_worker("worker-1")
    # Where its root file system may be written to, it is to be seen that it is not.
    containers.start_worker("worker-2", writable=True)
    containers.start_api("api-1")
    for name in ("worker-1", "worker-2", "api-1"):
        containers.await_ready(name)
    return containers


def test_transactions_flow_from_a_container_to_reconciled_balances(ledger: Containers) -> None:
    flow(ledger, "flow", 2_000)
    ledger.command("finance", "reconcile")


def test_health_is_asked_by_the_image_itself(ledger: Containers) -> None:
    for name in ("worker-1", "worker-2", "api-1"):
        assert ledger.engine.execute(name, "faust-ledger", "health").code == 0
        until(lambda name=name: healthy(ledger.engine, name), f"{name} healthy", 60)


def healthy(engine: Engine, name: str) -> bool:
    """As podman has it, which runs the image's own check."""
    from tests.images.engine import run

    return run(*engine.podman("healthcheck", "run", name)).returncode == 0


def test_a_write_by_http_is_reconciled_by_workers_in_containers(ledger: Containers) -> None:
    created = ledger.command(
        "admin", "tokens", "create", "--scope", "publish", "--scope", "read", "--json"
    )
    token = json.loads(created.out)["token"]
    body = json.loads(lines("http", 1))
    answer = ledger.ask("api-1", "/v1/transactions", token, body, Prefer="wait=reconciled")
    assert answer["transaction_id"] == "http-0"
    until(lambda: posted(ledger, "http") == "1.00", "the write is reconciled", 60)


def test_no_process_is_root_or_may_become_it(ledger: Containers) -> None:
    for name in ("worker-1", "worker-2", "api-1"):
        found = ledger.engine.processes(name)
        assert len(found) >= 2, found
        for each in found:
            assert set(each.uids()) == {UID}, each
            assert set(each.gids()) == {UID}, each
            status = dict(_status(each))
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
            assert status["NoNewPrivs"] == "1"


def _status(process: psutil.Process) -> Iterable[tuple[str, str]]:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()


def test_an_application_that_is_killed_is_restarted_in_its_container(ledger: Containers) -> None:
    first, *applications = ledger.engine.processes("worker-1")
    stream = next(each for each in applications if "stream" in each.cmdline())
    os.kill(stream.pid, signal.SIGKILL)
    until(lambda: len(_applications(ledger, "worker-1", without=stream.pid)) == 3, "restarted", 60)
    flow(ledger, "application-killed")
    assert ledger.engine.processes("worker-1")[0].pid == first.pid


def _applications(ledger: Containers, name: str, *, without: int) -> list[int]:
    found = ledger.engine.processes(name)[1:]
    return [each.pid for each in found if each.pid != without and "agents" in each.cmdline()]


def test_a_container_that_is_killed_goes_on_from_its_volume(ledger: Containers) -> None:
    from tests.images.engine import done

    done(*ledger.engine.podman("kill", "--signal", "KILL", "worker-1"))
    until(lambda: not ledger.engine.inspect("worker-1")["State"]["Running"], "it is dead", 30)
    assert ledger.engine.status("worker-1") == 128 + signal.SIGKILL
    # Meanwhile the other one takes its shards.
    flow(ledger, "container-killed")
    done(*ledger.engine.podman("start", "worker-1"))
    ledger.await_ready("worker-1")
    flow(ledger, "container-back")


def test_sigterm_ends_every_container_with_0_in_time(ledger: Containers) -> None:
    flow(ledger, "before-sigterm")
    for name in ("api-1", "worker-2"):
        began = time.monotonic()
        assert ledger.engine.stop(name) == 0, ledger.engine.logs(name)[-4000:]
        took = time.monotonic() - began
        note(f"{name} ended {took:.1f} s after SIGTERM")
        assert took < 30
    # One worker is enough.
    ledger.await_ready("worker-1")
    flow(ledger, "after-sigterm")
    assert ledger.engine.stop("worker-1") == 0


def test_nothing_was_written_outside_the_volumes(ledger: Containers) -> None:
    for name in ("worker-1", "worker-2", "api-1"):
        # Mount points are the engine's, and not the program's.
        own = ("/etc", "/run", "/proc", "/sys", "/dev", "/var", "/var/lib", "/var/lib/faust-ledger")
        changed = [line.partition(" ")[2] for line in ledger.engine.written(name)]
        mine = [
            path for path in changed
            if path not in own and not path.startswith(("/run/secrets", "/etc/hosts", "/etc/mtab",
                                                        "/etc/resolv.conf", "/etc/hostname", "/run/."))
        ]  # fmt: skip
        assert mine == [], name


def test_applications_run_in_a_container_each(containers: Containers) -> None:
    """As the pods of docker/kubernetes/workers.yaml have them, with a directory each."""
    for application in ("stream", "posting", "history"):
        containers.start_worker(application, "--only", application)
    for application in ("stream", "posting", "history"):
        containers.await_ready(application)
        found = [
            word
            for each in containers.engine.processes(application)[1:]
            for word in each.cmdline()
            if word in ("stream", "posting", "history")
        ]
        assert application in found
    flow(containers, "pod")
    for application in ("stream", "posting", "history"):
        assert containers.engine.stop(application) == 0


def test_at_the_end_every_balance_is_derived_again_and_agrees(containers: Containers) -> None:
    found: Any = json.loads(containers.command("finance", "reconcile", "--full", "--json").out)
    assert found["breaks"] == []
    assert found["undecided"] == 0

"""`faust-ledger health`, the health check of containers, and `worker --only`, what they run."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ledger.cli.health import print_health
from ledger.cli.supervisor import Supervisor
from ledger.cli.worker import Application
from ledger.errors import SettingsError
from ledger.health.server import ADDRESS_FILE, Answer, HealthServer, json_answer, write_address
from ledger.settings import Settings


def served(place: Path, folder: str, *, live: bool = True, ready: bool = True) -> None:
    """A process of this data directory that answers so."""

    async def answer_live() -> Answer:
        return json_answer({"live": live, "dead": []}, ok=live)

    async def answer_ready() -> Answer:
        why = [] if ready else ["posting: the database does not answer"]
        return json_answer({"ready": ready, "why": why, "applications": {}}, ok=ready)

    server = HealthServer("127.0.0.1", 0, {"/live": answer_live, "/ready": answer_ready})
    server.start()
    (place / folder).mkdir(parents=True)
    write_address(place / folder, server.url)


def asked(place: Path, *, ready: bool = False) -> int:
    with pytest.raises(typer.Exit) as ended:
        print_health(place, ready, False)
    return ended.value.exit_code


@pytest.mark.parametrize("folder", ["workers/worker-1", "api/api-1"])
def test_a_process_that_is_well_is_well(tmp_path, folder):
    served(tmp_path, folder)
    assert asked(tmp_path) == 0
    assert asked(tmp_path, ready=True) == 0


def test_one_that_waits_is_live_and_not_ready(tmp_path, capsys):
    served(tmp_path, "workers/worker-1", ready=False)
    assert asked(tmp_path) == 0
    assert asked(tmp_path, ready=True) == 1
    assert "the database does not answer" in capsys.readouterr().out


def test_one_whose_loop_stands_still_is_not_live(tmp_path):
    served(tmp_path, "workers/worker-1", live=False)
    assert asked(tmp_path) == 1


def test_nobody_is_not_well(tmp_path, capsys):
    assert asked(tmp_path) == 1
    assert "nothing has written its address" in capsys.readouterr().out


def test_one_that_is_gone_does_not_answer_for_the_next(tmp_path):
    served(tmp_path, "workers/worker-1")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / "workers" / "worker-0"
    left.mkdir()
    (left / ADDRESS_FILE).write_text(f'{{"pid": {gone.pid}, "url": "http://127.0.0.1:1"}}')
    assert asked(tmp_path) == 0


def test_one_that_does_not_listen_is_not_well(tmp_path, capsys):
    (tmp_path / "api" / "api-1").mkdir(parents=True)
    write_address(tmp_path / "api" / "api-1", "http://127.0.0.1:1")
    assert asked(tmp_path) == 1
    assert "does not answer" in capsys.readouterr().out


def test_the_check_imports_nothing_that_is_slow(tmp_path):
    """It runs every few seconds in every container."""
    looked = (
        "import sys\nfrom ledger.cli import health\n"
        f"list(health._addresses(__import__('pathlib').Path({str(tmp_path)!r})))\n"
        "print({'aiohttp', 'aiokafka', 'sqlalchemy', 'pydantic', 'psutil'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", looked], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


# What a container runs.


def test_only_names_the_applications_of_a_worker(tmp_path):
    for each in Application:
        supervisor = Supervisor(Settings(data_dir=tmp_path), "worker-1", (each.value,))
        assert [child.application for child in supervisor.children] == [each.value]
    every = Supervisor(Settings(data_dir=tmp_path), "worker-1")
    assert [child.application for child in every.children] == [each.value for each in Application]


def test_only_history_where_it_is_off_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="would run nothing"):
        Supervisor(Settings(data_dir=tmp_path, history="off"), "worker-1", ("history",))

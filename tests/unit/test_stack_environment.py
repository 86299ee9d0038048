"""What our processes are told of the environment that a command was started in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOSTILE = {
    "JAVA_TOOL_OPTIONS": "-XX:+UseG1GC", "_JAVA_OPTIONS": "-Xmx1m", "JDK_JAVA_OPTIONS": "-Xmx1m",
    "KAFKA_OPTS": "-Xmx1m", "KAFKA_HEAP_OPTS": "-Xmx1m", "CLASSPATH": "/nowhere",
    "QUARKUS_HTTP_PORT": "1", "APICURIO_STORAGE_KIND": "gitops",
    "PGDATA": "/nowhere", "PGPORT": "1", "PGOPTIONS": "-c fsync=off", "PGCLIENTENCODING": "LATIN1",
    "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere", "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2", "PYTHONIOENCODING": "latin-1", "PYTHONHOME": "/nowhere",
    "PYTHONHASHSEED": "1", "PYTHONMALLOC": "debug", "PYTHONUSERBASE": "/nowhere",
    "MALLOC_ARENA_MAX": "64", "GLIBC_TUNABLES": "glibc.malloc.check=3", "LD_PRELOAD": "/nowhere",
    "LD_LIBRARY_PATH": "/nowhere", "BROKER_URL": "kafka://nowhere", "FAUST_LOOP": "eventlet",
    "APP_DATADIR": "/nowhere", "TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.ISO-8859-9", "LANG": "C",
    "http_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "no_proxy": "x",
}  # fmt: skip
PLAIN = {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "TZ"}
SAME = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
PYTHON = PLAIN | {"LD_LIBRARY_PATH", "XDG_DATA_HOME", "XDG_CACHE_HOME", "PYTHONSAFEPATH"}


@pytest.fixture(autouse=True)
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)


def test_others_programs_get_what_is_listed_and_nothing_else() -> None:
    from ledger.stack import environment

    found = environment.for_programs()
    assert found.keys() <= PLAIN
    assert SAME.items() <= found.items()
    assert found["PATH"] == os.environ["PATH"]


def test_our_programs_get_our_settings_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    from ledger.stack import environment

    monkeypatch.setenv("FAUST_LEDGER_WINDOW_DAYS", "3")
    found = environment.for_python()
    ours = {name for name in found if name.startswith("FAUST_LEDGER_")}
    assert "FAUST_LEDGER_WINDOW_DAYS" in ours
    assert found.keys() - ours <= PYTHON
    outward = environment.for_clients()
    assert outward["http_proxy"] == HOSTILE["http_proxy"]
    assert outward["no_proxy"] == "x,127.0.0.1,localhost"
    assert "PYTHONPATH" not in outward


def test_a_folder_for_tests_is_named_by_a_variable_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ledger.stack import environment

    monkeypatch.setenv(environment.EXTRA_IMPORTS, "/theirs")
    assert environment.for_python()["PYTHONPATH"] == "/theirs"


@pytest.mark.parametrize("stranger", ["agents", "ledger", "schemas", "migrations", "json", "faust"])
def test_the_working_directory_is_no_place_to_import_from(tmp_path: Path, stranger: str) -> None:
    from ledger.stack import environment

    (tmp_path / stranger).mkdir()
    (tmp_path / stranger / "__init__.py").write_text("raise SystemExit('a stranger runs')")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('a stranger runs')")
    asking = f"import importlib.util, json; print(json.dumps(importlib.util.find_spec({stranger!r}).origin))"
    # Their children as well: with the environment alone.
    for command in ((*environment.INTERPRETER, "-c"), (sys.executable, "-c")):
        done = subprocess.run(
            [*command, asking], cwd=tmp_path, env=environment.for_python() | {"LD_LIBRARY_PATH": ""},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not json.loads(done.stdout).startswith(str(tmp_path))

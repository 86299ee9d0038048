"""The folder that a role is handed: whole, for this role alone, and good wherever it lies."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from ledger.cli.main import app
from ledger.errors import SettingsError, StackError
from ledger.gl.postgresql import PostgresBooks
from ledger.settings import Settings, load
from ledger.stack import api, credentials, export, files, identity
from ledger.stack.files import Layout
from ledger.stack.identity import Identity, Ports, Shape

DATABASE_ROLES = {
    "admin": {"ledger_owner", "ledger_service"}, "service": {"ledger_service"},
    "finance": {"ledger_finance"}, "producer": set(), "backend": set(),
    "api": {"ledger_finance"},
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A secure stack that has never run."""
    made = files.layout(tmp_path_factory.mktemp("ledger") / "data")
    files.create_directories(made)
    me = identity.load_or_create(made, Ports(), Settings(), Shape(None, True))
    identity.save_identity(made, me)
    credentials.write_credentials(made, me)
    return made


@pytest.fixture
def me(place: Layout) -> Identity:
    return identity.require_identity(place)


def secrets_in(folder: Path, me: Identity) -> set[str]:
    """Whose passwords the files have."""
    text = "".join(path.read_text() for path in folder.iterdir())
    return {name for name, word in me.passwords.items() if word in text}


@pytest.mark.parametrize("role", export.ROLES)
def test_a_role_gets_its_own_and_nothing_of_another(
    role: str, place: Layout, me: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.export(place, me, role, tmp_path / "made")
    folder = (tmp_path / "made").rename(tmp_path / "moved ü")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert secrets_in(folder, me) == {role, *DATABASE_ROLES[role]}

    monkeypatch.chdir("/")
    monkeypatch.setenv("FAUST_LEDGER_CONFIG", str(folder / "faust-ledger.toml"))
    # A stack of the one who is handed it: nothing of it is mixed in.
    settings = load(place.root)
    assert settings.bootstrap_servers == f"127.0.0.1:{me.kafka_ports[0]}"
    assert (settings.kafka_user, settings.ca_file) == (role, folder / "ca.pem")
    assert settings.kafka_password_file == settings.registry_password_file == folder / "password"
    assert (folder / "password").read_text().strip() == me.passwords[role]
    for address in (settings.database_url, settings.service_database_url):
        if address == "none":
            continue
        found = make_url(address)
        assert found.username in DATABASE_ROLES[role]
        assert found.query["passfile"] == str(folder / "pgpass")
    lines = (folder / "pgpass").read_text().splitlines() if DATABASE_ROLES[role] else []
    assert all(line.startswith(f"127.0.0.1:{me.postgres_port}:ledger:") for line in lines)


def test_a_stack_without_users_has_no_passwords_but_the_databases(
    place: Layout, me: Identity, tmp_path: Path
) -> None:
    plain = replace(me, secure=False)
    names = [path.name for path in export.export(place, plain, "producer", tmp_path / "a")]
    assert names == ["faust-ledger.toml"]
    names = [path.name for path in export.export(place, plain, "finance", tmp_path / "b")]
    assert names == ["faust-ledger.toml", "pgpass"]


def test_api_processes_elsewhere_get_the_signing_key(
    place: Layout, me: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.write_key(place)
    export.export(place, me, "finance", tmp_path / "finance")
    assert not (tmp_path / "finance" / "api.key").exists()
    export.export(place, me, "api", tmp_path / "made")
    folder = (tmp_path / "made").rename(tmp_path / "moved")
    monkeypatch.setenv("FAUST_LEDGER_CONFIG", str(folder / "faust-ledger.toml"))
    settings = load(tmp_path / "elsewhere")
    assert settings.api_key_file == folder / "api.key"
    assert folder.joinpath("api.key").read_bytes() == place.api_key.read_bytes()
    assert stat.S_IMODE((folder / "api.key").stat().st_mode) == 0o600


def test_a_role_that_the_stack_was_made_without(
    place: Layout, me: Identity, tmp_path: Path
) -> None:
    earlier = replace(me, passwords={n: w for n, w in me.passwords.items() if n != "api"})
    with pytest.raises(StackError, match="`faust-ledger up` adds it"):
        export.export(place, earlier, "api", tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_nothing_is_written_over(place: Layout, me: Identity, tmp_path: Path) -> None:
    export.export(place, me, "backend", tmp_path / "new" / "empty")
    with pytest.raises(StackError, match=r"has other things in it \(ca.pem\)"):
        export.export(place, me, "backend", tmp_path / "new" / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="is a file"):
        export.export(place, me, "backend", tmp_path / "file")


def test_the_command(place: Layout, tmp_path: Path) -> None:
    words = ["clients", "export", "finance", "--data-dir", str(place.root), "--to"]
    found = CliRunner().invoke(app, [*words, str(tmp_path / "f"), "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout) == {
        "role": "finance", "folder": str(tmp_path / "f"),
        "files": ["faust-ledger.toml", "password", "ca.pem", "pgpass"],
    }  # fmt: skip
    again = CliRunner().invoke(app, [*words, str(tmp_path / "f")])
    assert (again.exit_code, again.stdout) == (3, "")
    wrong = CliRunner().invoke(app, [*words[:2], "finanse", *words[3:], str(tmp_path / "g")])
    assert wrong.exit_code == 2
    assert "Did you mean finance?" in wrong.stderr
    nowhere = CliRunner().invoke(
        app, ["clients", "export", "finance", "--data-dir", str(tmp_path / "n"), "--to", "x"]
    )
    assert nowhere.exit_code == 3
    assert "run `faust-ledger up" in nowhere.stderr


def test_a_role_without_a_database_is_told_so_at_once() -> None:
    books = PostgresBooks("none")
    try:
        with pytest.raises(SettingsError, match="This role has no database"):
            books.watermarks()
    finally:
        books.close()


def test_each_secret_of_the_stack_is_in_a_file_of_its_own(place: Layout, me: Identity) -> None:
    for role in identity.DATABASE_ROLES:
        text = place.passfile(role).read_text()
        assert text.endswith(f":{role}:{me.passwords[role]}\n")
        assert text.startswith("127.0.0.1:*:*:")
    finance = place.client_file("finance").read_text()
    assert "ledger_finance.pgpass" in finance
    assert 'service_database_url = "none"' in finance


def test_a_folder_with_any_name_in_the_locale_c(
    place: Layout, me: Identity, tmp_path: Path
) -> None:
    """Paths are UTF-8, output is ASCII as the locale says; it is as from any other locale."""
    root = files.layout(tmp_path / "données")
    files.create_directories(root)
    identity.save_identity(root, me)
    credentials.write_credentials(root, me)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ledger.cli.main", "clients", "export", "finance",
         "--data-dir", str(root.root), "--to", str(tmp_path / "größe")],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rb"gr\xf6\xdfe/faust-ledger.toml" in done.stdout
    expected = export.export(root, me, "finance", tmp_path / "b")
    assert [(tmp_path / "größe" / each.name).read_text() for each in expected] == [
        each.read_text() for each in expected
    ]

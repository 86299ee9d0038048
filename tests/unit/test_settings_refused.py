"""Wrong settings are refused by name, with the nearest known one, and never ignored."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import typer
from typer.testing import CliRunner

from ledger.cli.commands import PANELS
from ledger.cli.main import app
from ledger.errors import LedgerError, SettingsError
from ledger.gl.postgresql import PostgresJournal
from ledger.health.checks.database import database
from ledger.health.exits import Exit
from ledger.settings import Settings, load, require_ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Writes the file that FAUST_LEDGER_CONFIG names."""
    file = tmp_path / "config.toml"
    monkeypatch.setenv("FAUST_LEDGER_CONFIG", str(file))

    def write(text):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def refusal():
    with pytest.raises(SettingsError) as found:
        load()
    return str(found.value)


ENVIRONMENT = [
    ("FAUST_LEDGER_SHARDZ", "4", "FAUST_LEDGER_SHARDZ is no setting. Did you mean FAUST_LEDGER_SHARDS?"),
    ("faust_ledger_shardz", "4", "faust_ledger_shardz is no setting. Did you mean FAUST_LEDGER_SHARDS?"),
    ("FAUST_LEDGER_CONFIG_FILE", "x", "FAUST_LEDGER_CONFIG_FILE is no setting."),
    ("faust_ledger_config", "x", "Did you mean FAUST_LEDGER_CONFIG?"),
    ("FAUST_LEDGER_SHARDS", "abc", "FAUST_LEDGER_SHARDS ('abc') is refused: "),
    ("faust_ledger_shards", "0", "faust_ledger_shards ('0') is refused: "),
    ("FAUST_LEDGER_SHARDS", "", "FAUST_LEDGER_SHARDS is set, but empty."),
    ("FAUST_LEDGER_DATA_DIR", "", "FAUST_LEDGER_DATA_DIR is set, but empty."),
    ("FAUST_LEDGER_CONFIG", "", "FAUST_LEDGER_CONFIG is set, but empty."),
    ("FAUST_LEDGER_CONFIG", "/nowhere/x.toml", "/nowhere/x.toml, which FAUST_LEDGER_CONFIG names, "),
    ("FAUST_LEDGER_CONFIG", "/tmp", "/tmp, which FAUST_LEDGER_CONFIG names, cannot be read: Is a directory"),
    ("FAUST_LEDGER_UNKNOWN_ACCOUNTS", "refused", "('refused') is refused: it is none of 'open' or 'refuse'"),
    ("FAUST_LEDGER_PORT", "80", "FAUST_LEDGER_PORT is no setting."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "said"), ENVIRONMENT)
def test_a_wrong_variable_is_refused(name, value, said, monkeypatch):
    monkeypatch.setenv(name, value)
    assert said in refusal()


FILES = [
    (
        'unknown_acounts = "refuse"',
        "has 'unknown_acounts', which is no setting. Did you mean unknown_accounts?",
    ),
    ("Shards = 4", "has 'Shards', which is no setting. Did you mean shards?"),
    (
        "[ledger]\nshards = 4",
        "has 'ledger', which is no setting. Settings are not in tables.",
    ),
    ('shards = "abc"', "setting shards in {file} ('abc') is refused"),
    ("shards = true", "setting shards in {file} (True) is refused: it is true or false"),
    ("shards = 4.5", "setting shards in {file} (4.5) is refused"),
    ("prefix = 4", "setting prefix in {file} is refused"),
    ('prefix = ""', "setting prefix in {file} is refused: it is empty"),
    ('data_dir = ""', "setting data_dir in {file} is refused: it is empty"),
    ("shards = ", "{file}, which FAUST_LEDGER_CONFIG names, are not TOML: "),
    ("shards = 1\nshards = 2", "are not TOML: "),
    ("x = " + "[" * 10_000, "are not TOML: "),
    ("shards = 4".encode("utf-16"), "the file is not UTF-8 text (byte 0). Save it as UTF-8."),
]


@pytest.mark.parametrize(("text", "said"), FILES)
def test_a_wrong_file_is_refused(text, said, config):
    file = config(text)
    assert said.format(file=file) in refusal()


def test_a_byte_order_mark_is_ignored(config):
    config(b"\xef\xbb\xbfshards = 4\n")
    assert load().shards == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_refused(config):
    config("shards = 4").chmod(0)
    assert "Permission denied" in refusal()


def test_a_loop_of_links_cannot_be_read(config, tmp_path):
    (tmp_path / "config.toml").symlink_to(tmp_path / "config.toml")
    assert "cannot be read: Too many levels of symbolic links" in refusal()


def test_a_broken_link_in_the_working_directory_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load().shards == 8, "there need be none"
    Path("faust-ledger.toml").symlink_to("nowhere")
    assert "faust-ledger.toml cannot be read: No such file" in refusal()


@pytest.mark.parametrize(
    "name",
    ["FAUST_LEDGER_SERVICE_HOST", "FAUST_LEDGER_SERVICE_PORT_HTTP", "FAUST_LEDGER_PORT",
     "FAUST_LEDGER_PORT_80_TCP_ADDR", "FAUST_LEDGER_WORKER_SERVICE_PORT", "FAUST_LEDGER_WORKER_PORT"],
)  # fmt: skip
def test_variables_of_kubernetes_for_a_service_are_ignored(name, monkeypatch):
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    assert load().shards == 8


def test_every_variable_that_the_project_reads_is_known(monkeypatch):
    """Tests and the Makefile give theirs on to the commands that they start."""
    files = [ROOT / "Makefile", *(ROOT / "tests").rglob("*.py"), *(ROOT / "ledger").rglob("*.py"),
             *(ROOT / "agents").rglob("*.py")]  # fmt: skip
    found = {
        name
        for file in files
        if file.name != Path(__file__).name
        for name in re.findall(r"\bFAUST_LEDGER_[A-Z_]+[A-Z]\b", file.read_text())
    }
    assert {"FAUST_LEDGER_FAULT_PLAN", "FAUST_LEDGER_CACHE_DIR"} <= found
    settings = {f"FAUST_LEDGER_{name.upper()}" for name in Settings.model_fields}
    for name in found - settings - {"FAUST_LEDGER_CONFIG"}:
        monkeypatch.setenv(name, "1")
    load()


SECRET = "sEcrEt"
ADDRESSES = [
    f"postgresql://u:{SECRET}@h:5432/d", f"postgresql://u:pa/{SECRET}@h/d",
    f"postgresql://h/d?user=u&password={SECRET}", f"postgresql://h/d?sslpassword={SECRET}",
    f"postgresql://h/d?p%61ssword={SECRET}", f"postgresql://u:{SECRET}@[::1]:5432/d",
]  # fmt: skip
UNREADABLE = [
    f"postgresql://u:{SECRET}", f"host=h password={SECRET}", f"postgresql://u:p@{SECRET}/x@h",
    f"postgresql://u:{SECRET} x@h/d", f"postgresql://h:{SECRET}/d", f"u:{SECRET}@h/d",
]  # fmt: skip
LOCAL = [
    each.replace("@h:5432", "@127.0.0.1:1")
    .replace("@h", "@127.0.0.1:1")
    .replace("//h/", "//127.0.0.1:1/")
    for each in ADDRESSES
]


@pytest.mark.parametrize("url", ADDRESSES)
@pytest.mark.parametrize("name", ["DATABASE_URL", "SERVICE_DATABASE_URL", "REGISTRY_URL"])
@pytest.mark.parametrize("words", [["settings"], ["settings", "--json"]])
def test_settings_show_no_password(name, url, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"FAUST_LEDGER_{name}", url)
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0
    assert SECRET not in found.output
    if words == ["settings", "--json"]:
        assert "***" in json.loads(found.stdout)[name.lower()]["value"]


@pytest.mark.parametrize("url", UNREADABLE)
@pytest.mark.parametrize("name", ["DATABASE_URL", "SERVICE_DATABASE_URL", "REGISTRY_URL"])
def test_an_address_that_cannot_be_read_shows_its_scheme_alone(name, url, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"FAUST_LEDGER_{name}", url)
    found = CliRunner().invoke(app, ["settings"])
    scheme = "postgresql://***" if "://" in url else "***"
    assert (found.exit_code, found.stdout) == (3, "")
    assert f"FAUST_LEDGER_{name} is refused: {scheme} is no address" in found.stderr
    assert SECRET not in found.stderr


@pytest.mark.parametrize("servers", [f"u:{SECRET}@h:9092", f"h:9092,SASL_SSL://u:{SECRET}@h:9092"])
def test_a_user_in_the_address_of_kafka_is_refused(servers, monkeypatch):
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", servers)
    said = refusal()
    assert "kafka_password_file" in said
    assert SECRET not in said


@pytest.mark.parametrize("url", LOCAL)
def test_no_message_shows_a_password(url, monkeypatch, tmp_path):
    """Of whoever reads the address: sqlalchemy, psycopg, httpx; and nothing foreseen is a fault."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    for name in ("DATABASE_URL", "SERVICE_DATABASE_URL", "REGISTRY_URL"):
        monkeypatch.setenv(f"FAUST_LEDGER_{name}", url)
    for words in (["trial-balance"], ["balances"], ["shadows", "list"], ["verify"]):
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 3, found.output
        assert SECRET not in found.output
        assert found.stderr.count("\n") == 1, found.output
    assert SECRET not in repr(list(database(load())))
    for file in tmp_path.rglob("fault-*"):
        assert SECRET not in file.read_text()


def test_a_value_that_is_refused_is_not_repeated_where_it_may_be_secret(config):
    config(f'database_url = ["postgresql://u:{SECRET}@h/d"]\nregistry_url = {{a = "{SECRET}"}}')
    said = refusal()
    assert "database_url" in said
    assert "registry_url" in said
    assert SECRET not in said


def test_a_damaged_stacks_file_shows_no_password(tmp_path):
    (tmp_path / "stack.json").write_text(json.dumps({"database_url": [f"u:{SECRET}"]}))
    with pytest.raises(LedgerError, match="is damaged") as found:
        load(tmp_path)
    assert SECRET not in str(found.value)


def test_an_unreadable_address_is_a_settings_error():
    with pytest.raises(SettingsError, match=r"address postgresql://\*\*\* cannot be read"):
        PostgresJournal("postgresql://u:pw")


def test_a_data_directory_without_a_stack_is_refused(tmp_path, monkeypatch):
    """The default addresses could be those of another ledger on this machine."""
    monkeypatch.chdir(tmp_path)
    for words, more in (
        (["--data-dir", str(tmp_path)], {}),
        ([], {"FAUST_LEDGER_DATA_DIR": str(tmp_path)}),
    ):
        found = CliRunner().invoke(app, ["reconcile", *words], env=more)
        assert found.exit_code == 3
        assert f"There is no stack in {tmp_path}" in found.stderr


NEED_NO_LEDGER = {"demo", "up", "down", "status", "doctor", "settings", "bench", "health"}
"""Commands that start a ledger, or are about the machine or one process of it."""
MORE = {
    "policy set": ["--window-days", "9"], "rejects replay": ["--code", "UNKNOWN_CURRENCY"],
}  # fmt: skip
"""What a command needs beside what its usage requires."""
VALUES = {
    "account": "assets:x", "file": "{file}", "start": "2026-01-01", "role": "finance",
    "scope": "read", "name": "trial-balance", "what": "journal",
}  # fmt: skip
"""By parameter; others are a number that is a text too."""


def all_words():
    for places in PANELS.values():
        for name, place in places.items():
            if isinstance(place, str):
                yield name
            else:
                yield from (f"{name} {each}" for each in place.commands)


def arguments_of(words):
    """Enough for its usage."""
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    given = list(MORE.get(words, ()))
    for each in command.params:
        if each.required:
            value = VALUES.get(each.name, "0")
            given += [each.opts[0], value] if each.param_type_name == "option" else [value]
    return given


@pytest.mark.parametrize("words", [each for each in all_words() if each not in NEED_NO_LEDGER])
def test_every_command_says_at_once_that_there_is_no_ledger(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "file"
    file.touch()
    given = [each.format(file=file) for each in arguments_of(words)]
    found = CliRunner().invoke(
        app, [*words.split(), *given], env={"FAUST_LEDGER_DATA_DIR": str(tmp_path)}
    )
    assert found.exit_code == 3, found.output
    assert found.stderr.startswith("No ledger here: run `faust-ledger up")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({}, True),
        ({"data_dir": "/nowhere"}, True),
        ({"data_dir": "/nowhere", "database_url": "postgresql://u@h/d"}, True),
        ({"database_url": "postgresql://u@h/d"}, False),
        ({"bootstrap_servers": "h:9092"}, False),
    ],
)
def test_servers_that_nobody_named_are_not_asked(given, refused):
    if not refused:
        return require_ledger(Settings(**given))
    with pytest.raises(SettingsError, match=r"run `faust-ledger up.*, or set bootstrap_servers"):
        require_ledger(Settings(**given))
    return None


def test_paths_in_a_file_are_beside_it(config, tmp_path, monkeypatch):
    config(
        'ca_file = "ca.pem"\nkafka_password_file = "/abs/pw"\ndata_dir = "data"\n'
        'database_url = "postgresql://u@h/d?passfile=my%20pass&sslrootcert=system&sslcert=%2Fa"\n'
        'service_database_url = "none"\n'
    )
    monkeypatch.chdir("/")
    found = load()
    assert (found.ca_file, found.data_dir) == (tmp_path / "ca.pem", tmp_path / "data")
    assert found.kafka_password_file == Path("/abs/pw")
    path = quote(f"{tmp_path}/my pass", safe="")
    assert found.database_url == (
        f"postgresql://u@h/d?passfile={path}&sslrootcert=system&sslcert=%2Fa"
    )
    assert found.service_database_url == "none"


@pytest.mark.parametrize("words", [["worker"], ["reconcile"], ["up"], ["verify"], ["status"]])
@pytest.mark.parametrize("name", ["FAUST_LEDGER_SHARDZ", "FAUST_LEDGER_SHARDS"])
def test_every_command_refuses(words, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "abc")
    found = CliRunner().invoke(app, words)
    assert (found.exit_code, found.stdout) == (3, "")
    assert name in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("application", ["stream", "posting"])
def test_an_application_of_a_worker_ends_with_its_status(application, tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "agents", application, "--data-dir", str(tmp_path), "--name", "w"],
        env=os.environ | {"FAUST_LEDGER_SHARDZ": "4"}, capture_output=True, text=True, check=False,
        timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert found.returncode == Exit.SETTINGS
    assert "FAUST_LEDGER_SHARDZ is no setting" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    "servers", ["nonsense", "localhost", ":9092", "a:9092,", "a:9092,b", "a:x", "u:p@a:9092"]
)
def test_servers_without_a_host_or_a_port_are_refused(servers, monkeypatch):
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", servers)
    with pytest.raises(SettingsError, match="it is host:port, separated by commas"):
        Settings()


def test_several_servers_are_taken(monkeypatch):
    servers = "a:9092, b.example:9093,[::1]:9094"
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", servers)
    assert Settings().bootstrap_servers == servers


def test_several_addresses_of_a_registry_are_taken(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAUST_LEDGER_REGISTRY_URL", "https://a:1/v7, https://b:2/v7")
    assert Settings().registry_url == "https://a:1/v7,https://b:2/v7"
    monkeypatch.setenv("FAUST_LEDGER_REGISTRY_URL", f"https://u:p@a:1,https://u:{SECRET}@b:2")
    found = CliRunner().invoke(app, ["settings"])
    assert found.exit_code == 0
    assert SECRET not in found.output
    monkeypatch.setenv("FAUST_LEDGER_REGISTRY_URL", f"https://a:1,https://b:{SECRET}")
    assert "is no address" in refusal()
    assert SECRET not in refusal()

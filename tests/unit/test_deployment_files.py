"""The files of docker/: what they name exists, their ports agree, and nobody is root.

The linters of `make lint` judge their form; here is what only the project knows.
"""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledger.cli.supervisor import APPLICATIONS, STOP_SECONDS
from ledger.gl.oracle.address import OracleAddress
from ledger.settings import Settings
from ledger.settings_sources import OTHERS, PREFIX
from ledger.stack.cache import KAFKA_VERSION, REGISTRY_VERSION
from tests.unit import naming

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = sorted(DOCKER.glob("compose*.yaml"))
WHOLE = [each for each in COMPOSE if each.name != "compose.oracle.yaml"]
"""Those that are used alone."""
MANIFESTS = sorted(DOCKER.glob("kubernetes/*.yaml"))
SCRIPTS = sorted(DOCKER.rglob("*.sh"))
UID = 10001
Found = list[str]


@cache
def text_of(file: Path) -> str:
    return file.read_text()


@cache
def compose(file: Path) -> dict[str, Any]:
    return yaml.safe_load(text_of(file))


@cache
def manifests() -> list[dict[str, Any]]:
    return [each for file in MANIFESTS for each in yaml.safe_load_all(text_of(file))]


def of_kind(kind: str) -> Iterator[dict[str, Any]]:
    return (each for each in manifests() if each["kind"] == kind)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod's name and specification."""
    for each in manifests():
        if "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def own(file: Path) -> dict[str, Any]:
    """The services of a compose file that are the project's image."""
    services = compose(file)["services"]
    return {
        name: each for name, each in services.items() if "faust-ledger" in each.get("image", "")
    }


def unknown_settings(text: str) -> Found:
    """Variables with our prefix that are no setting."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + x for x in OTHERS}
    return sorted(set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", text)) - known)


def unknown_keys(text: str) -> Found:
    """Keys of the settings' files that make-secrets.sh writes which are no setting."""
    keys = re.findall(r"^ *echo ['\"](\w+) = ", text, re.MULTILINE)
    assert keys, "it writes some"
    return sorted(set(keys) - set(Settings.model_fields))


@pytest.mark.parametrize(
    "file", [DOCKER / "Dockerfile", *COMPOSE, *MANIFESTS, *SCRIPTS], ids=lambda file: file.name
)
def test_every_variable_is_a_setting(file: Path):
    assert unknown_settings(text_of(file)) == []


def test_a_variable_that_is_no_setting_is_found():
    planted = text_of(DOCKER / "compose.yaml").replace("_BOOTSTRAP_SERVERS", "_BOOTSTRAP_SERVER")
    assert unknown_settings(planted) == [f"{PREFIX}BOOTSTRAP_SERVER"]


def test_files_of_settings_have_settings():
    text = text_of(DOCKER / "make-secrets.sh")
    assert unknown_keys(text) == []
    assert unknown_keys(text.replace("kafka_user", "kafka_usr")) == ["kafka_usr"]


def wrong_commands(words: list[str]) -> Found:
    return naming.wrong(f"`faust-ledger {' '.join(words)}`", "here")


def commands() -> Iterator[tuple[str, list[str]]]:
    """What containers run, by whose they are."""
    for file in WHOLE:
        for name, service in own(file).items():
            yield f"{file.name} {name}", service["command"]
    for name, spec in pods():
        for each in spec["containers"]:
            yield f"{name} {each['name']}", each["args"]


def test_every_command_exists():
    for name, words in commands():
        assert wrong_commands(words) == [], name
    assert wrong_commands(["work", "--name", "worker-1"]) != []
    assert wrong_commands(["worker", "--nam", "worker-1"]) != []


# Compose.


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_a_service_of_ours_is_not_root_and_writes_to_volumes_alone(file: Path):
    for name, service in own(file).items():
        assert service["user"] == f"{UID}:{UID}", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert seconds(service["stop_grace_period"]) > STOP_SECONDS, name


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def secrets_in_environment(service: dict[str, Any]) -> Found:
    """Variables that hold a secret itself, and not the name of a file."""
    given = service.get("environment", {})
    named = [
        name for name in given if re.search("PASSWORD|SECRET|TOKEN|KEY", name)
        and not name.endswith(("_FILE", "_LOCATIONS"))
    ]  # fmt: skip
    addressed = [name for name, value in given.items() if re.search("//[^/@]*:[^/@]*@", str(value))]
    return named + addressed


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_every_secret_is_a_file(file: Path):
    content = compose(file)
    assert all(set(each) == {"file"} for each in content["secrets"].values())
    for name, service in content["services"].items():
        assert secrets_in_environment(service) == [], name
        for each in service.get("secrets", ()):
            source = each if isinstance(each, str) else each["source"]
            assert source in content["secrets"], f"{name}: {source}"


def test_a_secret_in_the_environment_is_found():
    assert secrets_in_environment({"environment": {"POSTGRES_PASSWORD": "x"}}) != []
    assert secrets_in_environment({"environment": {"URL": "postgresql://a:b@c/d"}}) != []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of docker/ with all secrets made."""
    script = tmp_path_factory.mktemp("docker") / "make-secrets.sh"
    script.write_text(text_of(DOCKER / "make-secrets.sh"))
    for options in ((), ("--secure",), ("--oracle",)):
        finished = subprocess.run(
            ["bash", script, *options], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
    return script.parent


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_every_secret_is_made(file: Path, made: Path):
    for each in compose(file)["secrets"].values():
        assert (made / each["file"]).is_file(), each
    for folder in made.iterdir():
        assert folder.is_file() or folder.stat().st_mode & 0o77 == 0


def test_settings_that_were_made_are_accepted(made: Path, monkeypatch: pytest.MonkeyPatch):
    for folder in ("secrets", "secrets-secure"):
        for name in ("setup", "worker", "api"):
            monkeypatch.setenv(f"{PREFIX}CONFIG", str(made / folder / f"{name}.toml"))
            settings = Settings()
            assert "@postgres:5432/ledger" in settings.database_url
            secure = folder == "secrets-secure"
            assert settings.kafka_security_protocol == ("SASL_SSL" if secure else "PLAINTEXT")
            for file in (settings.ca_file, settings.kafka_password_file):
                assert file is None or file.is_file()


def test_settings_for_oracle_name_its_service_and_keep_no_history(
    made: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("setup", "worker", "api"):
        monkeypatch.setenv(f"{PREFIX}CONFIG", str(made / "secrets-oracle" / f"{name}.toml"))
        settings = Settings()
        address = OracleAddress.of(settings.database_url)
        assert address.url.query == {"service_name": "FREEPDB1"}
        assert address.schema == (None if name == "setup" else "ledger_owner")
        assert settings.history == "off"


def test_secrets_are_not_made_twice(made: Path):
    before = (made / "secrets" / "api.key").read_bytes()
    again = subprocess.run(["bash", made / "make-secrets.sh"], capture_output=True, check=False)
    assert again.returncode == 1
    assert (made / "secrets" / "api.key").read_bytes() == before


def test_users_of_kafka_are_those_that_the_ledger_grants_rights(made: Path):
    from ledger.stack.identity import USERS

    text = (made / "secrets-secure" / "kafka.users").read_text()
    assert re.findall(r"name=(\w+)", text) == list(USERS)


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_services_are_reached_where_they_listen(file: Path):
    """Every host:port in a setting is a service of the file, and the port is the one it listens on."""
    services = compose(file)["services"]
    for name, service in own(file).items():
        for variable, value in service["environment"].items():
            for host, port in re.findall(r"([a-z][\w-]*):(\d+)", str(value)):
                assert host in services, f"{name} {variable}"
                listening = listens(services[host], host)
                assert int(port) in listening, f"{name} {variable}: {host} listens on {listening}"


def listens(service: dict[str, Any], name: str) -> set[int]:
    """Where a service of others listens, by its health check or its own default."""
    test = " ".join(service["healthcheck"]["test"])
    return {int(port) for port in re.findall(r"/dev/tcp/127\.0\.0\.1/(\d+)", test)} or {5432}


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_published_ports_are_the_api_s_and_on_loopback(file: Path):
    api_port = re.search(rf"{PREFIX}API_PORT=(\d+)", text_of(DOCKER / "Dockerfile"))
    assert api_port
    published = [
        port for each in compose(file)["services"].values() for port in each.get("ports", ())
    ]
    assert len(published) == len(set(published)) == 2
    for port in published:
        host, _, inside = port.rpartition(":")
        assert inside == api_port[1]
        assert host.startswith("127.0.0.1:")


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_each_worker_has_a_name_and_a_directory_of_its_own(file: Path):
    workers = {
        name: each for name, each in own(file).items() if each["command"][0] in ("worker", "api")
    }
    assert len(workers) >= 4
    for name, each in workers.items():
        assert each["hostname"] == name
        assert each["command"][-1] == name
        assert each["volumes"] == [f"{name}:/var/lib/faust-ledger"]


@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.name)
def test_programs_of_others_are_the_versions_of_the_embedded_stack(file: Path):
    images = {each["image"] for each in compose(file)["services"].values()}
    assert f"apache/kafka:{KAFKA_VERSION}" in images
    assert f"apicurio/apicurio-registry:{REGISTRY_VERSION}" in images


@pytest.mark.parametrize("name", ["single", "three-centres"])
def test_brokers_have_the_settings_of_the_embedded_stack(name: str):
    """Where a broker in a container differs, it is by its place, and by what one alone can have."""
    from ledger.stack import broker_files

    def read(text: str) -> dict[str, str]:
        rows = (line.partition("=") for line in text.splitlines() if line and line[0] != "#")
        return {key: value for key, _, value in rows}

    here = read(text_of(DOCKER / "kafka" / f"{name}.properties"))
    copies = {"single": "1", "three-centres": "3"}[name]
    there = read(broker_files.PROPERTIES.format(
        number=1, host="", port=0, controller_port=0, protocol="", controller_protocol="", voters="",
        copies=copies, insync=max(int(copies) - 1, 1), largest=broker_files.LARGEST_BATCH_BYTES,
    ))  # fmt: skip
    shared = here.keys() & there.keys()
    differ = {key for key in shared if here[key] != there[key]}
    assert differ <= {
        "controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs",
        "inter.broker.listener.name", "listener.security.protocol.map",
    }  # fmt: skip
    assert {
        "auto.create.topics.enable",
        "unclean.leader.election.enable",
        "log.retention.ms",
        "message.max.bytes",
        "min.insync.replicas",
        "default.replication.factor",
    } <= shared


# Kubernetes.


def test_a_pod_is_not_root_and_writes_to_volumes_alone():
    assert len(list(pods())) == 3
    for name, spec in pods():
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["runAsUser"] == UID, name
        assert spec["securityContext"]["fsGroup"] == UID, name
        assert not spec["automountServiceAccountToken"], name
        for each in spec["containers"]:
            security = each["securityContext"]
            assert security["readOnlyRootFilesystem"], name
            assert not security["allowPrivilegeEscalation"], name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "limits" in each["resources"], name


def test_secrets_of_pods_are_files():
    for name, spec in pods():
        assert not list(of_kind("Secret"))
        mounted = [each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each]
        assert len(mounted) == 1, name
        for each in spec["containers"]:
            assert not any("secretKeyRef" in str(variable) for variable in each["env"]), name
            assert secrets_in_environment(
                {"environment": {x["name"]: x.get("value", "") for x in each["env"]}}
            ) == [], name  # fmt: skip


def test_probes_ask_the_port_that_the_container_listens_on():
    for _, spec in pods():
        for each in spec["containers"]:
            named = {port["name"]: port["containerPort"] for port in each.get("ports", ())}
            given = {x["name"]: x["value"] for x in each["env"] if x["name"].endswith("_PORT")}
            assert {str(port) for port in named.values()} == set(given.values())
            for probe, path in (("livenessProbe", "/live"), ("readinessProbe", "/ready")):
                if named:
                    assert each[probe]["httpGet"]["port"] in named
                    assert each[probe]["httpGet"]["path"] == path


def test_a_worker_s_pod_runs_every_application_once():
    spec = dict(pods())["worker"]
    assert [each["name"] for each in spec["containers"]] == list(APPLICATIONS)
    ports = [each["ports"][0]["containerPort"] for each in spec["containers"]]
    assert len(set(ports)) == len(ports)
    for each in spec["containers"]:
        assert each["args"][-2:] == ["--only", each["name"]]
        directory = next(x for x in each["volumeMounts"] if x["name"] == "data")
        assert directory["subPath"] == each["name"], "two supervisors would write one address"
    assert spec["terminationGracePeriodSeconds"] > STOP_SECONDS


def test_services_policies_budgets_and_scales_select_what_there_is():
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in manifests()
        if "template" in each.get("spec", {})
    ]
    for each in manifests():
        spec = each.get("spec", {})
        chosen = spec.get("selector", spec.get("podSelector"))
        if chosen:
            wanted = chosen.get("matchLabels", chosen)
            assert any(wanted.items() <= found.items() for found in labels), each["metadata"]
    scaled = next(of_kind("HorizontalPodAutoscaler"))["spec"]["scaleTargetRef"]
    assert any(each["metadata"]["name"] == scaled["name"] for each in of_kind(scaled["kind"]))


def test_the_autoscaler_s_metric_is_one_that_the_api_has():
    from ledger.api.readiness import FIGURES

    names = [
        each["pods"]["metric"]["name"]
        for each in next(of_kind("HorizontalPodAutoscaler"))["spec"]["metrics"]
        if each["type"] == "Pods"
    ]
    assert names == [FIGURES["behind_seconds"]]


def test_policies_open_the_ports_that_pods_have():
    ports = {
        port["containerPort"]
        for _, spec in pods()
        for each in spec["containers"]
        for port in each.get("ports", ())
    }
    opened = {
        port["port"]
        for policy in of_kind("NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for port in rule["ports"]
    }
    assert opened == ports
    addresses = " ".join(next(of_kind("ConfigMap"))["data"].values())
    outward = {
        port["port"]
        for policy in of_kind("NetworkPolicy")
        for rule in policy["spec"].get("egress", ())
        for port in rule["ports"]
    }
    assert {int(port) for port in re.findall(r":(\d+)", addresses)} <= outward


# The image.


def test_the_image_runs_as_nobody_s_user_and_keeps_a_volume():
    text = text_of(DOCKER / "Dockerfile")
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == [f"{UID}:{UID}"]
    assert "VOLUME /var/lib/faust-ledger" in text
    last = text.rpartition("\nFROM ")[2]
    assert "\nRUN " not in last, "the base needs no shell"
    assert 'ENTRYPOINT ["faust-ledger"]' in last


def test_the_image_has_the_version_of_the_project():
    from importlib.metadata import version

    text = text_of(DOCKER / "Dockerfile")
    assert f"ARG VERSION={version('faust-ledger')}" in text
    for _, spec in pods():
        for each in spec["containers"]:
            assert each["image"] == f"faust-ledger:{version('faust-ledger')}"


def test_what_the_wheel_is_made_of_is_sent_to_the_build():
    sent = {line[1:] for line in text_of(DOCKER / "Dockerfile.dockerignore").splitlines()
            if line.startswith("!")}  # fmt: skip
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", text_of(DOCKER / "Dockerfile"), re.MULTILINE)
    assert {word for each in copied for word in each.split()} == sent

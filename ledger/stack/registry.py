"""The schema registry (Apicurio, speaking the Confluent API), stored in PostgreSQL."""

import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

from ledger.stack import java
from ledger.stack.files import Layout
from ledger.stack.identity import Identity
from ledger.stack.parts import Part, spawn
from ledger.stack.ports import HOST

NAME = "registry"
DATABASE = "registry"
READY_SECONDS = 120
STOP_SECONDS = 30
OPTIONS = (
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
)


def url(port: int) -> str:
    """The base of the Confluent API."""
    return f"http://{HOST}:{port}/apis/ccompat/v7"


def environment(identity: Identity) -> dict[str, str]:
    """What the registry is told; the database's password is not on its command line."""
    return {
        **java.environment(),
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(identity.registry_port),
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "postgresql",
        "APICURIO_DATASOURCE_URL": f"jdbc:postgresql://{HOST}:{identity.postgres_port}/{DATABASE}",
        "APICURIO_DATASOURCE_USERNAME": "registry",
        "APICURIO_DATASOURCE_PASSWORD": identity.passwords["registry"],
        # Its habit is twenty connections at once.
        "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "1",
        "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "1",
        "APICURIO_DATASOURCE_JDBC_MAX_SIZE": "10",
        # Its habit is port 9000 on every interface; nobody here uses it, so any port will do.
        "QUARKUS_MANAGEMENT_HOST": HOST,
        "QUARKUS_MANAGEMENT_PORT": "0",
        "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
        "QUARKUS_BANNER_ENABLED": "false",
        "QUARKUS_LOG_LEVEL": "WARN",
        "QUARKUS_LOG_CATEGORY__IO_APICURIO__LEVEL": "WARN",
        "QUARKUS_LOG_CONSOLE_COLOR": "false",
    }


def start(place: Layout, identity: Identity, home: Path) -> Part:
    """Start the registry from its unpacked `home` without waiting for it."""
    jar = str(home / "quarkus-run.jar")
    return spawn(
        NAME,
        java.command(place, NAME, OPTIONS, ("-jar", jar)),
        port=identity.registry_port,
        log=place.log(NAME),
        cwd=place.log(NAME).parent,
        env=environment(identity),
    )


def missing(port: int) -> str | None:
    """None when the registry lists its subjects, which takes it to its database and back."""
    # A proxy that the environment names is for the world outside, not for 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url(port)}/subjects", timeout=5) as response:
            return None if response.status == HTTPStatus.OK else f"it answers {response.status}"
    except urllib.error.HTTPError as error:
        return f"it answers {error.code} {error.reason}"
    except OSError as error:
        return f"it does not answer: {getattr(error, 'reason', error)}"

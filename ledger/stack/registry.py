"""The schema registry (Apicurio, speaking the Confluent API), stored in PostgreSQL."""

from pathlib import Path
from urllib.parse import urlencode

from ledger.settings import Settings
from ledger.stack import files, java, postgres
from ledger.stack.aot_cache import AotCache
from ledger.stack.broker_files import escaped
from ledger.stack.environment import for_programs
from ledger.stack.files import Layout
from ledger.stack.identity import REGISTRY, USERS, Identity, Server
from ledger.stack.parts import Part, spawn
from ledger.stack.ports import HOST, is_open

NAME = REGISTRY
DATABASE = "registry"
READY_SECONDS = 120
STOP_SECONDS = 60
OPTIONS = (
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
)


def url(identity: Identity) -> str:
    """The base of the Confluent API, of each registry, separated by commas."""
    return ",".join(url_of(identity, server) for server in identity.registries)


def url_of(identity: Identity, server: Server) -> str:
    """The base of one registry's Confluent API."""
    scheme = "https" if identity.secure else "http"
    return f"{scheme}://{HOST}:{server.port}/apis/ccompat/v7"


def database_address(place: Layout, identity: Identity) -> str:
    """The registry's database for Java, which connects to the primary of several servers."""
    query = postgres.tls(identity, place.ca_file)
    if identity.replica_port:
        # Its habit is to believe for ten seconds that a server is what it was.
        query |= {"targetServerType": "primary", "hostRecheckSeconds": "1"}
    servers = ",".join(f"{HOST}:{each.port}" for each in identity.databases)
    return f"jdbc:postgresql://{servers}/{DATABASE}?{urlencode(query)}"


def environment(place: Layout, identity: Identity, server: Server) -> dict[str, str]:
    """What a registry is told; the database's password is not on its command line."""
    return {
        **for_programs(),
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(server.port),
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "postgresql",
        "APICURIO_DATASOURCE_URL": database_address(place, identity),
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


SUBJECTS = "/apis/ccompat/v7/subjects/*"
# Reading is for every user, writing for whoever looks after the stack. Looking a schema up by its
# text is a POST, one level above registering it. Of paths the longest counts, of those alike the
# one that names the method (https://quarkus.io/guides/security-authorize-web-endpoints-reference).
SECURE = """\
# Written by `faust-ledger up`; changes are lost at the next start.
quarkus.http.insecure-requests=disabled
quarkus.http.ssl-port={port}
quarkus.http.ssl.certificate.files={certificate}
quarkus.http.ssl.certificate.key-files={certificate}
# It warns that this was fixed when it was built, and takes it all the same: without it, 401.
quarkus.http.auth.basic=true
quarkus.security.users.embedded.plain-text=true
quarkus.http.auth.policy.writing.roles-allowed=writing
quarkus.http.auth.permission.write.paths={paths}
quarkus.http.auth.permission.write.policy=writing
quarkus.http.auth.permission.read.paths={paths}
quarkus.http.auth.permission.read.methods=GET,HEAD,OPTIONS
quarkus.http.auth.permission.read.policy=authenticated
quarkus.http.auth.permission.look-up.paths={subjects}
quarkus.http.auth.permission.look-up.methods=POST
quarkus.http.auth.permission.look-up.policy=authenticated
"""


def secure(place: Layout, identity: Identity, server: Server) -> str:
    """The properties of a registry with TLS and users."""
    text = SECURE.format(
        port=server.port,
        certificate=escaped(place.certificate(server.name)),
        paths=f"/*,{SUBJECTS},{SUBJECTS}/versions",
        subjects=SUBJECTS,
    )
    embedded = "quarkus.security.users.embedded"
    for user in USERS:
        text += f"{embedded}.users.{user}={identity.passwords[user]}\n"
        text += f"{embedded}.roles.{user}={'writing' if user == 'admin' else 'reading'}\n"
    return text


def start(place: Layout, identity: Identity, server: Server, home: Path, aot: AotCache) -> Part:
    """Start a registry from its unpacked `home` without waiting for it."""
    jar = str(home / "quarkus-run.jar")
    told = environment(place, identity, server)
    if identity.secure:
        properties = place.secrets / f"{server.name}.properties"
        files.write_private(properties, secure(place, identity, server))
        told["QUARKUS_CONFIG_LOCATIONS"] = str(properties)
    # One of several is enough to write the cache.
    cached = aot.use_or_create() if server.name == NAME else aot.use()
    return spawn(
        server.name,
        java.command(place, server.name, (*cached, *OPTIONS), ("-jar", jar)),
        port=server.port,
        log=place.log(server.name),
        cwd=place.log(server.name).parent,
        env=told,
    )


def missing(settings: Settings, port: int) -> str | None:
    """None when the registry lists its subjects, which takes it to its database and back."""
    if not is_open(port):
        return f"nothing listens on port {port}"
    # Imported here: `down` and `--help` need none of it.
    import httpx

    from ledger.streaming import connection

    given = {**connection.registry(settings), "timeout": 5}
    # A proxy that the environment names is for the world outside, not for 127.0.0.1.
    with httpx.Client(**given, trust_env=False) as client:
        try:
            answer = client.get("subjects")
        except httpx.HTTPError as error:
            return f"it does not answer: {error}"
    return None if answer.is_success else f"it answers {answer.status_code} {answer.reason_phrase}"

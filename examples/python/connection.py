"""Where Kafka and the registry are, and who connects: from the environment, plain or secure.

FAUST_LEDGER_BOOTSTRAP_SERVERS and FAUST_LEDGER_REGISTRY_URL; on a secure ledger also
FAUST_LEDGER_CA_FILE, FAUST_LEDGER_KAFKA_USER and FAUST_LEDGER_KAFKA_PASSWORD_FILE.
"""

import os
from pathlib import Path

from confluent_kafka.schema_registry import SchemaRegistryClient

USER = os.environ.get("FAUST_LEDGER_KAFKA_USER")


def kafka() -> dict:
    servers = {"bootstrap.servers": os.environ["FAUST_LEDGER_BOOTSTRAP_SERVERS"]}
    if USER is None:
        return servers
    return servers | {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": os.environ["FAUST_LEDGER_CA_FILE"],
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": USER,
        "sasl.password": password(),
    }


def registry() -> SchemaRegistryClient:
    """The registry has the same users and passwords as Kafka."""
    address = {"url": os.environ["FAUST_LEDGER_REGISTRY_URL"]}
    if USER is None:
        return SchemaRegistryClient(address)
    return SchemaRegistryClient(
        address
        | {
            "ssl.ca.location": os.environ["FAUST_LEDGER_CA_FILE"],
            "basic.auth.user.info": f"{USER}:{password()}",
        }
    )


def password() -> str:
    return Path(os.environ["FAUST_LEDGER_KAFKA_PASSWORD_FILE"]).read_text().strip()

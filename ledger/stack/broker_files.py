"""The files that a broker reads when it starts: its properties and its logging configuration."""

import json
from pathlib import Path

from ledger.stack.files import Layout, write_private
from ledger.stack.identity import Broker, Identity
from ledger.stack.ports import HOST

# A topic may set a limit of up to 32 MiB; the broker's must not be below it.
LARGEST_BATCH_BYTES = 34 * 1024 * 1024

PROPERTIES = """\
# Written by `faust-ledger up`; changes are lost at the next start.
process.roles=broker,controller
node.id={number}
# A data centre: the replicas of a partition are spread over as many of them as there are.
broker.rack=dc{number}
controller.quorum.voters={voters}
listeners={protocol}://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners={protocol}://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name={protocol}
listener.security.protocol.map={protocol}:{protocol},CONTROLLER:{controller_protocol}
# Relative, so that no character in the data directory's path needs escaping here.
log.dirs=data
# A topic that a typing mistake created is worse than an error.
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={insync}
# A replica that lacks what was acknowledged never leads.
unclean.leader.election.enable=false
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={insync}
transaction.state.log.num.partitions=8
transaction.max.timeout.ms=60000
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={insync}
share.coordinator.state.topic.num.partitions=8
group.initial.rebalance.delay.ms=0
message.max.bytes={largest}
replica.fetch.max.bytes={largest}
socket.request.max.bytes=104857600
# The log is the record of all transactions: nothing is deleted unless a topic says so.
log.retention.ms=-1
# The default of 128 MiB is a quarter of this heap.
log.cleaner.dedupe.buffer.size=33554432
# After kill -9 the broker can register again only when its last session has expired.
# The defaults, 9 s and 2 s, allow for a network between broker and controller.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
num.network.threads=3
num.io.threads=4
controlled.shutdown.enable=true
"""

# Controllers authenticate each other by certificates: SCRAM's credentials would be in the log on
# which the controllers must first agree, and a quorum that stopped as a whole could never form
# again (https://github.com/kafka-dev/kafka/issues/106, KAFKA-15513).
SECURE_PROPERTIES = """\
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required \
username="broker" password="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={certificate}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.controller.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# A user that no rule names may do nothing.
allow.everyone.if.no.acl.found=false
super.users=User:broker;User:admin;{controllers}
"""

LOGGING = """\
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
"""


def write_broker_files(directory: Path, place: Layout, me: Identity, broker: Broker) -> None:
    """Write server.properties and the logging configuration to `directory`."""
    text = properties(me, broker) + (secure_properties(place, me, broker) if me.secure else "")
    write_private(directory / "server.properties", text)
    write_private(directory / "log4j2.properties", LOGGING)


def properties(me: Identity, broker: Broker) -> str:
    """The properties of every broker."""
    voters = [f"{each.number}@{HOST}:{each.controller_port}" for each in me.brokers]
    return PROPERTIES.format(
        number=broker.number,
        host=HOST,
        port=broker.port,
        controller_port=broker.controller_port,
        protocol="SASL_SSL" if me.secure else "PLAINTEXT",
        controller_protocol="SSL" if me.secure else "PLAINTEXT",
        voters=",".join(voters),
        copies=me.copies,
        insync=max(me.copies - 1, 1),
        largest=LARGEST_BATCH_BYTES,
    )


def secure_properties(place: Layout, me: Identity, broker: Broker) -> str:
    """The further properties of a broker of a secure stack."""
    return SECURE_PROPERTIES.format(
        password=me.passwords["broker"],
        certificate=escaped(place.certificate(broker.name)),
        authority=escaped(place.ca_file),
        controllers=";".join(f"User:CN={each.name}" for each in me.brokers),
    )


def escaped(path: Path) -> str:
    """A path as Java reads it from a properties file: ASCII, escaped as in JSON."""
    return json.dumps(str(path))[1:-1]

"""What a broker reads at its start: its properties and how it logs."""

import json
from pathlib import Path

from ledger.stack.files import Layout, write_private
from ledger.stack.identity import Broker, Identity
from ledger.stack.ports import HOST

# A topic may set its own limit up to 32 MiB; the broker's must not be the smaller one.
LARGEST_BATCH_BYTES = 34 * 1024 * 1024

PROPERTIES = """\
# Written by `faust-ledger up`; changes are lost at the next start.
process.roles=broker,controller
node.id={number}
# A data centre: replicas of a partition are put into as many of them as there are.
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
# The log is the record of what was asked: nothing is deleted unless a topic says so.
log.retention.ms=-1
# The default of 128 MiB is a quarter of this heap.
log.cleaner.dedupe.buffer.size=33554432
# After kill -9 the controller does not let the broker in again until its last session is over.
# The defaults, 9 s and 2 s, allow for a network between the two.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
num.network.threads=3
num.io.threads=4
controlled.shutdown.enable=true
"""

# Between controllers certificates speak for both sides: SCRAM's credentials would be in the very
# log that the controllers must first agree on, and a quorum that stopped as a whole never gathers
# again (https://github.com/kafka-dev/kafka/issues/106, KAFKA-15513).
SECURE = """\
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
# Who is not named in a rule may do nothing.
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


def write(directory: Path, place: Layout, me: Identity, broker: Broker) -> None:
    """server.properties and the logging configuration, into `directory`."""
    text = properties(me, broker) + (secure(place, me, broker) if me.secure else "")
    write_private(directory / "server.properties", text)
    write_private(directory / "log4j2.properties", LOGGING)


def properties(me: Identity, broker: Broker) -> str:
    """What every broker is told."""
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


def secure(place: Layout, me: Identity, broker: Broker) -> str:
    """What a broker of a secure stack is told as well."""
    return SECURE.format(
        password=me.passwords["broker"],
        certificate=escaped(place.certificate(broker.name)),
        authority=escaped(place.ca_file),
        controllers=";".join(f"User:CN={each.name}" for each in me.brokers),
    )


def escaped(path: Path) -> str:
    """A path as a Java properties file wants it: ASCII, escaped as in JSON."""
    return json.dumps(str(path))[1:-1]

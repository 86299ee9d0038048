"""Print the balances of some accounts, or of all, and then every change: ACCOUNT...

    pip install -r requirements.txt
    python balances.py liabilities:deposits:2378

Prints account, currency, posted, pending and status: `reconciled` once the general ledger agrees.
"""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from connection import kafka, registry

TOPIC, ACCOUNTS = "ledger.balances", set(sys.argv[1:])
deserialize = AvroDeserializer(registry())
consumer = Consumer(
    kafka()
    | {
        "group.id": "backend-balances",  # the role backend may use groups of this prefix
        "enable.auto.commit": False,  # every process reads everything; nothing is shared out
        "enable.partition.eof": True,
    }
)
partitions = list(consumer.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions)
if not partitions:
    sys.exit(f"There is no topic {TOPIC} here, or {kafka().get('sasl.username')} may not read it.")
consumer.assign([TopicPartition(TOPIC, each, OFFSET_BEGINNING) for each in partitions])
balances: dict[bytes, dict] = {}
behind = set(partitions)  # not read to the end yet


def show(balance: dict) -> None:
    if not ACCOUNTS or balance["account"] in ACCOUNTS:
        print(
            *(balance[f] for f in ("account", "currency", "posted", "pending", "status")),
            flush=True,
        )


def take(message) -> None:
    key = message.key()
    if message.value() is None:
        balances.pop(key, None)  # withdrawn, whatever its version: take what follows
        return
    balance = deserialize(message.value(), SerializationContext(TOPIC, MessageField.VALUE))
    if key in balances and balance["version"] < balances[key]["version"]:
        return  # an older one, which came late
    balances[key] = balance
    if not behind:
        show(balance)


try:
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is None:
            take(message)
        elif message.error().code() != KafkaError._PARTITION_EOF:
            raise KafkaException(message.error())
        elif message.partition() in behind:
            behind.discard(message.partition())
            if not behind:
                for balance in balances.values():
                    show(balance)
except KeyboardInterrupt:
    pass
finally:
    consumer.close()

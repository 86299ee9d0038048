"""Publish deposits, one a line of standard input: ID TIME ACCOUNT AMOUNT CURRENCY [ORDERING_KEY].

    pip install -r requirements.txt
    echo "dep-1 $(date -u +%FT%TZ) liabilities:deposits:2378 12.34 CAD" | python publisher.py

Prints the id, the shard and the offset of each. Run again with the same lines, it changes nothing.
"""

import sys
from datetime import datetime

from confluent_kafka import Producer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from connection import kafka, registry

TOPIC, ATTEMPTS = "ledger.transactions", 5
as_registered = {"auto.register.schemas": False, "use.latest.version": True}
serialize = AvroSerializer(registry(), conf=as_registered)
safe = {"acks": "all", "enable.idempotence": True}
# Java's partitioner: librdkafka's own sends most keys where they are refused, WRONG_PARTITION.
producer = Producer(kafka() | safe | {"partitioner": "murmur2_random", "compression.type": "lz4"})


def deposit(line: str) -> dict:
    """A transaction of two entries. Its id and its times are those of the event, never new ones."""
    name, time, account, amount, currency, *ordering_key = line.split()
    at = datetime.fromisoformat(time)
    if at.tzinfo is None:
        sys.exit(f"{name}: {time} has no offset, so it could be any of several hours.")
    legs = (("assets:cash:settlement", "debit"), (account, "credit"))
    return {
        "transaction_id": name,
        "kind": "deposit",
        "effective_at": at,
        "created_at": at,
        "ordering_key": ordering_key[0] if ordering_key else None,
        "entries": [
            # The amount is text from end to end: no float.
            {"account": path, "side": side, "amount": amount, "currency": currency}
            for path, side in legs
        ],
    }


def publish(transactions: list[dict]) -> list[dict]:
    """Returns those of which it is not known whether they arrived."""
    unknown = []
    for each in transactions:

        def report(error, message, each=each):
            if error is None:
                print(each["transaction_id"], message.partition(), message.offset(), flush=True)
            else:
                print(each["transaction_id"], error, file=sys.stderr)
                unknown.append(each)

        key = each["ordering_key"] or each["transaction_id"]
        value = serialize(each, SerializationContext(TOPIC, MessageField.VALUE))
        record = {"key": key.encode(), "value": value, "on_delivery": report}
        while True:
            try:
                producer.produce(TOPIC, **record)
                break
            except BufferError:
                producer.poll(1.0)  # the queue is full: wait for reports
        producer.poll(0)
    producer.flush()  # until every record has its report
    return unknown


waiting = [deposit(line) for line in sys.stdin]
for _ in range(ATTEMPTS):
    waiting = publish(waiting)  # again under the same ids: what had arrived counts once
if waiting:
    sys.exit("Not known whether all arrived: run it again with the same lines.")

"""The reference topic without Kafka: what is added is known to intake and to the audit alike."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import schemas
from ledger.audit.reference import ReferenceRecord
from ledger.domain import avro
from ledger.domain.policy import Policy
from ledger.domain.reference import ISO_SCALES, Asset, Item, PolicyChange, Reference
from ledger.streaming.reference import key_and_row, take

NOTHING_SAID: dict[str, Any] = {
    each["name"]: each["default"]
    for each in schemas.load("Reference")["fields"]
    if "default" in each
}


class Record(NamedTuple):
    """As far as its readers look at it."""

    offset: int
    key: bytes | None
    value: bytes | None


class ReferenceTopic:
    """`reference` is what intake knows of it, `noted` what the audit reads."""

    def __init__(self, *items: Item) -> None:
        self.reference = Reference(scales={})
        self.noted: list[ReferenceRecord] = []
        self.records: list[tuple[Record, dict[str, Any] | None]] = []
        self.add(*items)

    def add(self, *items: Item) -> None:
        """Records at the next offsets."""
        for item in items:
            key, row = key_and_row(item)
            self.add_row(key, NOTHING_SAID | row)

    def add_row(self, key: bytes, row: dict[str, Any] | None) -> None:
        """One that may say what no command would write; None for garbage."""
        value = b"garbage" if row is None else avro.encode("Reference", row, bytes(5))
        record = Record(self.reference.offset, key, value)
        self.records.append((record, row))
        take(self.reference, record, row)  # type: ignore[arg-type]
        self.noted.append(ReferenceRecord(*record, row))

    def as_of(self, offset: int) -> Reference:
        """What intake knew when it had read so far."""
        made = Reference(scales={})
        for record, row in self.records[:offset]:
            take(made, record, row)  # type: ignore[arg-type]
        return made


def founded(*items: Item, shards: int = 1, policy: Policy | None = None) -> ReferenceTopic:
    """As `up` leaves it, and then `items`."""
    return ReferenceTopic(
        PolicyChange(policy or Policy(), shards, reason="the first one"),
        *currencies(),
        *items,
    )


def currencies() -> Iterable[Asset]:
    return (Asset(code, scale) for code, scale in sorted(ISO_SCALES.items()))

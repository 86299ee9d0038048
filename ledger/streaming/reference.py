"""Reference data as records of its topic, and the policy that the settings make."""

from collections.abc import Mapping
from typing import Any

from aiokafka import ConsumerRecord

from ledger.domain.policy import DAY, MINUTE, Policy
from ledger.domain.reference import (
    Account,
    Asset,
    ClockLimit,
    Item,
    Leave,
    PolicyChange,
    Reference,
    ScaleChanged,
    StalePolicy,
)
from ledger.settings import Settings
from ledger.streaming.registry import Codec

POLICY_SETTINGS = (
    "window_days", "early_minutes", "unknown_accounts", "max_transaction_bytes", "shards",
)  # fmt: skip
"""Settings that are state: they make the first policy of a ledger, and from then on it counts."""


def policy_of(settings: Settings) -> Policy:
    """The policy that a new ledger begins with."""
    return policy_from({name: getattr(settings, name) for name in POLICY_SETTINGS})


def policy_or_first(reference: Reference, settings: Settings) -> Policy:
    """The ledger's policy; before it has one, the policy that it would begin with."""
    return reference.policy if reference.policies else policy_of(settings)


def policy_from(row: Mapping[str, Any]) -> Policy:
    """The policy in a Reference record, or in the settings of the same names."""
    return Policy(
        window=row["window_days"] * DAY,
        early=row["early_minutes"] * MINUTE,
        open_unknown_accounts=row["unknown_accounts"] == "open",
        max_bytes=row["max_transaction_bytes"],
    )


def policy_row(policy: Policy, shards: int) -> dict[str, Any]:
    """A policy by the settings' names; the reverse of `policy_from`."""
    return {
        "window_days": policy.window // DAY,
        "early_minutes": policy.early // MINUTE,
        "unknown_accounts": "open" if policy.open_unknown_accounts else "refuse",
        "max_transaction_bytes": policy.max_bytes,
        "shards": shards,
    }


def contradictions(settings: Settings, reference: Reference) -> list[str]:
    """What somebody has set otherwise than the ledger's policy has it, a sentence each."""
    counts = policy_row(reference.policy, reference.shards or settings.shards)
    return [
        f"{name} is set to {getattr(settings, name)}, and this ledger has {counts[name]}"
        for name in POLICY_SETTINGS
        if name in settings.model_fields_set and getattr(settings, name) != counts[name]
    ]


def row_of(codec: Codec, record: ConsumerRecord) -> dict[str, Any] | None:
    """A record of the topic, decoded; None where no version of ours wrote it."""
    try:
        return codec.decode("Reference", record.value or b"")
    except ValueError:
        return None


def take(reference: Reference, record: ConsumerRecord, row: Mapping[str, Any] | None) -> str | None:
    """Fold a record of the topic, decoded (None: it cannot be), into `reference`.

    Returns why it counts for nothing, or None. Every reader ignores the same ones.
    """
    reference.offset = record.offset
    try:
        if row is None:
            return "it is no Reference record"
        reference.add([item_of(row)])
    except (ScaleChanged, StalePolicy, ValueError) as error:
        return str(error)
    else:
        return None
    finally:
        reference.note(record.offset, record.key, record.value)


def item_of(row: Mapping[str, Any]) -> Item:
    """The item in a Reference record. Raises ValueError for what is incomplete or unknown."""
    kind = row["type"]
    if kind == "asset" and row["scale"] is not None:
        return Asset(row["code"], row["scale"], row["name"])
    if kind == "account":
        return Account(
            row["code"], row["name"], row["currency"], row["opened_at"], row["closed_at"]
        )
    if kind == "policy" and None not in (row[name] for name in ("follows", *POLICY_SETTINGS)):
        return PolicyChange(policy_from(row), row["shards"], row["follows"], row["code"])
    if kind == "clock" and None not in (row["shard"], row["until_offset"], row["at_most"]):
        return ClockLimit(row["shard"], row["until_offset"], row["at_most"], row["code"])
    if kind == "void" and None not in (
        row[name] for name in ("shard", "offset", "decisions_offset")
    ):
        return Leave(
            row["shard"], row["offset"], row["decisions_offset"], row["code"], until=row["at_most"]
        )
    raise ValueError(f"not a whole asset, account, policy, clock or void: {kind[:32]!r}")


def key_and_row(item: Item) -> tuple[bytes, dict[str, Any]]:
    """The record's key and its row, the reverse of `item_of`."""
    match item:
        case Asset():
            row: dict[str, Any] = {
                "type": "asset", "code": item.code, "name": item.name, "scale": item.scale,
            }  # fmt: skip
        case Account():
            row = {
                "type": "account", "code": item.code, "name": item.name, "currency": item.currency,
                "opened_at": item.opened_at, "closed_at": item.closed_at,
            }  # fmt: skip
        case PolicyChange():
            row = {"type": "policy", "code": item.reason, "follows": item.follows}
            row |= policy_row(item.policy, item.shards)
            return b"policy", row
        case ClockLimit():
            row = {
                "type": "clock", "code": item.reason, "shard": item.shard,
                "until_offset": item.until, "at_most": item.at_most,
            }  # fmt: skip
            return f"clock:{item.shard}".encode(), row
        case Leave():
            row = {
                "type": "void", "code": item.reason, "shard": item.shard, "offset": item.offset,
                "decisions_offset": item.run, "at_most": item.until,
            }  # fmt: skip
            return f"void:{item.shard}:{item.offset}".encode(), row
    return f"{row['type']}:{item.code}".encode(), row

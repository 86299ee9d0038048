"""Reference data as of a position of their topic, folded independently of the domain.

Sources: docs/producers.md and schemas/Reference.avsc. The first record of an asset counts and the
last of an account; a policy counts if it names the one before it; limits of a clock add up; of the
leaves to void a transaction the last counts.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import iso4217

A_MINUTE = 60_000_000
A_DAY = 1_440 * A_MINUTE
_CODE = re.compile("[!-~]{1,32}")
_MOST_DECIMALS = 18
_PLACE = struct.Struct(">q")


class ReferenceRecord(NamedTuple):
    """A record of the reference topic; `row`: decoded, None if it cannot be decoded."""

    offset: int
    key: bytes | None
    value: bytes | None
    row: Mapping[str, Any] | None


class PolicyInForce(NamedTuple):
    """The policy of the ledger; durations in microseconds, `largest` in bytes."""

    window: int = 30 * A_DAY
    early: int = 5 * A_MINUTE
    opens_unknown: bool = True
    largest: int = 262_144
    shards: int | None = None


_INVALID_REASON = re.compile(r"[\x00-\x1f\x7f]|\A(?s:.){1001}")
"""A leave with such a reason is ignored: too long, or with a control character."""


class DeclaredAccount(NamedTuple):
    """A declared account; times in microseconds, None for no limit."""

    currency: str | None
    opened_at: int | None
    closed_at: int | None


class LeaveToVoid(NamedTuple):
    """Leave to void what a run has accepted; `authority`: offset of the record that grants it.

    `until`: the last time at which the void may be requested, microseconds; None: no limit.
    """

    run: int
    authority: int
    reason: str
    until: int | None


class ReferenceAt:
    """Reference data before `position`, for one shard's decisions; at first none.

    `records`: of the topic, in order; may grow while this is used. `digest`: of those before the
    position.
    """

    def __init__(self, shard: int, records: Sequence[ReferenceRecord]) -> None:
        self._shard, self._records = shard, records
        self._clear()

    def _clear(self) -> None:
        self._read, self._policy_at = 0, -1
        self.position, self.digest = 0, bytes(32)
        self.scales: dict[str, int] = {}
        self.accounts: dict[str, DeclaredAccount] = {}
        self.policies: list[PolicyInForce] = []
        self.limits: list[tuple[int, int]] = []
        self.leaves: dict[int, LeaveToVoid] = {}

    @property
    def policy(self) -> PolicyInForce:
        """The policy at the position; before the topic's first one, that one."""
        return self.policies[-1] if self.policies else _first_policy(self._records)

    @property
    def end(self) -> int:
        """The offset after the last record of the topic."""
        return self._records[-1].offset + 1 if self._records else 0

    def advance(self, position: int) -> None:
        """Fold the records before `position`; again from the first one if it is an earlier one."""
        if position < self.position:
            self._clear()
        self.position = position
        while self._read < len(self._records) and self._records[self._read].offset < position:
            record = self._records[self._read]
            self._read += 1
            self.digest = reference_digest(self.digest, record)
            if record.row is not None:
                self._take(record.offset, record.row)

    def _take(self, offset: int, row: Mapping[str, Any]) -> None:
        match row["type"]:
            case "asset" if is_asset(row):
                self.scales.setdefault(row["code"], row["scale"])
            case "account":
                account = DeclaredAccount(row["currency"], row["opened_at"], row["closed_at"])
                self.accounts[row["code"]] = account
            case "policy" if row["follows"] == self._policy_at:
                policy = policy_in(row)
                if policy and (not self.policies or self.policies[0].shards == policy.shards):
                    self.policies.append(policy)
                    self._policy_at = offset
            case "clock" if row["shard"] == self._shard:
                limit = row["until_offset"], row["at_most"]
                if None not in limit:
                    self.limits.append(limit)
            case "void" if row["shard"] == self._shard:
                reason, run = row["code"], row["decisions_offset"]
                if None not in (row["offset"], run) and not _INVALID_REASON.search(reason):
                    self.leaves[row["offset"]] = LeaveToVoid(run, offset, reason, row["at_most"])

    def recorded_at(self, offset: int, taken_at: int) -> int:
        """The recorded time of the record at `offset`, whose own time in the log is `taken_at`."""
        if not self.limits:
            return taken_at
        cuts = [at_most for until, at_most in self.limits if offset < until]
        return min([taken_at, *cuts])


def reference_digest(before: bytes, record: ReferenceRecord) -> bytes:
    """SHA-256 over the digest before, the offset in eight bytes, and SHA-256 of key and of value.

    Source: the formula of `ledger.domain.reference.digest_after`, implemented independently.
    """
    digest = sha256(before)
    digest.update(_PLACE.pack(record.offset))
    for part in (record.key, record.value):
        digest.update(sha256(part or b"").digest())
    return digest.digest()


def is_asset(row: Mapping[str, Any]) -> bool:
    """Whether it registers an asset: 1 to 32 visible ASCII characters, 0 to 18 decimals."""
    scale = row["scale"]
    whole = scale is not None and 0 <= scale <= _MOST_DECIMALS
    return whole and _CODE.fullmatch(row["code"]) is not None


def policy_in(row: Mapping[str, Any]) -> PolicyInForce | None:
    """The policy in a record; None if a part of it is missing."""
    days, minutes, unknown, largest, shards = (
        row[name] for name in (
            "window_days", "early_minutes", "unknown_accounts", "max_transaction_bytes", "shards",
        )
    )  # fmt: skip
    if None in (days, minutes, unknown, largest, shards):
        return None
    return PolicyInForce(days * A_DAY, minutes * A_MINUTE, unknown == "open", largest, shards)


def _first_policy(records: Sequence[ReferenceRecord]) -> PolicyInForce:
    for _, _, _, row in records:
        if row and row["type"] == "policy" and row["follows"] == -1 and (found := policy_in(row)):
            return found
    return PolicyInForce()


def scales_of_old(records: Sequence[ReferenceRecord]) -> dict[str, int]:
    """Decimals by code before the topic had ISO 4217: those of ISO 4217, then of first assets.

    Assets that were registered with other decimals than in ISO 4217 were ignored then.
    """
    found: dict[str, int] = {}
    for _, _, _, row in records:
        if row and row["type"] == "asset" and is_asset(row):
            found.setdefault(row["code"], row["scale"])
    iso = {each.code: each.exponent for each in iso4217.Currency if each.exponent is not None}
    return found | iso

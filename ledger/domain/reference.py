"""Reference data: what a decision depends on besides transactions.

Currencies and assets, accounts, the policy, limits of a shard's clock, and what may be voided, as a
fold of the records of one topic in their order. A run of the decision log names the position up to
which it knew them and the digest of the records before that.
"""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256

import iso4217

from ledger.domain.money import MAX_SCALE
from ledger.domain.policy import Policy

MAX_CODE = 32
"""Characters of an asset's code."""
ISO_SCALES: dict[str, int] = {
    currency.code: currency.exponent
    for currency in iso4217.Currency
    if currency.exponent is not None
}
"""Decimals by ISO 4217 code; codes without minor units (gold, test codes) are not money here."""


MAX_REASON = 1_000
"""Characters; as long as a description."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Asset:
    """A registered asset; `scale` is its number of decimals, 0 to MAX_SCALE."""

    code: str
    scale: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A declared account; times in microseconds since 1970, half-open: [opened_at, closed_at)."""

    code: str
    name: str = ""
    currency: str | None = None
    opened_at: int | None = None
    closed_at: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A new policy; it counts only if it replaces the one whose record is at `follows`.

    `follows` is -1 for the first policy of a ledger. `shards`: partitions of the transactions
    topic, the same in every policy of a ledger.
    """

    policy: Policy
    shards: int
    follows: int = -1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ClockLimit:
    """Positions of `shard` before `until` are recorded at `at_most` (microseconds) at the latest.

    The way on after a broker's clock was ahead; see docs/runbooks/clock-ahead.md.
    """

    shard: int
    until: int
    at_most: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    """The transaction at `offset` of `shard` may be voided: it cannot be posted.

    `run`: decision offset of the run that accepted it. `reason`: who gave leave, and why. `until`:
    what asks for it later (microseconds, by the shard's log) is too late; None: never. See
    docs/runbooks/not-postable.md.
    """

    shard: int
    offset: int
    run: int
    reason: str = ""
    at: int = -1
    """Offset of its own record, once it is read."""
    until: int | None = None


Item = Asset | Account | PolicyChange | ClockLimit | Leave


def reason_problem(reason: str) -> str | None:
    """What keeps table `voids` from having it."""
    if len(reason) > MAX_REASON:
        return f"has {len(reason)} characters; shorten it to at most {MAX_REASON}"
    if _CONTROL.search(reason):
        return "contains a control character; remove it"
    return None


class ScaleChanged(ValueError):
    """An asset's scale never changes: it would change the worth of what was posted."""


class StalePolicy(ValueError):
    """A policy replaces another one than the one that counts: somebody else was first."""


NO_RECORDS = bytes(32)
"""The digest of a topic without records."""
_OFFSET = struct.Struct(">q")


def digest_after(digest: bytes, offset: int, key: bytes | None, value: bytes | None) -> bytes:
    """The digest (32 bytes) of the records before `offset` and of the one there."""
    parts = (digest, _OFFSET.pack(offset), sha256(key or b"").digest(),
             sha256(value or b"").digest())  # fmt: skip
    return sha256(b"".join(parts)).digest()


@dataclass(slots=True)
class Reference:
    """What a decision may look up, as of the reference topic's position `offset`.

    `scales`: decimals by code; a service begins with none, so that each is of the log. `policies`:
    the offset of each policy's record, and the policy, rising. `digest`: of the records read.
    """

    scales: dict[str, int] = field(default_factory=lambda: dict(ISO_SCALES))
    accounts: dict[str, Account] = field(default_factory=dict)
    offset: int = 0
    digest: bytes = NO_RECORDS
    registered: set[str] = field(default_factory=set)
    policies: list[tuple[int, Policy]] = field(default_factory=list)
    shards: int | None = None
    clocks: dict[int, list[ClockLimit]] = field(default_factory=dict)
    leaves: dict[int, dict[int, Leave]] = field(default_factory=dict)
    """What may be voided, by shard and offset; the last record of each counts."""

    @property
    def policy(self) -> Policy:
        """The one that counts; the default where the topic has none."""
        return self.policies[-1][1] if self.policies else Policy()

    def policy_at(self, position: int) -> Policy:
        """The one that counted when the topic had been read up to `position`, or the first."""
        before = [policy for offset, policy in self.policies if offset < position]
        return before[-1] if before else self.policies[0][1] if self.policies else Policy()

    def recorded_at(self, shard: int, offset: int, time: int) -> int:
        """When a record of the log counts as recorded, by the log's own `time` (microseconds)."""
        limits = self.clocks.get(shard, ())
        return min([time, *(each.at_most for each in limits if offset < each.until)])

    def note(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """A record of the topic was read, whatever it says."""
        self.digest = digest_after(self.digest, offset, key, value)
        self.offset = offset + 1

    def add(self, items: Iterable[Item]) -> None:
        """Take what is new. The first asset of a code and the last account of a code count.

        A policy's record is the one at `offset`. Raises ScaleChanged for an asset
        registered with another scale, StalePolicy for a policy that replaces another one than
        the present, and ValueError for an asset that cannot be registered or a leave whose reason
        cannot be kept: the database would not take its postings.
        """
        for item in items:
            match item:
                case Account():
                    self.accounts[item.code] = item
                case Asset():
                    self._add_asset(item)
                case PolicyChange():
                    self._change_policy(item)
                case ClockLimit():
                    self.clocks.setdefault(item.shard, []).append(item)
                case Leave():
                    if problem := reason_problem(item.reason):
                        raise ValueError(f"a leave whose reason {problem}")
                    self.leaves.setdefault(item.shard, {})[item.offset] = replace(
                        item, at=self.offset
                    )

    def _add_asset(self, item: Asset) -> None:
        if problem := asset_problem(item.code, item.scale):
            raise ValueError(f"{item.code[:MAX_CODE]!r} with {item.scale} decimals: {problem}")
        if item.code not in self.registered:
            self.registered.add(item.code)
            self.scales[item.code] = item.scale
        elif (known := self.scales[item.code]) != item.scale:
            raise ScaleChanged(
                f"{item.code} has {known} decimals and cannot get {item.scale}: what was "
                "posted would change its worth. Register a new code instead."
            )

    def _change_policy(self, item: PolicyChange) -> None:
        last = self.policies[-1][0] if self.policies else -1
        if item.follows != last:
            raise StalePolicy(
                f"it replaces the policy at {item.follows}, and that at {last} counts"
            )
        if self.shards not in (None, item.shards):
            raise ValueError(f"it says {item.shards} shards, and the ledger has {self.shards}")
        self.shards = item.shards
        self.policies.append((self.offset, item.policy))


def asset_problem(code: str, scale: int) -> str | None:
    """Why an asset cannot be registered, or None."""
    plain = code.isascii() and code.isprintable() and " " not in code
    if not (plain and 1 <= len(code) <= MAX_CODE):
        return f"an asset's code is 1 to {MAX_CODE} printable ASCII characters without blanks"
    if not 0 <= scale <= MAX_SCALE:
        return f"an asset has 0 to {MAX_SCALE} decimals"
    return None

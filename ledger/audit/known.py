"""What decisions depend on besides transactions, folded by the audit itself up to a position.

By docs/producers.md and schemas/Reference.avsc: of an asset the first record decides, of an account
the last, a policy counts if it names the one that counts before it, a limit of a clock adds to
those before, and of a transaction the last leave to void it counts.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import iso4217

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
_CODE = re.compile("[!-~]{1,32}")
_MOST_DECIMALS = 18
_PLACE = struct.Struct(">q")


class Noted(NamedTuple):
    """A record of the reference topic; `row`: decoded, None where it cannot be."""

    offset: int
    key: bytes | None
    value: bytes | None
    row: Mapping[str, Any] | None


class Policy(NamedTuple):
    """The policy that counts; durations in microseconds, `largest` in bytes."""

    window: int = 30 * DAY
    early: int = 5 * MINUTE
    opens_unknown: bool = True
    largest: int = 262_144
    shards: int | None = None


_UNFIT = re.compile(r"[\x00-\x1f\x7f]|\A(?s:.){1001}")
"""A reason of a leave that counts for nothing: too long, or with a control character."""


class Account(NamedTuple):
    """A declared account; times in microseconds, None for no limit."""

    currency: str | None
    opened_at: int | None
    closed_at: int | None


class Leave(NamedTuple):
    """Leave to void what a run has accepted; `authority`: offset of the record that gives it.

    `until`: the last time at which it may be asked for, microseconds; None: whenever.
    """

    run: int
    authority: int
    reason: str
    until: int | None


class Known:
    """Everything before `position`, for one shard's decisions. Before any policy: the first one.

    `noted` may grow while this is used. `digest`: of the records before the position.
    """

    def __init__(self, shard: int, noted: Sequence[Noted]) -> None:
        self._shard, self._noted = shard, noted
        self._forget()

    def _forget(self) -> None:
        self._read, self._policy_at = 0, -1
        self.position, self.digest = 0, bytes(32)
        self.scales: dict[str, int] = {}
        self.accounts: dict[str, Account] = {}
        self.policies: list[Policy] = []
        self.limits: list[tuple[int, int]] = []
        self.leaves: dict[int, Leave] = {}

    @property
    def policy(self) -> Policy:
        """The one that counts here."""
        return self.policies[-1] if self.policies else _first_policy(self._noted)

    @property
    def end(self) -> int:
        """After the last record that there is."""
        return self._noted[-1].offset + 1 if self._noted else 0

    def go(self, position: int) -> None:
        """Know the records before `position`, and no others."""
        if position < self.position:
            self._forget()
        self.position = position
        while self._read < len(self._noted) and self._noted[self._read].offset < position:
            noted = self._noted[self._read]
            self._read += 1
            self.digest = digest_of(self.digest, noted)
            if noted.row is not None:
                self._take(noted.offset, noted.row)

    def _take(self, offset: int, row: Mapping[str, Any]) -> None:
        match row["type"]:
            case "asset" if is_asset(row):
                self.scales.setdefault(row["code"], row["scale"])
            case "account":
                account = Account(row["currency"], row["opened_at"], row["closed_at"])
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
                if None not in (row["offset"], run) and not _UNFIT.search(reason):
                    self.leaves[row["offset"]] = Leave(run, offset, reason, row["at_most"])

    def recorded_at(self, offset: int, taken_at: int) -> int:
        """When the record at `offset` counts as recorded, by the log's own time of it."""
        if not self.limits:
            return taken_at
        cuts = [at_most for until, at_most in self.limits if offset < until]
        return min([taken_at, *cuts])


def digest_of(before: bytes, noted: Noted) -> bytes:
    """SHA-256 over the digest before, the offset in eight bytes, and SHA-256 of key and of value.

    Source: the formula of `ledger.domain.reference.digest_after`, computed here by itself.
    """
    digest = sha256(before)
    digest.update(_PLACE.pack(noted.offset))
    for part in (noted.key, noted.value):
        digest.update(sha256(part or b"").digest())
    return digest.digest()


def is_asset(row: Mapping[str, Any]) -> bool:
    """Whether it registers anything: 1 to 32 visible ASCII characters, 0 to 18 decimals."""
    scale = row["scale"]
    whole = scale is not None and 0 <= scale <= _MOST_DECIMALS
    return whole and _CODE.fullmatch(row["code"]) is not None


def policy_in(row: Mapping[str, Any]) -> Policy | None:
    """The policy in a record; None for one that is not whole."""
    days, minutes, unknown, largest, shards = (
        row[name] for name in (
            "window_days", "early_minutes", "unknown_accounts", "max_transaction_bytes", "shards",
        )
    )  # fmt: skip
    if None in (days, minutes, unknown, largest, shards):
        return None
    return Policy(days * DAY, minutes * MINUTE, unknown == "open", largest, shards)


def _first_policy(noted: Sequence[Noted]) -> Policy:
    for _, _, _, row in noted:
        if row and row["type"] == "policy" and row["follows"] == -1 and (found := policy_in(row)):
            return found
    return Policy()


def scales_of_old(noted: Sequence[Noted]) -> dict[str, int]:
    """Decimals by code where the topic did not have ISO 4217 yet: of that, then assets' firsts.

    What was registered with others than ISO 4217 had was ignored then.
    """
    found: dict[str, int] = {}
    for _, _, _, row in noted:
        if row and row["type"] == "asset" and is_asset(row):
            found.setdefault(row["code"], row["scale"])
    iso = {each.code: each.exponent for each in iso4217.Currency if each.exponent is not None}
    return found | iso

"""Reference data as records of its topic, and the policy that the settings make."""

from typing import Any

from ledger.domain.reference import Account, Asset
from ledger.domain.transaction import DAY, MINUTE, Policy
from ledger.settings import Settings


def policy_of(settings: Settings) -> Policy:
    """What a decision needs of the settings."""
    return Policy(
        window=settings.window_days * DAY,
        early=settings.early_minutes * MINUTE,
        open_unknown_accounts=settings.unknown_accounts == "open",
        max_bytes=settings.max_transaction_bytes,
    )


def item_of(row: dict[str, Any]) -> Asset | Account:
    """The asset or account that a Reference record tells of. Raises ValueError for neither."""
    if row["type"] == "asset" and row["scale"] is not None:
        return Asset(row["code"], row["scale"], row["name"])
    if row["type"] == "account":
        return Account(
            row["code"], row["name"], row["currency"], row["opened_at"], row["closed_at"]
        )
    raise ValueError(f"neither an asset with a scale nor an account: {row['type'][:32]!r}")


def key_and_row(item: Asset | Account) -> tuple[bytes, dict[str, Any]]:
    """The record's key and its row, the reverse of `item_of`."""
    if isinstance(item, Asset):
        row = {"type": "asset", "code": item.code, "name": item.name, "scale": item.scale}
    else:
        row = {
            "type": "account", "code": item.code, "name": item.name, "currency": item.currency,
            "opened_at": item.opened_at, "closed_at": item.closed_at,
        }  # fmt: skip
    return f"{row['type']}:{item.code}".encode(), row

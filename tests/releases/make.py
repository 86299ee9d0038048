"""Makes the data directory of a release that tests start from: `python -m tests.releases.make 0.2.0`.

It takes the release from this repository's history, has it run a small ledger of four shards and one
worker, and keeps the directory once the release's own audits find nothing. Whatever is in there was
written by the release. Made again only for a release that is new.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.stack import files, identity
from tests import warden
from tests.releases import fixture, installed
from tests.releases.fixture import Books
from tests.releases.installed import Release

SHARDS = 4
COUNT = 200
ASSETS = ({"code": "PTS", "scale": 6},)
ACCOUNTS = (
    {
        "account": "liabilities:deposits:closed",
        "currency": "CAD",
        "closed_at": "2020-01-01T00:00:00Z",
    },
    {"account": "liabilities:deposits:yen", "currency": "JPY", "opened_at": "2020-01-01T00:00:00Z"},
)
CURRENCIES = {"CAD": 2, "JPY": 0, "PTS": 6}


def main() -> None:
    """Make the archive of the release that is named."""
    (version,) = sys.argv[1:]
    release = installed.provide(version)
    with TemporaryDirectory(prefix="fl-") as made:
        data_dir = warden.watched(Path(made).resolve() / "ledger")
        data_dir.mkdir()
        try:
            books = run_ledger(release, data_dir)
            release.run(data_dir, "up", "--workers", 0)
            me = identity.require_identity(files.layout(data_dir))
            dumps = {name: fixture.run_program("pg_dump", me, name) for name in fixture.DATABASES}
        finally:
            release.run(data_dir, "down", code=None)
            warden.left(data_dir)
        size = fixture.pack(version, data_dir, dumps, books)
    sys.stdout.write(f"{fixture.archive_of(version)}: {size:,} bytes\n")


def run_ledger(release: Release, data_dir: Path) -> Books:
    """Start it, publish, and wait until the release says that all is well; what it says then."""
    release.run(data_dir, "up", "--workers", 1, FAUST_LEDGER_SHARDS=str(SHARDS))
    release.run(data_dir, "assets", "import", "-", stdin=jsonl(ASSETS))
    release.run(data_dir, "accounts", "import", "-", stdin=jsonl(ACCOUNTS))
    good, bad = list(transactions()), list(refused())
    reversals = [reversal(each) for each in good[:20:4]]
    # Some once more, which adds nothing.
    for rows in (good, [*good[:10], *reversals], bad):
        release.run(data_dir, "publish", "-", "--wait", "--no-check", stdin=jsonl(rows), code=None)
    assert json.loads(release.run(data_dir, "reconcile", "--full", "--json"))["breaks"] == []
    assert json.loads(release.run(data_dir, "verify", "--json"))["findings"] == []
    rejects = rows_of(release.run(data_dir, "rejects", "list", "--json"))
    assert len(rejects) >= len(bad), rejects
    return Books(
        balances=rows_of(release.run(data_dir, "balances", "--json")),
        accepted=[each["transaction_id"] for each in (*good, *reversals)],
        refused=[each["transaction_id"] for each in bad],
    )


def transactions() -> Iterator[dict[str, Any]]:
    """Deposits and transfers in three currencies, over shards and over accounts that are shared."""
    for number in range(COUNT):
        currency, scale = list(CURRENCIES.items())[number % 3]
        amount = f"{number + 1}.{'5':0<{scale}}" if scale else str(number + 1)
        account = "yen" if currency == "JPY" else str(number % 17)
        made = transaction(
            f"of-before-{number}", currency, amount, f"liabilities:deposits:{account}"
        )
        yield made | ({"ordering_key": f"customer-{number % 5}"} if number % 2 else {})


def refused() -> Iterator[dict[str, Any]]:
    """What the ledger refuses, each for another reason."""
    yield transaction("refused-closed", "CAD", "1.00", "liabilities:deposits:closed")
    yield transaction("refused-currency", "CAD", "1.00", "liabilities:deposits:yen")
    yield transaction("refused-decimals", "CAD", "1.005", "liabilities:deposits:1")
    yield transaction("refused-unknown", "XQZ", "1", "liabilities:deposits:1")
    yield reversal(transaction("never-published", "CAD", "1.00", "liabilities:deposits:1"))


def transaction(name: str, currency: str, amount: str, account: str) -> dict[str, Any]:
    """A deposit, now."""
    return {
        "transaction_id": name, "kind": "deposit", "description": "Überweisung, 振込",
        "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "effective_at": "2026-01-02T03:04:05Z", "metadata": {"branch": "1"},
        "entries": [
            {"account": "assets:vault", "side": "debit", "amount": amount, "currency": currency},
            {"account": account, "side": "credit", "amount": amount, "currency": currency},
        ],
    }  # fmt: skip


def reversal(made: dict[str, Any]) -> dict[str, Any]:
    """What takes it back."""
    other = {"debit": "credit", "credit": "debit"}
    entries = [each | {"side": other[each["side"]]} for each in made["entries"]]
    name = made["transaction_id"]
    return made | {
        "transaction_id": f"{name}-reversed", "reverses": name, "entries": entries,
        "ordering_key": made.get("ordering_key", name),
    }  # fmt: skip


def jsonl(rows: Any) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def rows_of(text: str) -> list[dict[str, Any]]:
    """The reverse of `jsonl`."""
    return [json.loads(line) for line in text.split("\n") if line]


if __name__ == "__main__":
    main()

"""The page's clients for a browser, in one: events and WebSocket from a page of the API's origin."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Page
from tests.conftest import Stack
from tests.example_clients import LANGUAGES, built
from tests.integration.api_ledger import ApiLedger
from tests.integration.test_api_live import kill_one_of, knows_tokens, post, transfer
from tests.integration.test_api_page import PAGE, blocks
from tests.waiting import until

COMPILE = (
    "npx", "tsc", "--module", "nodenext", "--target", "es2023", "--lib", "es2023,dom",
    "--types", "node", "--skipLibCheck", "live.mts",
)  # fmt: skip
WATCHED = """
window.seen = { events: [], socket: [] };
console.log = () => {};
for (const [name, kind] of [["EventSource", "events"], ["WebSocket", "socket"]]) {
  const Native = window[name];
  window[name] = class extends Native {
    constructor(...given) {
      super(...given);
      for (const type of ["message", "snapshot", "resumed", "changes"])
        this.addEventListener(type, ({ data }) => seen[kind].push(data));
    }
  };
}
true;
"""
"""Keeps each message that comes, before the client has it."""


def client(name: str) -> str:
    """A file of docs/api.md."""
    [content] = (
        content for _, words, content in blocks(PAGE.read_text()) if f"file={name}" in words
    )
    return content


@pytest.fixture
def page(api_ledger: ApiLedger, tmp_path: Path) -> Iterator[Page]:
    profile = tmp_path / "profile"
    profile.mkdir()
    with Page.at(f"{api_ledger.urls[0]}/openapi.json", profile) as found:
        found.value(WATCHED)
        yield found


def events_client(under: str, token: str) -> str:
    """events.mjs, which asks the API for its tickets."""
    ours = client("events.mjs").replace("liabilities:wallets", under)
    asked = json.dumps({"method": "POST", "headers": {"Authorization": f"Bearer {token}"}})
    made, count = re.subn(r'fetch\("[^"]*", {[^}]*}\)', f'fetch("/v1/live/tickets", {asked})', ours)
    assert count == 1
    return f"(() => {{ {made}\nfollow(); }})()"


def socket_client(account: str, token: str, place: Path) -> str:
    """live.mts, compiled."""
    (place / "node_modules").symlink_to(built(LANGUAGES["typescript"]) / "node_modules")
    (place / "live.mts").write_text(client("live.mts"))
    subprocess.run(COMPILE, cwd=place, check=True, capture_output=True)
    made = (place / "live.mjs").read_text().replace("export function", "function")
    given = json.dumps([token, [account]])
    return f"(() => {{ {made}\nfollow(location.origin, ...{given}); }})()"


def messages(page: Page, kind: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in page.value(f"seen.{kind}")]


def posted(found: list[dict[str, Any]]) -> list[str]:
    """The balances of the one account, as they came."""
    rows: list[dict[str, Any]] = []
    for each in found:
        rows += each.get("balances", [])
        rows += (row for some in each.get("changes", {}).values() for row in some)
    return [row["posted"] for row in rows]


def test_both_clients_see_changes_and_miss_none_when_they_connect_again(
    api_ledger: ApiLedger, stack: Stack, page: Page, new_id: Callable[..., str], tmp_path: Path
) -> None:
    folder = f"assets:{new_id('browser')}"
    account, token = f"{folder}:a", api_ledger.token("read")
    knows_tokens(api_ledger, 0)
    post(api_ledger, 1, transfer(new_id(), account, "1.00"))
    page.value(events_client(folder, token))
    page.value(socket_client(account, token, tmp_path))
    for kind in ("events", "socket"):
        until(lambda kind=kind: "1.00" in posted(messages(page, kind)), f"{kind}: the first")
        first = messages(page, kind)[0]
        assert (first["type"], first["reason"]) == ("snapshot", "subscribed")
    post(api_ledger, 1, transfer(new_id(), account, "2.50"))
    for kind in ("events", "socket"):
        until(lambda kind=kind: posted(messages(page, kind))[-1] == "3.50", f"{kind}: a change")
    before = {kind: len(messages(page, kind)) for kind in ("events", "socket")}
    kill_one_of(stack)
    post(api_ledger, 1, transfer(new_id(), account, "4.00"))
    for kind in ("events", "socket"):
        until(
            lambda kind=kind: posted(messages(page, kind))[-1] == "7.50", f"{kind}: what it missed"
        )
        again = messages(page, kind)[before[kind]]
        assert again["type"] == "resumed" or again["reason"] != "subscribed", "it gave its token"
    knows_tokens(api_ledger, 0)

"""What an app backend does: read balances through the API, and ask why one is what it is."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx

from ledger.client.resource import AsyncResource
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming.connection import trust

KNOWN_SECONDS = 10.0
"""Within which an API process has read a new bearer token."""
LOOK_SECONDS = 0.05
HISTORY_SECONDS = 60
"""For history, which is behind: a ledger that ran without it is folded from its beginning."""
ANSWER_SECONDS = 90.0
MOST_LINES = 1_000
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Answer:
    """`row`: the JSON that was asked for; `milliseconds`: from the request to it."""

    row: dict[str, Any]
    milliseconds: float


class Backend(AsyncResource):
    """Reads with a bearer token. Entering and calls raise LedgerError, which names the answer."""

    def __init__(self, settings: Settings, url: str, token: str) -> None:
        self._settings, self._url, self._token = settings, url, token

    async def _enter(self, stack: AsyncExitStack) -> None:
        client = httpx.AsyncClient(
            base_url=f"{self._url}/v1",
            headers={"Authorization": f"Bearer {self._token}"},
            verify=trust(self._settings.ca_file) if self._url.startswith("https:") else True,
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )
        self._client = await stack.enter_async_context(client)
        await self._until_known()

    async def _until_known(self) -> None:
        until = time.monotonic() + KNOWN_SECONDS
        while (await self._get("/assets", limit=1)).status_code == UNAUTHORIZED:
            if time.monotonic() > until:
                raise LedgerError(
                    f"The API at {self._url} does not know a bearer token that was made "
                    f"{KNOWN_SECONDS:.0f} s ago; its log shows why (`faust-ledger status` names "
                    "it)."
                )
            # The API tells nobody when it has read one.
            await asyncio.sleep(LOOK_SECONDS)

    async def balance(self, account: str, currency: str, *, after: str) -> Answer:
        """What the account has in the currency, the transaction with the id `after` included."""
        found = await self._answer(f"/balances/{account}", currency=currency, after=after)
        [row] = found.row["balances"]
        return Answer(row, found.milliseconds)

    async def why(self, account: str, currency: str, *, after: str) -> Answer:
        """The same balance taken apart."""
        found = await self._answer(
            f"/balances/{account}/why",
            currency=currency,
            after=after,
            lines=MOST_LINES,
            timeout=HISTORY_SECONDS,
        )
        [figure] = found.row["figures"]
        return Answer(figure, found.milliseconds)

    async def _answer(self, path: str, **parameters: Any) -> Answer:
        began = time.monotonic()
        response = await self._get(path, **parameters)
        if not response.is_success:
            raise LedgerError(f"The API answered {response.status_code}: {response.text}")
        return Answer(response.json(), 1_000 * (time.monotonic() - began))

    async def _get(self, path: str, **parameters: Any) -> httpx.Response:
        try:
            return await self._client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise LedgerError(f"The API at {self._url} does not answer: {error!r}") from error

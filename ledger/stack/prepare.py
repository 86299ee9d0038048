"""Prepare a stack for workers: tables, schema subjects, topics, rights and the first policy."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ledger.proxies import around_proxies
from ledger.settings import Settings


def prepare(settings: Settings, *, say: Callable[[str], None] = lambda text: None) -> None:
    """Bring database, registry and topics up to date; doing it twice changes nothing.

    `say` gets a line on the migrations that were made, and for each setting of a topic that was
    corrected.
    """
    # Imported here: `down`, `status` and `--help` need none of it.
    from ledger.gl.databases import upgrade
    from ledger.streaming import access
    from ledger.streaming.registry import register_all
    from ledger.streaming.topics import bring_about

    with without_proxies():
        if made := upgrade(settings.database_url):
            say(f"migrations made in the general ledger: {', '.join(made)}")
        register_all(settings)
        for each in asyncio.run(bring_about(settings)).mended:
            say(f"mended {each.topic}: {each.setting} was {each.has}, is {each.mend}: {each.why}")
        if settings.kafka_user:
            asyncio.run(access.grant(settings))
        asyncio.run(found_ledger(settings))


async def found_ledger(settings: Settings) -> None:
    """Write the first policy and the currencies of ISO 4217, where they are missing.

    Raises LedgerError when a setting contradicts the ledger's policy.
    """
    from ledger.gl.databases import open_journal
    from ledger.streaming.founding import found
    from ledger.streaming.log import Log
    from ledger.streaming.registry import codec_of

    journal, log = open_journal(settings.database_url), Log(settings)
    try:
        await found(settings, log, codec_of(settings), journal.scales())
    finally:
        await log.close()
        journal.close()


@contextmanager
def without_proxies() -> Iterator[None]:
    """Let HTTP clients reach 127.0.0.1 without a proxy, until it is left."""
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    os.environ.update(around_proxies())
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""The patches are in every process that connects, each once, and only on versions they know."""

import ast
import asyncio
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from configparser import ConfigParser
from pathlib import Path

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from ledger.streaming import patches

AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: a close that resets the connection, as a killed broker's."""

Send = Callable[[AIOKafkaConnection], Awaitable[object]]


async def reset() -> AIOKafkaConnection:
    """A connection that its broker has reset, which a first write has found out."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        host, port = broker.getsockname()
        made = AIOKafkaConnection(host, port)
        made._reader, made._writer = await asyncio.open_connection(host, port)
        made._read_task = asyncio.create_task(made._reader.read())
        accepted, _ = broker.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        accepted.close()
    transport = made._writer.transport
    while not transport.is_closing():
        transport.write(b"?")
    await asyncio.sleep(0)
    made._versions = {MetadataRequest.API_KEY: (0, 5)}
    return made


@pytest.mark.parametrize(
    "send",
    [
        lambda made: made.send(MetadataRequest([])),
        lambda made: made._send_sasl_token(b"token"),
    ],
)
def test_what_uvloop_has_closed_is_a_broken_connection(send: Send) -> None:
    patches.install()

    async def scene() -> None:
        made = await reset()
        assert made.connected()
        with pytest.raises(KafkaConnectionError):
            await send(made)
        assert not made.connected()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())


ROOT = Path(patches.__file__).parents[2]
CLIENTS = {
    "AIOKafkaAdminClient",
    "AIOKafkaClient",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "create_conn",
}
AS_IT_COMES = {"ledger/bench/floor.py"}
"""What is measured against aiokafka without the ledger."""


def called(source: str) -> set[str]:
    calls = [each.func for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Call)]
    return {each.id for each in calls if isinstance(each, ast.Name)}


def test_no_client_of_kafka_is_made_without_the_patches() -> None:
    """Each takes what `connection.kafka` gives, which installs them; or its module does."""
    without, makers = set(), set()
    for folder in ("ledger", "agents"):
        for file in (ROOT / folder).rglob("*.py"):
            source = file.read_text()
            if called(source) & CLIENTS:
                name = str(file.relative_to(ROOT))
                makers.add(name)
                if not re.search(r"\bkafka\(|\bpatches\.install\(\)", source):
                    without.add(name)
    assert without == AS_IT_COMES
    assert {"ledger/streaming/reader.py", "ledger/streaming/log.py"} <= makers


def in_a_process(script: str) -> str:
    """What a process of its own prints, where nothing was patched before."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PATCHED = """
from aiokafka.consumer import fetcher
from ledger.settings import Settings
from ledger.streaming.batches import FetchedBatches

def patched():
    return fetcher.MemoryRecords is FetchedBatches

def tried(make):
    from ledger.errors import LedgerError
    try:
        make()
    except LedgerError as error:
        return str(error)
"""


@pytest.mark.parametrize(
    "make",
    [
        "from ledger.streaming.reader import Reader; made = lambda: Reader(Settings())",
        "from agents.runtime.app import credentials; made = lambda: credentials(Settings())",
    ],
)
def test_whoever_connects_has_them_and_nobody_by_an_import(make: str) -> None:
    script = f"{PATCHED}\n{make}\nprint(patched(), tried(made), patched())"
    assert in_a_process(script) == "False None True"


def unknown(library: str) -> str:
    return (
        "from importlib import metadata\n"
        "real = metadata.version\n"
        f"metadata.version = lambda name: '9.8.7' if name == {library!r} else real(name)\n"
    )


def test_nobody_connects_with_a_version_that_the_patches_do_not_know() -> None:
    script = f"""{unknown("aiokafka")}{PATCHED}
import asyncio
from ledger.streaming.log import Log
from ledger.streaming.reader import Reader
for make in (lambda: Reader(Settings()), lambda: Log(Settings())):
    assert "aiokafka 9.8.7 is installed" in tried(make), tried(make)
print(patched(), tried(lambda: Reader(Settings())))
"""
    assert in_a_process(script) == (
        "False aiokafka 9.8.7 is installed. This version of faust-ledger changes how aiokafka "
        "works (ledger/streaming/patches.py) and knows 0.14 only: install 'aiokafka==0.14.*'."
    )


def test_fausts_version_counts_where_faust_is_used() -> None:
    script = f"{unknown('faust-streaming')}{PATCHED}from ledger.streaming.reader import Reader\n"
    tell = "print(tried(lambda: Reader(Settings())))"
    assert in_a_process(script + tell) == "None"
    assert "faust-streaming 9.8.7" in in_a_process(f"{script}import faust\n{tell}")


@pytest.mark.parametrize("library", sorted(patches.KNOWN))
def test_what_may_be_installed_is_known(library: str) -> None:
    """Another series in setup.cfg needs another look at each patch."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    (line,) = [
        each
        for each in config["options"]["install_requires"].splitlines()
        if each.startswith(library)
    ]
    major, minor = patches.KNOWN[library].split(".")
    assert f">={major}.{minor}" in line
    assert line.endswith(f"<{major}.{int(minor) + 1}")


def test_a_second_install_patches_nothing_twice() -> None:
    patches.install()
    before = AIOKafkaConnection.send, AIOKafkaConnection.close, fetcher.MemoryRecords
    patches.install()
    assert before == (AIOKafkaConnection.send, AIOKafkaConnection.close, fetcher.MemoryRecords)

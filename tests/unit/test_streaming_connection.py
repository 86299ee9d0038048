"""What is put right in aiokafka's connections."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from ledger.streaming import connection as _connection  # noqa: F401 - what is tested

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
    async def scene() -> None:
        made = await reset()
        assert made.connected()
        with pytest.raises(KafkaConnectionError):
            await send(made)
        assert not made.connected()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())

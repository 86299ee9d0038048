"""What this ledger changes in other people's libraries, why, and for which versions.

`install` changes classes and modules of aiokafka, for the whole process:

- *Reading batches.* aiokafka takes a header's name for UTF-8 and the number that a record gives
  itself for its offset; a broker checks neither. One such record stops a consumer for ever, or two
  records get one offset (`batches.py`). The format: https://kafka.apache.org/documentation/#record
- *Packing batches.* aiokafka packs with lz4's level 9 and has no setting for it; level 1 takes a
  tenth of the time: https://github.com/aio-libs/aiokafka/issues/1028
- *Closing a connection over TLS.* uvloop waits up to 30 s for the broker's close_notify, which a
  broker does not send while it holds an open fetch: https://github.com/MagicStack/uvloop/issues/471
- *Writing to a closed connection.* uvloop raises RuntimeError where aiokafka expects OSError:
  https://github.com/aio-libs/aiokafka/issues/1038

`agents/runtime/run_thread.py` changes the worker's own consumer, and nothing else in the process:

- *Fetching* (`Fetcher._proc_fetch_request`): records leave aiokafka at once; it would send a broker
  no fetch while the records of one partition wait:
  https://github.com/aio-libs/aiokafka/blob/v0.14.0/aiokafka/consumer/fetcher.py
- *Heartbeats* (`_do_heartbeat`, `_do_rejoin_group`): when the broker last confirmed the membership;
  aiokafka keeps that to itself:
  https://github.com/aio-libs/aiokafka/blob/v0.14.0/aiokafka/consumer/group_coordinator.py

`agents/runtime/run_consumer.py` overrides what Faust's consumer does with acknowledgements:
https://github.com/faust-streaming/faust/issues/606

All of this rests on names that the libraries may change in any release. So a version that nobody
has looked at is refused at the start of a process, before it reads or writes anything.
"""

import sys
from collections.abc import Callable
from functools import cache, partial, wraps
from importlib.metadata import version
from typing import Any

from aiokafka.codec import lz4_encode
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaConnectionError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ledger.errors import LedgerError
from ledger.streaming.batches import FetchedBatches

KNOWN = {"aiokafka": "0.14", "faust-streaming": "0.15"}
"""Releases that the patches were written for and tested with; setup.cfg allows no others."""
LZ4_LEVEL = 1


def install() -> None:
    """Patch this process's aiokafka, if that is not done yet.

    `connection.kafka` calls it, without whose settings nothing connects. Raises LedgerError for
    a version that is not KNOWN, of aiokafka, or of Faust where the process uses Faust.
    """
    if "faust" in sys.modules:
        _require_known("faust-streaming")
    _patch_aiokafka()


@cache
def _patch_aiokafka() -> None:
    _require_known("aiokafka")
    fetcher.MemoryRecords = FetchedBatches
    # What builds batches is compiled, in a module that has a name of its own for the function.
    builders = sys.modules[DefaultRecordBatchBuilder.__module__]
    vars(builders)["lz4_encode"] = partial(lz4_encode, level=LZ4_LEVEL)
    connection: Any = AIOKafkaConnection
    connection.close = _close_at_once(connection.close)
    connection.send = _broken_where_closed(connection.send)
    connection._send_sasl_token = _broken_where_closed(connection._send_sasl_token)


@cache
def _require_known(library: str) -> None:
    found = version(library)
    if found.split(".")[:2] != KNOWN[library].split("."):
        raise LedgerError(
            f"{library} {found} is installed. This version of faust-ledger changes how {library} "
            f"works (ledger/streaming/patches.py) and knows {KNOWN[library]} only: install "
            f"'{library}=={KNOWN[library]}.*'."
        )


def _close_at_once(close: Callable[..., Any]) -> Callable[..., Any]:
    """Over TLS, drop the connection: whatever had to be answered has been when it is closed."""

    @wraps(close)
    def closed(
        self: AIOKafkaConnection, reason: Any = None, exc: BaseException | None = None
    ) -> Any:
        if self._writer is not None and self._security_protocol.endswith("SSL"):
            self._writer.transport.abort()
        return close(self, reason, exc)

    return closed


def _broken_where_closed(send: Callable[..., Any]) -> Callable[..., Any]:
    """Report a connection that uvloop has closed by itself as broken.

    The RuntimeError would end whichever task of aiokafka's meets it. Where that is the one that
    asks for metadata, whoever waits for a coordinator or a leader waits silently for ever.
    """

    @wraps(send)
    def sent(self: AIOKafkaConnection, *args: Any, **options: Any) -> Any:
        try:
            return send(self, *args, **options)
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken") from error

    return sent

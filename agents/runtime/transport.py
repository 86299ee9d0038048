"""Faust's transport and schema for runs."""

from typing import Any

import faust
from faust.events import Event
from faust.transport.drivers import aiokafka as driver

from agents.runtime.run_consumer import RunConsumer


class RunTransport(driver.Transport):
    """Kafka, delivered in runs."""

    Consumer = RunConsumer


class Runs(faust.Schema):
    """Hands runs through as the event's value; decoding, and its errors, are the agent's."""

    def compile(
        self,
        app: Any,
        *,
        on_key_decode_error: Any = None,
        on_value_decode_error: Any = None,
        default_propagate: bool = False,
    ) -> Any:
        async def decode(message: Any, *, propagate: bool = default_propagate) -> Any:
            return Event(app, None, message.value, None, message)

        return decode

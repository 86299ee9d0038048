"""Choosing ports, and the message about one that is taken."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.errors import StackError
from ledger.stack import ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        server.listen(1)
        yield server.getsockname()[1]


def test_a_chosen_port_is_free_and_not_one_for_outgoing_connections() -> None:
    port = ports.choose(set())
    assert ports.LOWEST <= port < ports.HIGHEST
    assert ports.is_free(port)
    assert not ports.is_open(port)


def test_a_chosen_port_is_not_one_to_avoid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "HIGHEST", ports.LOWEST + 2)
    assert ports.choose({ports.LOWEST}) != ports.LOWEST


def test_a_taken_port_is_seen(taken: int) -> None:
    assert not ports.is_free(taken)
    assert ports.is_open(taken)


def test_the_message_names_the_port_its_owner_and_the_option(taken: int) -> None:
    with pytest.raises(StackError) as raised:
        ports.require_free_port("kafka", taken, Path("/x/identity.json"))
    message = str(raised.value)
    assert str(taken) in message
    assert f"pid {os.getpid()}" in message
    assert "--kafka-port" in message
    assert "/x/identity.json" in message


def test_a_free_port_passes() -> None:
    ports.require_free_port("kafka", ports.choose(set()), Path("x"))

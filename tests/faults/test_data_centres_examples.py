"""The clients of `examples/` with the rights of a producer and of a backend, on data centres.

`make test` runs Python's; all four read and publish on its plain ledger.
"""

import tomllib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.example_clients import LANGUAGES, Language, deposits, publish, reading
from tests.faults.conftest import Ledger, long

pytestmark = pytest.mark.faults
pytest_plugins = ["tests.faults.centres"]
COMMON = uuid4().hex[:12]


def given(centres: Ledger, role: str) -> dict[str, Any]:
    """The settings that `up --secure` has written for a role."""
    return tomllib.loads(centres.world.role_file(role).read_text())


@pytest.mark.fault(
    "clients in Python, Go, TypeScript and Java publish as a producer and read as a backend",
    "what is published is read reconciled, to the cent",
)
@pytest.mark.parametrize(
    "language",
    [
        pytest.param(each, marks=() if name == "python" else long, id=name)
        for name, each in LANGUAGES.items()
    ],
)
def test_what_a_producer_publishes_a_backend_reads(
    centres: Ledger, new_id: Callable[..., str], language: Language
) -> None:
    made = deposits(new_id, language.name, COMMON)
    with reading(language, given(centres, "backend"), *made.accounts) as reader:
        publish(language, given(centres, "producer"), made.lines)
        reader.until(*made.reconciled)
    centres.entry.times += 1

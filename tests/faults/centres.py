"""Three data centres with TLS and roles: `pytest_plugins = ["tests.faults.centres"]`.

FAUST_LEDGER_CENTRES_STACK=DIR uses, and keeps, the ledger of that directory.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.conftest import Ledger, lasting, opened, shared
from tests.faults.world import World

CENTRES = 3


@pytest.fixture(scope=shared)
def centres(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """Three brokers and three workers; published by a producer's rights, watched by finance's."""
    with lasting(request.session, os.environ.get("FAUST_LEDGER_CENTRES_STACK")) as world:
        said = world.run("up", "--data-centres", CENTRES, "--secure", "--json")
        assert len(json.loads(said)["workers"]) == CENTRES
        with opened(world, world.as_role("producer"), world.as_role("finance")) as made:
            yield made


def as_user(world: World, role: str) -> dict[str, Any]:
    """Settings that say who somebody is."""
    secret = world.data_dir / "secrets" / f"{role}.password"
    return {
        "kafka_user": role, "kafka_password_file": secret,
        "registry_user": role, "registry_password_file": secret,
    }  # fmt: skip

"""The Avro schemas, one file a record; README.md says what may change."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def load(name: str) -> dict[str, Any]:
    """The schema `<name>.avsc` as parsed JSON. Raises FileNotFoundError."""
    schema: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}.avsc").read_text())
    return schema

"""Schemas that others wrote with: which of them are safe to read with.

Anybody who may register a compatible version of our schema chooses what a worker's decoder walks
through. In fastavro a record that contains itself overflows the C stack at some 30,000 levels, and
a list of items that take no bytes runs for ever on ten bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastavro import parse_schema
from fastavro.types import Schema

import schemas
from ledger.domain import avro
from ledger.domain.refusal import Reason, Refused

MAX_HEIGHT = 64
"""Levels of a schema, names followed."""
MAX_NOTHING = 64
"""Parts of one value that take no bytes: each costs time, and nothing else bounds them."""
HARMLESS = frozenset({"uuid"})
"""Logical types of text that is read as the text it is."""


def readable(writer: Any, schema_id: int, *, read_as: str | None = None) -> Schema | Refused:
    """The schema ready to read with, or why nothing is read with it.

    `read_as` names the schema of ours that its values become: a field in another unit
    is refused, for it would be read as ours.
    """
    try:
        why = _Walk.over(writer).why(read_as)
        if why is None:
            return parse_schema(avro.without_logical_types(writer))
    except _Unsafe as unsafe:
        why = str(unsafe)
    except Exception as error:  # whatever a schema of somebody else's makes fastavro stumble over
        why = f"cannot be read: {type(error).__name__}"
    return Refused(Reason.FOREIGN_SCHEMA, f"Schema {schema_id} {why}. Use the published one.")


def readable_or_error(writer: Any, schema_id: int) -> Schema:
    """As `readable`; raises ValueError for what is not read."""
    found = readable(writer, schema_id)
    if isinstance(found, Refused):
        raise ValueError(found.sentence)  # noqa: TRY004 - of a value, not of a type
    return found


def schema_in(answer: Any) -> Any:
    """The schema in the registry's answer, as JSON; as text where it is none.

    Raises ValueError for an answer without one.
    """
    text = answer.get("schema") if isinstance(answer, Mapping) else None
    if not isinstance(text, str):
        raise ValueError(f"the registry's answer has no schema: {str(answer)[:100]}")  # noqa: TRY004
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class _Unsafe(Exception):
    """Why a schema is not read."""


class _Shape(NamedTuple):
    """Of a type's values: whether one can take no bytes; parts of it that do; levels."""

    empty: bool
    nothing: int
    height: int


_PLAIN = _Shape(empty=False, nothing=0, height=1)
_NULL = _Shape(empty=True, nothing=1, height=1)


@dataclass
class _Walk:
    """Through a schema as fastavro parsed it, with names in full; each named type once."""

    root: Any
    named: Mapping[str, Any]
    shapes: dict[str, _Shape] = field(default_factory=dict)

    @classmethod
    def over(cls, writer: Any) -> "_Walk":
        named: dict[str, Any] = {}
        return cls(parse_schema(writer, named), named)

    def why(self, read_as: str | None) -> str | None:
        """What is wrong with it; None if nothing. Raises _Unsafe too."""
        self._shape(self.root, frozenset())
        if read_as is None:
            return None
        wanted = schemas.load(read_as)["fields"]
        ours = {each["name"]: _Walk({}, {}).logical_types(each["type"]) for each in wanted}
        for each in self.root["fields"]:
            if each["name"] in ours:
                others = self.logical_types(each["type"]) - ours[each["name"]] - HARMLESS
                if others:
                    is_time = any("time" in each or "date" in each for each in others)
                    what = "times in another unit" if is_time else "another kind of number"
                    return f"has {what} in {each['name']}: {min(others)}"
        return None

    def _shape(self, part: Any, inside: frozenset[str]) -> _Shape:
        shape = self._shape_of(part, inside)
        if shape.nothing > MAX_NOTHING:
            raise _Unsafe(f"has values of more than {MAX_NOTHING} parts that take no bytes")
        if shape.height > MAX_HEIGHT:
            raise _Unsafe(f"is more than {MAX_HEIGHT} levels deep")
        return shape

    def _shape_of(self, part: Any, inside: frozenset[str]) -> _Shape:
        if isinstance(part, list):
            return self._one_of(part, inside)
        if not isinstance(part, dict):
            return self._by_name(part, inside)
        if "fields" in part or "size" in part:
            return self._by_name(part["name"], inside)
        for below in ("items", "values"):
            if below in part:
                shape = self._shape(part[below], inside)
                if below == "items" and shape.empty:
                    raise _Unsafe("has a list of nothing")
                return _Shape(empty=False, nothing=0, height=shape.height + 1)
        return self._shape(part["type"], inside) if "symbols" not in part else _PLAIN

    def _one_of(self, branches: list[Any], inside: frozenset[str]) -> _Shape:
        shapes = [self._shape(each, inside) for each in branches]
        nothing = max((each.nothing for each in shapes), default=0)
        height = max((each.height for each in shapes), default=0)
        return _Shape(empty=False, nothing=nothing, height=height + 1)

    def _by_name(self, name: str, inside: frozenset[str]) -> _Shape:
        if name in inside:
            raise _Unsafe("contains itself")
        if name not in self.named:
            return _NULL if name == "null" else _PLAIN
        if name not in self.shapes:
            part = self.named[name]
            if "fields" in part:
                self.shapes[name] = self._record(part, inside | {name})
            else:
                self.shapes[name] = _NULL if part.get("size") == 0 else _PLAIN
        return self.shapes[name]

    def _record(self, part: Any, inside: frozenset[str]) -> _Shape:
        shapes = [self._shape(each["type"], inside) for each in part["fields"]]
        nothing = sum(each.nothing for each in shapes)
        return _Shape(
            empty=all(each.empty for each in shapes),
            nothing=nothing or (0 if shapes else 1),
            height=max((each.height for each in shapes), default=0) + 1,
        )

    def logical_types(self, part: Any) -> set[str]:
        """Those in a part, names followed."""
        found: set[str] = set()
        looked: set[str] = set()
        left = [part]
        while left:
            each = left.pop()
            if isinstance(each, list):
                left += each
            elif isinstance(each, dict):
                found |= {each["logicalType"]} if "logicalType" in each else set()
                left += [inner["type"] for inner in each.get("fields", ())]
                left += [each[name] for name in ("items", "values") if name in each]
            elif each in self.named and each not in looked:
                looked.add(each)
                left.append(self.named[each])
        return found

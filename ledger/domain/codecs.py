"""Encoders and decoders of hot records, generated from their schemas at import.

fastavro goes through a schema field by field, and through a dictionary of every record. A function
made here is the one that one would write by hand: straight lines, from and to our own classes, in
the order and with the types of the `.avsc`. A schema and a class that do not have the same fields
are a LedgerError at import.

A decoder reads what is usual and returns None for anything else, which fastavro reads or refuses.
Usual are texts of up to 8,191 bytes, numbers of up to 62 bits and a sign, up to 63 items of a list
or map, and times from 1978 to 3111. What a table alone keeps is no Avro, and packed beside the
table.
"""

import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from fastavro import parse_schema

from ledger.domain import avro
from ledger.errors import LedgerError

Through = Mapping[str, Callable[[Any], Any]]
"""By field: an encoder's or decoder's function between the class's value and the schema's."""
_UNUSUAL = 0x81
"""In a number's first byte: more bytes of it follow, or it is below zero."""
_LAST_BYTE, _TIME = 0x80808080_80808081, 0x00808080_80808080
"""Of eight bytes: where a number ends, and its sign; and of a time from 1978 to 3111."""


def encoder(
    schema: Mapping[str, Any], *classes: type, through: Through | None = None, more: str = ""
) -> Callable[..., bytes]:
    """The function `encode(record, head=b"")`: `head`, then the Avro binary of the record.

    `classes`: of the schema's records, in their order. `more`: a field that the class lacks, which
    is a third argument.
    """
    return _Encoder(schema, classes, through or {}, more).function()


def decoder(
    schema: Mapping[str, Any], *classes: type, through: Through | None = None
) -> Callable[[bytes, int], Any]:
    """The function `decode(value, at)`: the record in `value[at:]`, all of it, if it is usual.

    None where it is not: cut short, too long or no UTF-8 included. `classes`: of the schema's
    records, in their order, each a NamedTuple or a TypedDict.
    """
    return _Decoder(schema, classes, through or {}).function()


class _Function:
    """The source of a function of a schema, and the objects that it names."""

    def __init__(
        self, schema: Mapping[str, Any], classes: Sequence[type], through: Through, more: str = ""
    ) -> None:
        self.schema, self.classes, self.more = schema, list(classes), more
        self.names: dict[str, Any] = {f"through_{name}": each for name, each in through.items()}
        self.lines: list[str] = []
        self.depth, self.count = 1, 0

    def compiled(self, arguments: str) -> Callable[..., Any]:
        name = f"<{type(self).__name__} of {self.schema['name']}.avsc>"
        source = "\n".join([f"def made({arguments}):", *self.lines, ""])
        # A traceback shows the lines, as it does those of a file.
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), self.names)  # noqa: S102 - of our own schemas alone
        function: Callable[..., Any] = self.names["made"]
        return function

    def add(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    @contextmanager
    def under(self, line: str) -> Iterator[None]:
        self.add(line)
        self.depth += 1
        yield
        self.depth -= 1

    def new(self, value: object = None) -> str:
        """The name of a variable, or of `value`."""
        self.count += 1
        name = f"v{self.count}"
        if value is not None:
            self.names[name] = value
        return name

    def next_class(self, record: Mapping[str, Any]) -> tuple[type, list[str]]:
        """The class of a schema's record, and its fields. Raises LedgerError."""
        if not self.classes:
            raise self.unknown(f"record {record['name']}")
        made = self.classes.pop(0)
        has = [*getattr(made, "_fields", made.__annotations__)]
        given = [*has, self.more] if self.more and record is self.schema else has
        wanted = [each["name"] for each in record["fields"]]
        for these, others, whose in ((wanted, given, made.__name__), (given, wanted, "the schema")):
            if lacks := [name for name in these if name not in others]:
                raise LedgerError(
                    f"Record {record['name']} of schemas/{self.schema['name']}.avsc and class "
                    f"{made.__name__} have other fields: {whose} has no {', '.join(lacks)}. "
                    "Change the class with the schema, or take the change of the schema back."
                )
        return made, has

    def unknown(self, kind: object) -> LedgerError:
        return LedgerError(
            f"schemas/{self.schema['name']}.avsc has type {kind}, for which "
            "ledger/domain/codecs.py has no code or no class here. Add it, or encode and decode "
            "this record with ledger/domain/avro.py."
        )


class _Encoder(_Function):
    def function(self) -> Callable[..., Any]:
        self.names |= {name: getattr(avro, name) for name in ("ENDS", "MORE", "long", "remembered")}
        pieces = self._record(self.schema, "row")
        self.add(f"return b''.join((head, {', '.join(pieces)}))")
        return self.compiled(f"row, head=b''{self.more and f', {self.more}=None'}")

    def _record(self, record: Mapping[str, Any], row: str) -> list[str]:
        """The expressions that are joined; what they need before is added to the lines."""
        made, has = self.next_class(record)
        names = {name: self.new() for name in has}
        if issubclass(made, tuple):
            self.add(f"{', '.join(names.values())}, = {row}")
        else:
            self.add(*(f"{names[name]} = {row}.{name}" for name in has))
        pieces = []
        for each in record["fields"]:
            name = each["name"]
            value = names.get(name, name)
            if f"through_{name}" in self.names:
                value = f"through_{name}({value})"
            pieces += self._value(each["type"], value)
        return pieces

    def _value(self, kind: Any, value: str) -> list[str]:
        match kind:
            case "string":
                text = self.new()
                self.add(f"{text} = {value}.encode()")
                pieces = [_size(text), text]
            case "bytes":
                pieces = [_size(value), value]
            case "int" | "long":
                pieces = [f"ENDS[n] if 0 <= (n := {value} << 1) < MORE else long({value})"]
            case {"type": "long", "logicalType": "timestamp-micros"}:
                pieces = [f"remembered({value})"]
            case "boolean":
                pieces = [rf"b'\1' if {value} else b'\0'"]
            case ["null", some]:
                pieces = self._optional(some, value)
            case {"type": "array", "items": str()}:
                # Here fastavro is as fast: it goes through one schema, many times.
                write = self.new(partial(avro.encode_as, parse_schema(kind)))
                pieces = [rf"{write}({value}) if {value} else b'\0'"]
            case {"type": "array", "items": items}:
                pieces = self._array(items, value)
            case {"type": "record"}:
                pieces = self._record(kind, value)
            case _:
                raise self.unknown(kind)
        return pieces

    def _optional(self, some: Any, value: str) -> list[str]:
        piece = self.new()
        self.add(rf"{piece} = b'\0'")
        with self.under(f"if {value} is not None:"):
            self.add(rf"{piece} = b'\2' + ({') + ('.join(self._value(some, value))})")
        return [piece]

    def _array(self, items: Any, value: str) -> list[str]:
        made, item = self.new(), self.new()
        self.add(f"{made} = []")
        with self.under(f"for {item} in {value}:"):
            self.add(f"{made} += ({', '.join(self._value(items, item))},)")
        return [_size(value), f"*{made}", rf"b'\0' if {value} else b''"]


def _size(value: str) -> str:
    return f"ENDS[n] if (n := len({value}) << 1) < MORE else long(len({value}))"


class _Decoder(_Function):
    def function(self) -> Callable[..., Any]:
        self.names |= {"new": tuple.__new__, "of_bytes": int.from_bytes}
        self.add("eight = time = None", "try:")
        self.depth += 1
        row = self.new()
        self._value(self.schema, row)
        self.add(f"return {row} if at == len(value) else None")
        self.depth -= 1
        # No slice is too short unnoticed: the byte after it is looked at, or the length of all.
        self.add("except (IndexError, ValueError):", "    return None")
        return self.compiled("value, at")

    def _value(self, kind: Any, into: str) -> None:
        match kind:
            case "string":
                self._text(into)
            case "int" | "long":
                self._long(into)
            case "boolean":
                self.add(f"{into} = {self.new((False, True))}[value[at]]", "at += 1")
            case {"type": "enum", "symbols": symbols}:
                self._number()
                self.add(f"{into} = {self.new(tuple(symbols))}[n >> 1]")
            case ["null", some]:
                self.add("n = value[at]", "at += 1", f"{into} = None")
                with self.under("if n == 2:"):
                    self._value(some, into)
                self.add("elif n:", "    return None")
            case {"type": "array", "items": items}:
                self._array(items, into)
            case {"type": "map", "values": values}:
                self._map(values, into)
            case {"type": "record"}:
                self._record(kind, into)
            case {"type": "long", "logicalType": "timestamp-micros"}:
                self._time(into)
            case _:
                raise self.unknown(kind)

    def _record(self, record: Mapping[str, Any], into: str) -> None:
        made, has = self.next_class(record)
        names = {name: self.new() for name in has}
        for each in record["fields"]:
            name = each["name"]
            self._value(each["type"], names[name])
            if f"through_{name}" in self.names:
                self.add(f"{names[name]} = through_{name}({names[name]})")
        if issubclass(made, tuple):
            self.add(f"{into} = new({self.new(made)}, ({', '.join(names.values())},))")
        else:
            pairs = ", ".join(f"{name!r}: {variable}" for name, variable in names.items())
            self.add(f"{into} = {{{pairs}}}")

    def _array(self, items: Any, into: str) -> None:
        item = self.new()
        with self._each(f"{into} = []"):
            self._value(items, item)
            self.add(f"{into}.append({item})")

    def _map(self, values: Any, into: str) -> None:
        name, value = self.new(), self.new()
        with self._each(f"{into} = {{}}"):
            self._text(name)
            self._value(values, value)
            self.add(f"{into}[{name}] = {value}")

    @contextmanager
    def _each(self, begin: str) -> Iterator[None]:
        """Lines for each item of a block, which is to be the only one."""
        count = self.new()
        self._number()
        self.add(f"{count} = n >> 1", begin)
        with self.under(f"for _ in range({count}):"):
            yield
        with self.under(f"if {count}:"):
            self.add("if value[at]:", "    return None", "at += 1")

    def _long(self, into: str) -> None:
        self.add("n = value[at]", "at += 1")
        with self.under("if n & 0x80:"):
            self.add("n &= 0x7F", "shift = 7")
            with self.under("while value[at] & 0x80:"):
                self.add("n |= (value[at] & 0x7F) << shift", "at += 1", "shift += 7")
                self.add("if shift > 56:", "    return None")
            self.add("n |= value[at] << shift", "at += 1")
        self.add(f"{into} = ~(n >> 1) if n & 1 else n >> 1")

    def _number(self) -> None:
        self.add("n = value[at]", f"if n & {_UNUSUAL}:", "    return None", "at += 1")

    def _text(self, into: str) -> None:
        self.add(
            "n = value[at]",
            "at += 1",
            f"if n & {_UNUSUAL}:",
            "    if n & 1 or value[at] & 0x80:",
            "        return None",
            "    n = n & 0x7F | value[at] << 7",
            "    at += 1",
            "end = at + (n >> 1)",
            f"{into} = value[at:end].decode()",
            "at = end",
        )

    def _time(self, into: str) -> None:
        # A transaction often happened when it was created.
        with self.under("if value[at:at + 8] != eight:"):
            self.add(
                "eight = value[at:at + 8]",
                "n = of_bytes(eight, 'little')",
                f"if n & {_LAST_BYTE} != {_TIME}:",
                "    return None",
                # Seven bits of each byte: in pairs, then in fours, then all.
                "n = n & 0x7F007F007F007F | (n & 0x7F007F007F007F00) >> 1",
                "n = n & 0x3FFF00003FFF | (n & 0x3FFF00003FFF0000) >> 2",
                "time = (n & 0xFFFFFFF | (n & 0xFFFFFFF00000000) >> 4) >> 1",
            )
        self.add(f"{into} = time", "at += 8")

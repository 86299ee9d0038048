"""camt.053 (ISO 20022, bank to customer statement), versions 02 to 13, read as a stream.

Expat parses it; no tree is built, so memory does not grow with the file. The libraries that map the
message to objects build one of the whole file. A document type is refused: no message has one, and
without one there are no entities but XML's five. What is read of a statement is the table `WANTED`;
everything else is skipped.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.parsers import expat

from ledger.statements.camt_page import Fields, PageReader
from ledger.statements.model import Fault, Unproven
from ledger.statements.pages import Page
from ledger.statements.source import Limits, Source, chunks_of
from ledger.unfit import shown

NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(0[2-9]|1[0-3])")
MAX_DEPTH = 64
BETWEEN = " "
"""Between an element's namespace and its name, as expat joins them."""

Wanted = Mapping[str, Any]


def _party(name: str) -> Wanted:
    # Up to version 07 the party has the name, from 08 on a choice between them does.
    return {"Nm": name, "Pty": {"Nm": name}}


def _party_account(name: str) -> Wanted:
    return {"Id": {"IBAN": name, "Othr": {"Id": name}}}


def _day(name: str) -> Wanted:
    return {"Dt": name, "DtTm": name}


_ENTRY: Wanted = {
    "NtryRef": "ref",
    "Amt": "amount",
    "CdtDbtInd": "side",
    # Up to version 07 a text, from 08 on a code in it.
    "Sts": {"": "status", "Cd": "status"},
    "BookgDt": _day("booked"),
    "ValDt": _day("value"),
    "AcctSvcrRef": "bank_reference",
    "BkTxCd": {
        "Domn": {"Cd": "code", "Fmly": {"Cd": "code", "SubFmlyCd": "code"}},
        "Prtry": {"Cd": "own_code"},
    },
    "NtryDtls": {
        "Btch": {"PmtInfId": "ref"},
        "TxDtls": {
            "Refs": {
                "EndToEndId": "reference",
                **dict.fromkeys(
                    ("MsgId", "AcctSvcrRef", "PmtInfId", "InstrId", "UETR", "TxId", "MndtId",
                     "ChqNb", "ClrSysRef"),
                    "ref",
                ),
            },
            "RltdPties": {
                "Dbtr": _party("debtor"),
                "Cdtr": _party("creditor"),
                "DbtrAcct": _party_account("debtor_account"),
                "CdtrAcct": _party_account("creditor_account"),
            },
            "RmtInf": {"Ustrd": "text", "Strd": {"CdtrRefInf": {"Ref": "ref"}}},
            "AddtlTxInf": "more",
        },
    },
    "AddtlNtryInf": "more",
}  # fmt: skip
_BALANCE: Wanted = {
    "Tp": {"CdOrPrtry": {"Cd": "type"}},
    "Amt": "amount",
    "CdtDbtInd": "side",
    "Dt": _day("on"),
}
WANTED: Wanted = {
    "Document": {
        "BkToCstmrStmt": {
            "Stmt": {
                "Id": "id",
                "StmtPgntn": {"PgNb": "page", "LastPgInd": "last_page"},
                "ElctrncSeqNb": "number",
                "LglSeqNb": "legal_number",
                "Acct": {"Id": {"IBAN": "account", "Othr": {"Id": "account"}}, "Ccy": "currency"},
                "TxsSummry": {"TtlNtries": {"NbOfNtries": "count"}},
                "Bal": _BALANCE,
                "Ntry": _ENTRY,
            }
        }
    }
}
"""By element what is in it: more elements, or the name of the field that its text is."""


def pages_of(stream: Source, scales: Mapping[str, int], limits: Limits) -> Iterator[Page]:
    """The pages of the statements in a camt.053 file, each when it has been read.

    Raises Unproven for a file that cannot be read, or has something that is no statement's.
    """
    message = _Message(scales, limits)
    for chunk in chunks_of(stream, limits):
        message.feed(chunk)
        yield from message.taken()
    message.feed(b"", final=True)
    yield from message.taken()


class _Message:
    """What expat calls: it goes down `WANTED` with the elements, and keeps the texts of fields."""

    def __init__(self, scales: Mapping[str, int], limits: Limits) -> None:
        self._limits = limits
        self._parser = expat.ParserCreate(namespace_separator=BETWEEN)
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._above: list[Any] = []
        # What is wanted below the element where expat is: a dictionary, a field's name, or None.
        self._at: Any = None
        self._statement: Any = None
        self._entry: Any = None
        self._balance: Any = None
        self._parts: list[str] | None = None
        self._held = 0
        self._fields: Fields = {}
        self._page = PageReader(scales)
        self._pages: list[Page] = []
        self._count = 0

    def feed(self, chunk: bytes, *, final: bool = False) -> None:
        """Take a part of the file. Raises Unproven."""
        try:
            self._parser.Parse(chunk, final)
        except expat.ExpatError as error:
            why = expat.ErrorString(error.code)
            raise Unproven(
                Fault.UNREADABLE, f"The XML is malformed: {why}.", error.lineno
            ) from error
        except (LookupError, ValueError) as error:
            # Of an encoding that Python lacks, or that has more than a byte a character.
            raise Unproven(
                Fault.WRONG_ENCODING, f"The file's encoding cannot be read: {error}.", self._line
            ) from error

    def taken(self) -> list[Page]:
        """The pages that are complete, once."""
        found, self._pages = self._pages, []
        return found

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _refuse_doctype(self, *_: object) -> None:
        raise Unproven(
            Fault.DOCTYPE_FORBIDDEN,
            "The file has a document type, which no statement has and which could name other files "
            "or grow without end.", self._line,
        )  # fmt: skip

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self._above)
        if depth > MAX_DEPTH:
            raise Unproven(
                Fault.UNREADABLE, f"Elements are nested deeper than {MAX_DEPTH}.", self._line
            )
        above = self._at if depth else self._begin(name)
        self._above.append(above)
        # Of what is skipped everything is skipped.
        self._at = at = above.get(name) if above.__class__ is dict else None
        self._parts = None
        if at.__class__ is str:
            self._parts = []
            if attributes and at == "amount":
                self._fields.setdefault("currency", []).append(attributes.get("Ccy", ""))
        elif at is not None:
            self._go_into(at)

    def _go_into(self, at: Any) -> None:
        if "" in at:
            self._parts = []
        elif at is self._statement:
            self._page.begin(self._line)
            self._fields = self._page.fields
        elif at is self._entry or at is self._balance:
            self._fields, self._held = {}, 0

    def _begin(self, name: str) -> Wanted:
        """What is wanted of the message; the root's namespace names it and its version."""
        space, _, local = name.rpartition(BETWEEN)
        if not NAMESPACE.fullmatch(space) or local != "Document":
            raise Unproven(
                Fault.UNKNOWN_FORMAT,
                f"The XML is {shown(space or local)}, and no camt.053 of versions 02 to 13.",
                self._line,
            )
        wanted: Any = _in_namespace(WANTED, space)
        document = wanted[name]
        self._statement = next(iter(next(iter(document.values())).values()))
        self._entry = self._statement[f"{space}{BETWEEN}Ntry"]
        self._balance = self._statement[f"{space}{BETWEEN}Bal"]
        return {name: document}

    def _characters(self, text: str) -> None:
        if self._parts is None:
            return
        self._held += len(text)
        if self._held > self._limits.entry_bytes:
            raise Unproven(Fault.TOO_LARGE, "An entry has too much text.", self._line)
        self._parts.append(text)

    def _end(self, name: str) -> None:
        at = self._at
        self._at = self._above.pop()
        if self._parts is not None:
            text = "".join(self._parts).strip()
            self._parts = None
            if text:
                field = at if at.__class__ is str else at[""]
                self._fields.setdefault(field, []).append(text)
        elif at is None or at.__class__ is str:
            return
        elif at is self._entry:
            self._count += 1
            self._limits.require_lines(self._count, self._line)
            self._page.add_entry(self._fields, self._line)
            self._fields = self._page.fields
        elif at is self._balance:
            self._page.add_balance(self._fields, self._line)
            self._fields = self._page.fields
        elif at is self._statement:
            self._pages.append(self._page.page(self._line))


def _in_namespace(wanted: Wanted, space: str) -> Wanted:
    """With names as expat gives them; the key of an element's own text stays."""
    return {
        f"{space}{BETWEEN}{name}" if name else name: (
            inner if isinstance(inner, str) else _in_namespace(inner, space)
        )
        for name, inner in wanted.items()
    }

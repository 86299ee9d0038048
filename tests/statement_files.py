"""Files of banks, made by tests: camt.053 and MT940 of given entries, and what reads them."""

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from ledger.statements.formats import Found, Options, read_statements
from ledger.statements.model import Statement, Unproven

IBAN = "DE89370400440532013000"
SCALES = {"EUR": 2, "JPY": 0, "CAD": 2, "BTC": 8, "US0378331005": 4, "VFV": 6}
DAY = date(2026, 11, 27)
CLOSE = date(2026, 11, 30)


class Entry(NamedTuple):
    """An entry of a bank's file: minor units with a sign, and texts."""

    amount: int
    reference: str = ""
    text: str = ""
    booked: date = CLOSE


def decimal(amount: int, scale: int = 2) -> str:
    """Of an amount's size, as XML has it."""
    digits = str(abs(amount)).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits


def _side(amount: int) -> str:
    return "DBIT" if amount < 0 else "CRDT"


def camt_entry(entry: Entry, version: str, currency: str, scale: int) -> str:
    status = "<Sts><Cd>BOOK</Cd></Sts>" if version >= "08" else "<Sts>BOOK</Sts>"
    name = "<Pty><Nm>Ann</Nm></Pty>" if version >= "08" else "<Nm>Ann</Nm>"
    return f"""
 <Ntry><Amt Ccy="{currency}">{decimal(entry.amount, scale)}</Amt>
  <CdtDbtInd>{_side(entry.amount)}</CdtDbtInd>{status}
  <BookgDt><Dt>{entry.booked}</Dt></BookgDt><ValDt><DtTm>{entry.booked}T00:00:00+01:00</DtTm></ValDt>
  <AcctSvcrRef>bank-{entry.reference}</AcctSvcrRef>
  <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
  <NtryDtls><TxDtls><Refs><EndToEndId>{entry.reference}</EndToEndId><MndtId>m-1</MndtId></Refs>
   <RltdPties><Dbtr>{name}</Dbtr><DbtrAcct><Id><IBAN>GB33BUKB20201555555555</IBAN></Id></DbtrAcct>
   </RltdPties><RmtInf><Ustrd>{entry.text}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"""


def camt_balance(kind: str, amount: int, on: date, currency: str, scale: int) -> str:
    return f"""
 <Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>
  <Amt Ccy="{currency}">{decimal(amount, scale)}</Amt><CdtDbtInd>{_side(amount)}</CdtDbtInd>
  <Dt><Dt>{on}</Dt></Dt></Bal>"""


def camt_statement(
    entries: Iterable[Entry], *, opening: int = 0, closing: int | None = None, number: int = 1,
    version: str = "08", currency: str = "EUR", scale: int = 2, account: str = IBAN,
    kinds: tuple[str, str] = ("OPBD", "CLBD"), on: date = CLOSE, page: str = "", more: str = "",
) -> str:  # fmt: skip
    given = list(entries)
    end = opening + sum(each.amount for each in given) if closing is None else closing
    first = on - timedelta(days=3)
    return (
        f"<Stmt><Id>S-{number}</Id>{page}<ElctrncSeqNb>{number}</ElctrncSeqNb>"
        f"<CreDtTm>{on}T23:00:00</CreDtTm><Acct><Id><IBAN>{account}</IBAN></Id>"
        f"<Ccy>{currency}</Ccy></Acct>"
        + camt_balance(kinds[0], opening, first, currency, scale)
        + camt_balance(kinds[1], end, on, currency, scale)
        + more
        + "".join(camt_entry(each, version, currency, scale) for each in given)
        + "</Stmt>"
    )


def camt(*statements: str, version: str = "08", head: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}\n<Document '
        f'xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>m</MsgId></GrpHdr>{''.join(statements)}</BkToCstmrStmt></Document>"
    ).encode()


def swift_balance(tag: str, amount: int, on: date, currency: str = "EUR") -> str:
    side = "D" if amount < 0 else "C"
    return f":{tag}:{side}{on:%y%m%d}{currency}{decimal(amount).replace('.', ',')}"


def mt940(
    entries: Sequence[Entry], *, opening: int = 0, closing: int | None = None, number: str = "1/1",
    account: str = IBAN, on: date = CLOSE, tags: tuple[str, str] = ("60F", "62F"),
) -> str:  # fmt: skip
    end = opening + sum(each.amount for each in entries) if closing is None else closing
    lines = [":20:STARTUMS", f":25:{account}", f":28C:{number}",
             swift_balance(tags[0], opening, on - timedelta(days=3))]  # fmt: skip
    for each in entries:
        side = "D" if each.amount < 0 else "C"
        amount = decimal(each.amount).replace(".", ",")
        lines.append(
            f":61:{each.booked:%y%m%d%m%d}{side}{amount}NTRF{each.reference or 'NONREF'}//B{each.reference}"
        )
        lines.append(f":86:{each.text or 'text'}")
    return "\r\n".join([*lines, swift_balance(tags[1], end, on), "-", ""])


def read(content: bytes | str, **options: object) -> list[Statement]:
    """The statements of a file."""
    return [each.statement for each in found(content, **options)]


def found(content: bytes | str, **options: object) -> list[Found]:
    """The statements of a file with their lines. Raises Unproven."""
    data = content.encode() if isinstance(content, str) else content
    return read_statements(io.BytesIO(data), SCALES, Options(**options))[1]  # type: ignore[arg-type]


def refusal(content: bytes | str, **options: object) -> tuple[str, int, str]:
    """Code, line and sentence of the refusal of a file; the code is empty where there is none."""
    try:
        found(content, **options)
    except Unproven as error:
        return str(error.code), error.line, error.sentence
    return "", 0, ""


class Endless:
    """A stream of so many bytes, made as they are read; it knows how many were."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._left = parts, b""
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        while len(self._left) < size and (part := next(self._parts, b"")):
            self._left += part
        given, self._left = self._left[:size], self._left[size:]
        self.taken += len(given)
        return given

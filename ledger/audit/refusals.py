"""The decisions' refusals against those that history has, text by text."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledger.audit.chain import ChainedRun
from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.audit.judge import NOT_OURS
from ledger.audit.log_records import LogRecord
from ledger.domain.run import Refusal
from ledger.gl.history.books import History, HistoryRefusal
from ledger.gl.history.tables import refusals, schema_of
from ledger.gl.journal import JournalUnavailable
from ledger.gl.rows import RowKey

AT_ONCE = 1_000
"""Refusals that are looked up together, about; so many are kept in memory."""
_BETWEEN = (Party.DECISIONS, Party.HISTORY)
_LONGEST = {"transaction_id": 128, "code": 32, "field": 255, "reason": 4_000, "producer": 128}
"""Characters that history keeps of each text."""
_UNREAD = NOT_OURS | {"TOO_LARGE"}
"""Codes of records that can be readable by now, and could not be read when they were folded."""
_TABLE = f"{schema_of('public')}.{refusals.name}"


class _Expected(NamedTuple):
    """`producers`: those that history may have."""

    refusal: Refusal
    producers: Sequence[str]


class RefusalCheck:
    """One shard's refusals: call `begin`, `take` for each run, `finish`.

    Nothing is compared beyond where history was folded to at `begin`, nor where it was emptied
    since, nor where there is none. `largest`: bytes of a record that workers read.
    """

    def __init__(self, shard: int, history: History, largest: int, findings: Findings) -> None:
        self._shard, self._history, self._largest = shard, history, largest
        self._findings = findings
        self._expected: dict[int, _Expected] = {}
        self._start = self._end = self._folded = 0

    async def begin(self) -> None:
        """Look up how far the shard is folded."""
        try:
            known = await asyncio.to_thread(self._history.positions)
        except JournalUnavailable:
            # There is none: of a database that is away the journal's checks know.
            return
        mark = known.get(self._shard)
        self._folded = mark.end if mark else 0

    async def take(self, run: ChainedRun, records: Sequence[LogRecord]) -> None:
        """The run, and the records at its positions."""
        if run.head.end > self._folded:
            return
        self._end = run.head.end
        drafts = {each.offset: each for each in records} if run.refused else {}
        for refusal in run.refused:
            producers = self._producers(refusal, drafts.get(refusal.offset))
            self._expected[refusal.offset] = _Expected(refusal, producers)
        if len(self._expected) >= AT_ONCE:
            await self._compare()

    def _producers(self, refusal: Refusal, record: LogRecord | None) -> list[str]:
        draft = record.draft if record else None
        if not isinstance(draft, dict):
            return [""]
        producer = _kept("producer", str(draft["metadata"].get("producer", "")))
        is_long = len(refusal.value or b"") > self._largest
        return [producer, ""] if is_long or refusal.code in _UNREAD else [producer]

    async def finish(self) -> None:
        """The shard has no more runs."""
        if self._end > self._start:
            await self._compare()

    async def _compare(self) -> None:
        start, end, expected = self._start, self._end, self._expected
        self._start, self._expected = end, {}
        page = await asyncio.to_thread(self._history.refusals_between, self._shard, start, end)
        mark = page.positions.get(self._shard)
        if mark is None or mark.end < end:
            # It was emptied, and is being folded again.
            self._folded = 0
            return
        found = {each.offset: each for each in page.refusals}
        for offset in sorted(expected.keys() | found.keys()):
            self._compare_one(offset, expected.get(offset), found.get(offset))

    def _compare_one(
        self, offset: int, wanted: _Expected | None, found: HistoryRefusal | None
    ) -> None:
        if wanted is None:
            what = f"The decisions refuse nothing at offset {offset}, and history has a refusal"
            self._add(BreakKind.EXTRA, offset, what, None, found and found._asdict())
        elif found is None:
            what = f"Offset {offset} was refused ({wanted.refusal.code}), and history does not"
            self._add(BreakKind.MISSING, offset, f"{what} have it", _texts(wanted), None)
        else:
            ours, theirs = _texts(wanted), {name: getattr(found, name) for name in _texts(wanted)}
            if theirs["producer"] in wanted.producers:
                ours["producer"] = theirs["producer"]
            if names := [name for name in ours if ours[name] != theirs[name]]:
                what = f"Offset {offset} was refused with another {', '.join(names)} than history"
                self._add(BreakKind.DIFFERS, offset, f"{what} has", *(
                    {name: side[name] for name in names} for side in (ours, theirs)
                ))  # fmt: skip

    def _add(
        self,
        kind: BreakKind,
        offset: int,
        what: str,
        stream: Mapping[str, Any] | None,
        ledger: Mapping[str, Any] | None,
    ) -> None:
        sentence = f"{what}: fold it again with faust-ledger rebuild history."
        row = RowKey.of(_TABLE, shard=self._shard, log_offset=offset)
        self._findings.add(
            Break(kind, _BETWEEN, self._shard, sentence, (), stream, ledger, row=row)
        )


def _texts(wanted: _Expected) -> dict[str, Any]:
    """The refusal as history is to have it."""
    refusal = wanted.refusal
    texts = {
        name: _kept(name, getattr(refusal, name))
        for name in ("transaction_id", "code", "field", "reason")
    }
    return {"recorded_at": refusal.recorded_at, **texts, "producer": wanted.producers[0]}


def _kept(name: str, text: str | None) -> str:
    """As much of a text as history keeps, and in place of a NUL what a database can keep."""
    part = (text or "")[: _LONGEST[name]].replace("\0", "\ufffd")
    return part.encode("utf-8", "replace").decode()

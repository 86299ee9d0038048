"""What producers' records cost at the registry: any four bytes may be called a schema."""

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest

import schemas
from ledger.domain.refusal import Reason, Refused
from ledger.errors import Unavailable
from ledger.settings import Settings
from ledger.streaming.registry import Registry
from ledger.streaming.transactions import QUESTIONS, Subject, TransactionReader
from tests.builders import draft, wire
from tests.integration.bad_input import VERSIONS, encode_as

OURS, NEWER, ELSEWHERE = 4, 9, 70
SUBJECT = "ledger.transactions-value"


class Answers:
    """Answers as the registry does, and counts what it was asked."""

    def __init__(self) -> None:
        self.versions = {1: (OURS, schemas.load("Transaction"))}
        self.asked: Counter[str] = Counter()
        self.away = False
        self.entered = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/")
        self.asked[path] += 1
        if self.away:
            return httpx.Response(503)
        if path == f"subjects/{SUBJECT}/versions":
            found: Any = list(self.versions)
            self.entered.set()
            await self.let_go.wait()
        elif path.startswith("subjects"):
            schema_id, schema = self.versions[int(path.rpartition("/")[2])]
            found = {"id": schema_id, "schema": json.dumps(schema)}
        else:
            known = {ELSEWHERE: '"string"'}
            found = known.get(int(path.rpartition("/")[2]))
            found = found and {"schema": found}
        return httpx.Response(404 if found is None else 200, json=found)

    def of(self, what: str) -> int:
        return sum(count for path, count in self.asked.items() if path.startswith(what))


def reader_of(registry: Answers) -> TransactionReader:
    transport = httpx.MockTransport(registry.answer)
    client = Registry(Settings())
    client._client = httpx.AsyncClient(transport=transport, base_url="http://registry")
    return TransactionReader(Subject(client, SUBJECT), 262_144)


def framed(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + b"\x02a"


def reason_of(reader: TransactionReader, value: bytes) -> Reason:
    refused = reader.decode(value)
    assert isinstance(refused, Refused), refused
    return refused.reason


def test_ids_that_nobody_knows_cost_a_look_and_a_few_questions() -> None:
    """However many there are, in however many runs."""
    registry = Answers()

    async def flood() -> TransactionReader:
        reader = reader_of(registry)
        for run in range(5):
            values = [framed(1_000_000 * (run + 1) + each) for each in range(5_000)]
            await reader.prepare([*values, wire(draft(), OURS)])
            assert {reason_of(reader, value) for value in values} == {Reason.UNKNOWN_SCHEMA}
            assert reader.decode(wire(draft(), OURS)) == draft()
        return reader

    reader = asyncio.run(flood())
    assert registry.of("subjects") == 6, "five looks at the versions, and the one that there is"
    assert QUESTIONS <= registry.of("schemas") < 2 * QUESTIONS
    assert len(reader.subject.known) == 1, "nothing is kept of what nobody knows"


def test_a_known_schema_is_asked_about_once() -> None:
    registry = Answers()

    async def twice() -> None:
        reader = reader_of(registry)
        for _ in range(2):
            await reader.prepare([wire(draft(), OURS), b"garbage", None])
        assert reader.decode(wire(draft(), OURS)) == draft()

    asyncio.run(twice())
    assert registry.of("") == 2


def test_what_is_registered_elsewhere_is_foreign_until_it_is_ours() -> None:
    registry = Answers()

    async def tell() -> list[Any]:
        reader = reader_of(registry)
        found = []
        for _ in range(2):
            await reader.prepare([framed(ELSEWHERE)])
            found.append(reason_of(reader, framed(ELSEWHERE)))
        registry.versions[2] = (ELSEWHERE, schemas.load("Transaction"))
        await reader.prepare([framed(ELSEWHERE)])
        return [*found, reader.decode(wire(draft(), ELSEWHERE))]

    foreign, again, ours = asyncio.run(tell())
    assert foreign is again is Reason.FOREIGN_SCHEMA
    assert ours == draft()
    assert registry.asked[f"schemas/ids/{ELSEWHERE}"] == 1


def test_a_version_registered_just_before_its_first_record_is_known() -> None:
    """A look that began before it was there does not answer for that record."""
    registry = Answers()

    async def race() -> Any:
        reader = reader_of(registry)
        registry.let_go.clear()
        early = asyncio.create_task(reader.prepare([framed(OURS)]))
        await registry.entered.wait()
        registry.versions[2] = (NEWER, schemas.load("Transaction"))
        late = [asyncio.create_task(reader.prepare([framed(NEWER)])) for _ in range(8)]
        await asyncio.sleep(0)
        registry.let_go.set()
        await asyncio.gather(early, *late)
        return reader.decode(wire(draft(), NEWER))

    assert asyncio.run(race()) == draft()
    assert registry.asked[f"subjects/{SUBJECT}/versions"] == 2, "one look for all that waited"


def test_a_registry_that_is_away_is_no_answer() -> None:
    registry = Answers()

    async def ask() -> Any:
        reader = reader_of(registry)
        registry.away = True
        with pytest.raises(Unavailable):
            await reader.prepare([framed(OURS)])
        registry.away = False
        await reader.prepare([framed(OURS)])
        return reader.decode(wire(draft(), OURS))

    assert asyncio.run(ask()) == draft()


def test_a_first_record_needs_no_registry_once_the_versions_were_looked_up() -> None:
    registry = Answers()
    newer = VERSIONS["newer"]
    registry.versions[2] = (NEWER, newer)

    async def read() -> list[Any]:
        reader = reader_of(registry)
        await reader.learn()
        registry.away = True
        values = [wire(draft(), OURS), encode_as(newer, {**draft(), "channel": "x"}, NEWER)]
        await reader.prepare(values)
        return [reader.decode(value) for value in values]

    assert asyncio.run(read()) == [draft()] * 2


def test_this_versions_own_schema_needs_no_registry_at_all() -> None:
    async def read() -> Any:
        reader = TransactionReader.of(Settings(registry_url="http://127.0.0.1:1"), OURS)
        await reader.prepare([wire(draft(), OURS)])
        return reader.decode(wire(draft(), OURS))

    assert asyncio.run(read()) == draft()


def test_an_unfit_version_of_ours_is_not_looked_up_again() -> None:
    registry = Answers()
    ours = schemas.load("Transaction")
    millis = {"type": "long", "logicalType": "timestamp-millis"}
    fields = [
        each | {"type": millis} if each["name"] == "created_at" else each for each in ours["fields"]
    ]
    registry.versions[2] = (NEWER, ours | {"fields": fields})

    async def thrice() -> Reason:
        reader = reader_of(registry)
        for _ in range(3):
            await reader.prepare([framed(NEWER)])
        return reason_of(reader, framed(NEWER))

    assert asyncio.run(thrice()) is Reason.FOREIGN_SCHEMA
    assert registry.of("") == 3


def test_a_record_cut_within_what_is_not_read_is_unreadable() -> None:
    """A producer that is ahead of this service writes a field that is skipped here."""
    registry = Answers()
    newer = VERSIONS["newer"]
    registry.versions[2] = (NEWER, newer)
    whole = encode_as(newer, {**draft(), "channel": "x" * 30}, NEWER)

    async def read() -> TransactionReader:
        reader = reader_of(registry)
        await reader.prepare([whole])
        return reader

    reader = asyncio.run(read())
    assert reader.decode(whole) == draft()
    for end in range(1, 40):
        assert reason_of(reader, whole[:-end]) is Reason.UNREADABLE
    assert reason_of(reader, whole + b"\0") is Reason.UNREADABLE

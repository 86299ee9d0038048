"""The registry's client, and the codec of our own records, whatever version wrote them."""

import asyncio
import io
import json
from typing import Any

import fastavro
import httpx
import pytest

import schemas
from ledger.domain import avro
from ledger.domain.run import Content, Decision
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming.registry import HEADER, Codec, Registry
from tests.builders import run_of

OURS = {"schema": json.dumps(schemas.load("Progress"))}
PROGRESS = {
    "shard": 3, "end": 9, "decisions_offset": 4, "digest": bytes(32), "recorded_until": 5,
    "open_breaks": 0,
}  # fmt: skip


class Answers:
    """A registry that answers from `known`, by method and path, and notes what it was asked."""

    def __init__(self, known: dict[str, tuple[int, Any]]) -> None:
        self.known, self.asked = known, list[str]()
        self.registry = Registry(Settings(prefix="p"))
        transport = httpx.MockTransport(self.answer)
        self.registry._blocking = httpx.Client(transport=transport, base_url="http://registry")
        self.registry._client = httpx.AsyncClient(
            transport=httpx.MockTransport(self.answer_later), base_url="http://registry"
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        asked = f"{request.method} {request.url.path.lstrip('/')}"
        self.asked.append(asked)
        status, body = self.known.get(asked, (404, {"error_code": 40403}))
        if isinstance(body, str):
            return httpx.Response(status, text=body)
        return httpx.Response(status, json=body)

    async def answer_later(self, request: httpx.Request) -> httpx.Response:
        return self.answer(request)


def test_a_codec_reads_what_another_version_wrote() -> None:
    """An id that is not this version's is looked up once, whoever asks first."""
    asked = Answers({"GET schemas/ids/1": (200, OURS)})
    value = Codec({"Progress": 1}).encode("Progress", PROGRESS)
    newer = Codec({"Progress": 2}, asked.registry.writer)
    assert newer.decode("Progress", value) == newer.decode("Progress", value) == PROGRESS
    asyncio.run(asked.registry.learn(1))
    assert asked.asked == ["GET schemas/ids/1"]
    with pytest.raises(ValueError, match="not this version's"):
        Codec({"Progress": 2}).decode("Progress", value)


def test_what_is_learnt_is_not_asked_for_again() -> None:
    asked = Answers({"GET schemas/ids/1": (200, OURS)})
    asyncio.run(asked.registry.learn(1))
    value = Codec({"Progress": 1}).encode("Progress", PROGRESS)
    assert Codec({"Progress": 2}, asked.registry.writer).decode("Progress", value) == PROGRESS
    assert asked.asked == ["GET schemas/ids/1"]


def test_a_schema_that_nobody_knows_is_no_answer_for_ever() -> None:
    """It may be registered yet."""
    asked = Answers({})
    for _ in range(2):
        with pytest.raises(ValueError, match="knows no schema 7"):
            asked.registry.writer(7)
        with pytest.raises(ValueError, match="knows no schema 7"):
            asyncio.run(asked.registry.learn(7))
    assert len(asked.asked) == 4


class TwoAddresses:
    """A client of two registries of which some are away; `asked` has the hosts in their order."""

    def __init__(self, away: dict[str, int | None]) -> None:
        """`away`: by host its status, or None for a connection that is refused."""
        self.away, self.asked = away, list[str]()
        self.registry = Registry(Settings(registry_url="http://one:1/v7, http://two:2/v7"))
        transport = httpx.MockTransport(self.answer)
        self.registry._blocking = httpx.Client(transport=transport)
        self.registry._client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer_later))

    def answer(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        assert request.url.path == "/v7/schemas/ids/1"
        self.asked.append(host)
        status = self.away.get(host, 200)
        if status is None:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(status, json=OURS)

    async def answer_later(self, request: httpx.Request) -> httpx.Response:
        return self.answer(request)


@pytest.mark.parametrize("status", [None, 503])
def test_a_registry_that_is_away_makes_room_for_the_next(status: int | None) -> None:
    asked = TwoAddresses({"one": status})
    assert asyncio.run(asked.registry.get("schemas/ids/1")) == OURS
    assert asked.registry.writer(1)
    assert asked.asked == ["one", "two", "two"], "the one that answered is asked first"
    asked.away = {"two": status}
    assert asyncio.run(asked.registry.get("schemas/ids/1")) == OURS
    assert asked.asked[3:] == ["two", "one"]


def test_two_registries_that_are_away_are_waited_for() -> None:
    asked = TwoAddresses({"one": None, "two": 503})
    with pytest.raises(Unavailable, match="http://one:1/v7"):
        asyncio.run(asked.registry.get("schemas/ids/1"))
    with pytest.raises(Unavailable, match="does not answer"):
        asked.registry.writer(1)
    assert asked.asked == ["one", "two", "two", "one"]


def test_an_answer_is_not_asked_for_elsewhere() -> None:
    asked = TwoAddresses({"one": 404})
    with pytest.raises(ValueError, match="knows no schema 1"):
        asked.registry.writer(1)
    assert asked.asked == ["one"]


@pytest.mark.parametrize("answer", [(503, {}), (200, "<html>away</html>"), (401, {})])
def test_a_registry_that_does_not_answer_is_waited_for(answer: tuple[int, Any]) -> None:
    asked = Answers({"GET schemas/ids/1": answer})
    with pytest.raises(Unavailable, match="does not answer"):
        asked.registry.writer(1)
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(asked.registry.get("schemas/ids/1"))


def answers_for(topic: str, **known: tuple[int, Any]) -> Answers:
    subject = f"p.{topic}-value"
    paths = {
        "look": f"POST subjects/{subject}",
        "level": f"PUT config/{subject}",
        "register": f"POST subjects/{subject}/versions",
    }
    return Answers({paths[each]: answer for each, answer in known.items()})


def test_an_id_that_is_there_is_only_looked_up() -> None:
    asked = answers_for("progress", look=(200, {"id": 5}))
    assert asked.registry.ids(["Progress"]) == {"Progress": 5}
    assert asked.registry._register("p.progress-value", "Progress") == 5
    assert asked.asked == ["POST subjects/p.progress-value"] * 2


def test_a_schema_that_is_not_registered_says_what_to_do() -> None:
    with pytest.raises(
        LedgerError, match=r"not registered under p\.progress-value .*`faust-ledger up`"
    ):
        Answers({}).registry.ids(["Progress"])


def test_registering_sets_the_level_first() -> None:
    asked = answers_for(
        "progress", level=(200, {"compatibility": "FULL_TRANSITIVE"}),
        register=(200, {"id": 8}),
    )  # fmt: skip
    assert asked.registry._register("p.progress-value", "Progress") == 8
    assert asked.asked == [
        "POST subjects/p.progress-value", "PUT config/p.progress-value",
        "POST subjects/p.progress-value/versions",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ((409, {"message": "field end is gone"}), "refuses schema Progress .*gone.*compatible way"),
        ((403, "no"), "refuses schema Progress under p.progress-value: 403 .*security.md"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(answer: tuple[int, Any], match: str) -> None:
    asked = answers_for("progress", level=(200, {}), register=answer)
    with pytest.raises(LedgerError, match=match):
        asked.registry._register("p.progress-value", "Progress")


def test_a_decision_of_a_version_before_has_no_digest_of_its_reference_data() -> None:
    """Bytes, as everywhere: the chain is made of them."""
    schema = schemas.load("Decision")
    before = {**schema, "fields": [f for f in schema["fields"] if f["name"] != "reference_digest"]}
    writer = fastavro.parse_schema(avro.without_logical_types(before))
    decision = run_of(Content())
    row = {name: value for name, value in decision.row().items() if name != "reference_digest"}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, writer, row)
    codec = Codec({"Decision": 2}, lambda schema_id: writer)
    read = Decision(**codec.decode("Decision", HEADER.pack(0, 1) + out.getvalue()))
    assert read == decision
    assert read.digest == decision.digest

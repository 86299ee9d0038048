"""The reference data kept in a file and written back into a topic that was made anew."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from ledger.client import reference_copy
from ledger.client.copy_file import CopiedRecord, read_copy
from ledger.domain.reference import Asset
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming import topics
from ledger.streaming.founding import found
from ledger.streaming.reference import key_and_row
from ledger.streaming.registry import codec_of
from ledger.streaming.topic_look import TopicAdmin
from tests.conftest import Finished
from tests.integration.elsewhere import admin_does, log_does
from tests.waiting import until


@pytest.fixture
def elsewhere(elsewhere: Settings) -> Settings:
    """With its policy."""
    log_does(elsewhere, lambda log: found(elsewhere, log, codec_of(elsewhere), {}))
    return elsewhere


def name_of(settings: Settings) -> str:
    return topics.topics(settings).reference.name


def lose(settings: Settings) -> None:
    """The topic is deleted, and made anew, empty."""
    name = name_of(settings)
    admin_does(settings, lambda admin: admin.delete_topics([name]))

    async def there() -> bool:
        async with TopicAdmin(settings) as broker:
            return name in (await broker.partitions([name]))[0]

    until(lambda: not asyncio.run(there()), "it is gone")
    asyncio.run(topics.bring_about(settings))


def append(settings: Settings, *codes: str) -> int:
    """Assets registered, as an import does; the offset of the first one."""
    codec = codec_of(settings)
    rows = [key_and_row(Asset(code, 8)) for code in codes]
    records = [(key, codec.encode("Reference", row)) for key, row in rows]
    return log_does(settings, lambda log: log.append(name_of(settings), 0, records))


def write_in_a_transaction(settings: Settings, *, aborted: bool = False) -> None:
    """One record, and the mark of its end."""

    async def scenario() -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers, transactional_id=settings.prefix
        ) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(name_of(settings), b"v", b"k", partition=0)
            await (producer.abort_transaction() if aborted else producer.commit_transaction())

    asyncio.run(scenario())


def kept_now(settings: Settings, tmp_path: Path) -> list[CopiedRecord]:
    """What the topic has now, with offsets and times."""
    file = tmp_path / "looked.jsonl"
    file.unlink(missing_ok=True)
    asyncio.run(reference_copy.save_copy(settings, file))
    return read_copy(file, name_of(settings))


def test_what_was_lost_is_written_back_to_the_byte(
    elsewhere: Settings, tmp_path: Path, cli: Callable[..., Finished]
) -> None:
    append(elsewhere, *(f"KEPT{number}" for number in range(9_000)))
    file = tmp_path / "copy.jsonl"
    place = {
        "FAUST_LEDGER_DATA_DIR": str(tmp_path),
        "FAUST_LEDGER_PREFIX": elsewhere.prefix,
        "FAUST_LEDGER_BOOTSTRAP_SERVERS": elsewhere.bootstrap_servers,
        "FAUST_LEDGER_REGISTRY_URL": elsewhere.registry_url,
    }
    saved = cli("reference", "save", file, "--json", **place).json
    before = read_copy(file, name_of(elsewhere))
    assert saved["records"] == len(before) > 9_000
    assert saved["hole"] is None
    lose(elsewhere)
    done = cli("reference", "restore", file, "--json", **place).json
    assert done == {
        "records": len(before), "written": len(before), "digest": saved["digest"], "shards": 0,
    }  # fmt: skip
    assert kept_now(elsewhere, tmp_path) == before
    again = cli("reference", "restore", file, "--json", **place).json
    assert again == done | {"written": 0}


def test_what_was_interrupted_goes_on(elsewhere: Settings, tmp_path: Path) -> None:
    append(elsewhere, "KEPT")
    file = tmp_path / "copy.jsonl"
    asyncio.run(reference_copy.save_copy(elsewhere, file))
    before = read_copy(file, name_of(elsewhere))
    lose(elsewhere)
    asyncio.run(reference_copy._append(elsewhere, name_of(elsewhere), before[:7]))
    done = asyncio.run(reference_copy.restore_copy(elsewhere, file))
    assert (done.records, done.written) == (len(before), len(before) - 7)
    assert kept_now(elsewhere, tmp_path) == before


def test_a_topic_with_other_records_is_left_alone(elsewhere: Settings, tmp_path: Path) -> None:
    """A topic made anew keeps no good copy from being there, and takes none."""
    file = tmp_path / "copy.jsonl"
    asyncio.run(reference_copy.save_copy(elsewhere, file))
    good = file.read_bytes()
    lose(elsewhere)
    with pytest.raises(LedgerError, match="has no records, so there is nothing to copy"):
        asyncio.run(reference_copy.save_copy(elsewhere, file))
    append(elsewhere, "OTHER")
    with pytest.raises(LedgerError, match="the topic was recreated"):
        asyncio.run(reference_copy.save_copy(elsewhere, file))
    assert file.read_bytes() == good
    with pytest.raises(LedgerError, match=r"is not empty: it goes up to 1, with 1 records that"):
        asyncio.run(reference_copy.restore_copy(elsewhere, file))
    assert [each.offset for each in kept_now(elsewhere, tmp_path)] == [0]


def test_a_copy_with_a_hole_says_that_it_cannot_be_restored(
    elsewhere: Settings, tmp_path: Path, cli: Callable[..., Finished]
) -> None:
    """What somebody wrote in a transaction of Kafka's has a mark after it."""

    hole = append(elsewhere, "KEPT") + 2
    write_in_a_transaction(elsewhere)
    append(elsewhere, "AFTER")
    file = tmp_path / "copy.jsonl"
    place = {"FAUST_LEDGER_DATA_DIR": str(tmp_path), "FAUST_LEDGER_PREFIX": elsewhere.prefix,
             "FAUST_LEDGER_BOOTSTRAP_SERVERS": elsewhere.bootstrap_servers,
             "FAUST_LEDGER_REGISTRY_URL": elsewhere.registry_url}  # fmt: skip
    said = cli("reference", "save", file, "--json", code=1, **place)
    assert json.loads(said.out)["hole"] == hole
    assert f"No record has offset {hole}" in said.err
    lose(elsewhere)
    with pytest.raises(LedgerError, match=rf"no record at offset {hole}.*without gaps"):
        asyncio.run(reference_copy.restore_copy(elsewhere, file))
    asyncio.run(topics.bring_about(elsewhere))
    assert log_does(elsewhere, lambda log: log.bounds(name_of(elsewhere), 0)) == (0, 0)


def test_offsets_that_are_taken_and_show_no_record_are_seen(
    elsewhere: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "copy.jsonl"
    asyncio.run(reference_copy.save_copy(elsewhere, file))
    lose(elsewhere)
    write_in_a_transaction(elsewhere, aborted=True)
    with pytest.raises(LedgerError, match=r"is not empty: it goes up to 2, with 0 records that"):
        asyncio.run(reference_copy.restore_copy(elsewhere, file))

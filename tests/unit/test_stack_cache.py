"""The cache: whole or not there, and no network when it is whole."""

from pathlib import Path

import pytest

from ledger.stack import cache
from ledger.stack.files import PARTIAL

DEAD = "http://127.0.0.1:1"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A cache in which both programs are one small file each."""
    for name in cache.PROGRAMS:
        file = tmp_path / name / "program.jar"
        file.parent.mkdir()
        file.write_text(name)
        cache.write_manifest(tmp_path, name, [file])
    return tmp_path


def test_a_whole_cache_needs_no_network(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", DEAD)
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    cache.provide(whole)
    assert not (whole / ".lock").exists()


def test_the_class_path_keeps_its_order(whole: Path) -> None:
    (kafka, _) = cache.PROGRAMS
    jars = [whole / "b.jar", whole / "a.jar"]
    for jar in jars:
        jar.write_text("x")
    cache.write_manifest(whole, kafka, jars)
    assert cache.kafka_jars(whole) == jars


@pytest.mark.parametrize("harm", ["remove", "shorten"])
def test_a_missing_or_short_file_is_noticed(whole: Path, harm: str) -> None:
    name = cache.PROGRAMS[0]
    file = whole / name / "program.jar"
    if harm == "remove":
        file.unlink()
    else:
        file.write_text("x")
    assert not cache.is_whole(whole, name)
    assert cache.damaged(whole, name, digests=False) == [f"{name}/program.jar"]


def test_a_changed_file_of_the_same_size_is_found_by_its_digest(whole: Path) -> None:
    name = cache.PROGRAMS[0]
    file = whole / name / "program.jar"
    file.write_text("x" * len(file.read_text()))
    assert cache.is_whole(whole, name)
    assert cache.damaged(whole, name, digests=True) == [f"{name}/program.jar"]


@pytest.mark.parametrize("text", ["", "[{", '{"a": 1}', "[1]"])
def test_an_unreadable_manifest_is_no_manifest(whole: Path, text: str) -> None:
    (whole / f"{cache.PROGRAMS[0]}.json").write_text(text)
    assert not cache.is_whole(whole, cache.PROGRAMS[0])


def test_leftovers_of_broken_downloads_are_removed(whole: Path) -> None:
    (whole / f".registry.1{PARTIAL}").mkdir()
    (whole / cache.PROGRAMS[0] / f".program.jar.1.2{PARTIAL}").write_text("half")
    cache.remove_leftovers(whole)
    assert not list(whole.rglob(f"*{PARTIAL}"))
    assert all(cache.is_whole(whole, name) for name in cache.PROGRAMS)


def test_the_environment_may_name_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAUST_LEDGER_CACHE_DIR", str(tmp_path))
    assert cache.cache_dir() == tmp_path

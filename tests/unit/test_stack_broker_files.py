"""What a broker is told, as Java reads it."""

from pathlib import Path

from ledger.stack.broker_files import escaped


def test_a_path_is_read_again_as_it_was() -> None:
    assert escaped(Path("/données/\N{BOOKS}/a\\b")) == r"/donn\u00e9es/\ud83d\udcda/a\\b"

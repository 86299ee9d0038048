"""The bytes of a file, taken in parts and up to a limit; and the limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ledger.statements.model import Fault, Unproven

CHUNK_BYTES = 256 * 1024
MIB = 1024 * 1024


class Source(Protocol):
    """What a file is read from; `sys.stdin.buffer` is one."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to so many bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may have at most, so that memory is bounded.

    `entry_bytes`: of one entry with all that is in it, or one field.
    """

    file_bytes: int = 512 * MIB
    lines: int = 500_000
    entry_bytes: int = 16 * MIB

    def require_lines(self, count: int, line: int = 0) -> None:
        """Raises Unproven for more lines than a file may have."""
        if count > self.lines:
            raise Unproven(
                Fault.TOO_LARGE,
                f"The file has more than {self.lines:,} lines. Ask the bank for shorter periods.",
                line,
            )


def chunks_of(stream: Source, limits: Limits) -> Iterator[bytes]:
    """The parts of `stream` as they are read. Raises Unproven past the limit."""
    taken = 0
    while chunk := stream.read(CHUNK_BYTES):
        taken += len(chunk)
        if taken > limits.file_bytes:
            raise Unproven(
                Fault.TOO_LARGE,
                f"The file has more than {limits.file_bytes // MIB} MiB. Ask the bank for shorter "
                "periods.",
            )
        yield chunk

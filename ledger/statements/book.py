"""All statements that count: a fold of their topic's records in order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.statements.proof import Place, broken_link
from ledger.statements.records import Head, Link, SavedMapping, head_in

LINES = b"lines:"
"""What the keys of lines begin with; they are not decoded until somebody wants them."""


@dataclass(slots=True)
class Book:
    """`heads`: by id what has counted, the newest last. `parts`: by digest and part the offset."""

    links: dict[str, Link] = field(default_factory=dict)
    mappings: dict[str, list[SavedMapping]] = field(default_factory=dict)
    heads: dict[str, list[Head]] = field(default_factory=dict)
    parts: dict[str, dict[int, int]] = field(default_factory=dict)

    def note_lines(self, key: bytes, offset: int) -> None:
        """A record of lines is at `offset`. Raises ValueError for a key that is not one's."""
        _, digest, part = key.decode().split(":")
        self.parts.setdefault(digest, {}).setdefault(int(part), offset)

    def take(self, row: Mapping[str, Any], at: int) -> None:
        """Take a row other than of lines. Raises ValueError for one that does not count."""
        if row["statement"] is not None:
            self._take_head(head_in(row, at))
        elif row["account"] is not None:
            self.links[row["id"]] = Link(row["account"]["account"], row["account"]["timezone"])
        elif row["mapping"] is not None:
            self._take_mapping(SavedMapping(row["id"], **row["mapping"]))
        else:
            raise ValueError("it has nothing that is known")

    def _take_head(self, head: Head) -> None:
        counted = self.heads.setdefault(head.statement.id, [])
        present = counted[-1].digest if counted else b""
        if head.digest == present:
            # Imported twice at once, or again where the answer was lost.
            return
        if head.supersedes != present:
            raise ValueError("another import of this statement came before it")
        if self.parts_of(head) is None:
            raise ValueError("not all of its lines are before it")
        counted.append(head)

    def _take_mapping(self, saved: SavedMapping) -> None:
        versions = self.mappings.setdefault(saved.name, [])
        if saved.version != len(versions) + 1:
            raise ValueError("another change of this mapping came before it")
        versions.append(saved)

    def parts_of(self, head: Head) -> list[int] | None:
        """The offsets of its lines; None if some are missing."""
        found = self.parts.get(head.digest.hex(), {})
        wanted = range(head.parts)
        return [found[part] for part in wanted] if all(each in found for each in wanted) else None

    def present(self, id_: str) -> Head | None:
        """The statement of this id that counts."""
        counted = self.heads.get(id_)
        return counted[-1] if counted else None

    def current(self) -> list[Head]:
        """All that count, by account and then by date."""
        found = [counted[-1] for counted in self.heads.values() if counted]
        return sorted(found, key=lambda each: (each.statement.series, _place(each).order))

    def places(self, series: tuple[str, str]) -> dict[str, Place]:
        """The places of the statements of a series that count, by id."""
        return {
            head.statement.id: _place(head)
            for head in self.current()
            if head.statement.series == series
        }

    def listed(self) -> Iterator[tuple[Head, str | None]]:
        """As `current`, each with why it does not follow the one before; None if it does."""
        before: Head | None = None
        for head in self.current():
            statement = head.statement
            is_first = before is None or before.statement.series != statement.series
            fault = None
            if before is not None and not is_first and not statement.of_securities:
                fault = broken_link(_place(before), _place(head))
            yield head, fault[1] if fault else None
            before = head


def _place(head: Head) -> Place:
    return Place.of(head.statement)

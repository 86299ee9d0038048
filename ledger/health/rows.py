"""Partitions as JSON has them, and as sentences for people.

A row is {"stage", "partition", "state", "seconds", "doing", "why"}; /ready has one for each
partition, and `status` and `doctor` read them there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.health.application import Health
from ledger.health.partitions import PartitionStatus, State

Row = Mapping[str, Any]


def partition_rows(health: Health) -> list[dict[str, Any]]:
    """One row for each partition, by stage and number."""
    found = [
        {"stage": health.stage(topic), "partition": number}
        | status_row(partition.status(), health.clock())
        for (topic, number), partition in list(health.partitions.items())
    ]
    return sorted(found, key=lambda row: (str(row["stage"]), int(str(row["partition"]))))


def status_row(status: PartitionStatus, now: float) -> dict[str, Any]:
    """The part of a row that is the status."""
    return {
        "state": status.state.value,
        "seconds": round(max(now - status.since, 0.0), 1),
        "doing": status.doing,
        "why": status.why,
    }


def reasons(rows: Iterable[Row]) -> list[str]:
    """Why partitions make no progress; one sentence for those of a stage with the same reason."""
    return [
        _sentence(stage, state, why, found)
        for (stage, state, why), found in grouped(rows).items()
        if state != State.GOING_ON
    ]


def grouped(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Rows by stage, state and why."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["stage"], row["state"], row["why"]), []).append(row)
    return found


def _sentence(stage: str, state: str, why: str, rows: list[Row]) -> str:
    numbers = spans(row["partition"] for row in rows)
    seconds = max(row["seconds"] for row in rows)
    doing = next((row["doing"] for row in rows if row["doing"]), "")
    text = f"{stage} {numbers}: {state} for {seconds:.0f} s"
    return f"{text}{', to ' if doing else ''}{doing}{': ' if why else ''}{why}"


def spans(numbers: Iterable[int]) -> str:
    """Numbers as ranges: `0-3, 7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)

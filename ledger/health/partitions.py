"""What each partition of an application does, and why one does not go on.

Written by the loop of the agents, for a run at most; read by the thread that answers. Pure: the
clock, of seconds that only rise, is passed in.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from enum import StrEnum
from types import TracebackType
from typing import Any, NamedTuple, Self

HANGING_SECONDS = 5.0
"""What was asked and has not been answered for so long counts as waited for."""
UNHEARD = "there is no answer yet"
Kind = tuple[str, str, str]


class State(StrEnum):
    """Of a partition; only one that is going on makes progress."""

    OPENING = "opening"
    GOING_ON = "going on"
    WAITING = "waiting"
    STOPPED = "stopped"


class Says(NamedTuple):
    """`since` in the clock's seconds; `doing` completes "it waits to"; `why` is a sentence."""

    state: State
    since: float
    doing: str = ""
    why: str = ""


class Place:
    """One stage's partition, or what belongs to the application as a whole."""

    def __init__(self, clock: Callable[[], float], *, state: State = State.OPENING) -> None:
        self.clock = clock
        self._state, self._since, self._why = state, clock(), ""
        self._asked: dict[Asked, None] = {}
        self._taking: float | None = None
        self.waits = 0

    def opening(self) -> None:
        """Its state is made ready."""
        self._set(State.OPENING)

    def opened(self) -> None:
        """It reads."""
        self._set(State.GOING_ON)

    def stop(self, why: str) -> None:
        """It will not go on by itself; the first reason counts until it is opened again."""
        if self._state is not State.STOPPED:
            self._set(State.STOPPED, why)

    def _set(self, state: State, why: str = "") -> None:
        self._state, self._since, self._why = state, self.clock(), why

    def takes(self) -> None:
        """A run is taken from here on."""
        self._taking = self.clock()

    def rests(self) -> None:
        """It was."""
        self._taking = None

    def says(self) -> Says:
        """What it does now."""
        if self._state is State.STOPPED:
            return Says(State.STOPPED, self._since, why=self._why)
        now, asked = self.clock(), list(self._asked)
        failing = [each for each in asked if each.fails(now)]
        if failing:
            last = failing[-1]
            return Says(State.WAITING, last.failed_since, last.what, last.why)
        finite = [each for each in asked if not each.endless]
        if self._state is State.OPENING:
            return Says(State.OPENING, self._since, finite[-1].what if finite else "")
        for each in reversed(finite):
            if now - each.since > HANGING_SECONDS:
                return Says(State.WAITING, each.since, each.what, UNHEARD)
        taking = self._taking
        if taking is not None and now - taking > HANGING_SECONDS:
            return Says(State.WAITING, taking, "finish the run that it has taken", UNHEARD)
        return Says(self._state, self._since)


class Asked:
    """Something outside this process was asked, `with` it, by a place or by nobody in particular.

    `endless`: that is not expected to come back; it fails only for a while after `failed`.
    """

    __slots__ = ("_place", "endless", "failed_at", "failed_since", "since", "what", "why")

    def __init__(self, place: Place | None, what: str, *, endless: bool = False) -> None:
        self._place, self.what, self.endless = place, what, endless
        self.why = ""
        self.since = self.failed_since = self.failed_at = 0.0

    def __enter__(self) -> Self:
        place = self._place
        if place is not None:
            self.since = place.clock()
            place._asked[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._place is not None:
            del self._place._asked[self]

    def failed(self, error: BaseException) -> None:
        """It is not there at the moment."""
        if self._place is not None:
            now = self._place.clock()
            if not self.fails(now):
                self.failed_since = now
                self._place.waits += 1
            self.failed_at, self.why = now, str(error)

    def fails(self, now: float) -> bool:
        """Whether it is being waited for."""
        return bool(self.why) and not (self.endless and now - self.failed_at > HANGING_SECONDS)


here: ContextVar[Place | None] = ContextVar("here", default=None)
"""The place that the running task works for."""


def asking(what: str, *, endless: bool = False) -> Asked:
    """For `with`: the running task's place asks for `what`, "post to shard 3"."""
    return Asked(here.get(), what, endless=endless)


class Health:
    """Of one application's process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.own = Place(clock, state=State.GOING_ON)
        self.stages: dict[str, str] = {}
        """By topic."""
        self.places: dict[tuple[str, int], Place] = {}
        self.member: bool = False
        self.member_since = clock()
        self.runs: Counter[str] = Counter()
        self.transactions: Counter[tuple[str, str]] = Counter()
        """By outcome, and for refusals by code."""
        self.breaks: dict[int, int] = {}
        self.alarms: tuple[str, ...] = ()
        """What is wrong beside the partitions, though they go on; each says what to do."""
        self._waits: Counter[str] = Counter()
        self._turned = clock()
        self._slept = -1e9

    def at(self, tp: tuple[str, int]) -> Place:
        """The place of a topic's partition; one that is seen by nobody if it is no longer ours."""
        return self.places.get(tp) or Place(self.clock)

    def stage(self, topic: str) -> str:
        """What takes `topic`."""
        return self.stages.get(topic, topic)

    def assign(self, tps: Iterable[tuple[str, int]]) -> None:
        """These are this process's now, and are being opened; no others are."""
        # As plain pairs: what is read here by another thread must not depend on Faust's.
        wanted = [(tp[0], tp[1]) for tp in tps]
        for tp in self.places.keys() - wanted:
            self._waits[self.stage(tp[0])] += self.places.pop(tp).waits
        for tp in wanted:
            self.places.setdefault(tp, Place(self.clock)).opening()
        self.breaks.clear()
        self.member, self.member_since = True, self.clock()

    def revoke(self) -> None:
        """The group shares its partitions out again."""
        self.member, self.member_since = False, self.clock()

    def turn(self) -> None:
        """The loop of the agents turns: called every second or so."""
        now = self.clock()
        if self.unturned() > 2 * TURN_SECONDS:
            self._slept = now
        self._turned = now

    def unturned(self) -> float:
        """Seconds since the loop of the agents last turned."""
        return self.clock() - self._turned

    def slept_for(self, seconds: float, *, within: float) -> bool:
        """Whether the loop stood still, for `seconds` now or a little earlier, `within` seconds."""
        return self.unturned() > seconds or self.clock() - self._slept < within

    def waits(self) -> Mapping[str, int]:
        """How often something had to be waited for, by stage."""
        found = self._waits.copy()
        found["application"] += self.own.waits
        for (topic, _), place in list(self.places.items()):
            found[self.stage(topic)] += place.waits
        return found


TURN_SECONDS = 1.0


def rows(health: Health) -> list[dict[str, Any]]:
    """One for each partition, in order: stage, partition, state, seconds, doing, why."""
    found = [
        {"stage": health.stage(topic), "partition": partition} | shown(place.says(), health.clock())
        for (topic, partition), place in list(health.places.items())
    ]
    return sorted(found, key=lambda row: (str(row["stage"]), int(str(row["partition"]))))


def shown(says: Says, now: float) -> dict[str, Any]:
    """As JSON has it."""
    return {
        "state": says.state.value,
        "seconds": round(max(now - says.since, 0.0), 1),
        "doing": says.doing,
        "why": says.why,
    }


def sentences(partitions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why partitions do not go on; those of a stage with the same reason in one sentence."""
    bad = [row for row in partitions if row["state"] != State.GOING_ON]
    return [_sentence(*key, found) for key, found in alike(bad).items()]


def alike(partitions: Iterable[Mapping[str, Any]]) -> dict[Kind, list[Mapping[str, Any]]]:
    """By stage, state and why."""
    found: dict[Kind, list[Mapping[str, Any]]] = {}
    for row in partitions:
        found.setdefault((row["stage"], row["state"], row["why"]), []).append(row)
    return found


def _sentence(stage: str, state: str, why: str, found: Sequence[Mapping[str, Any]]) -> str:
    numbers = spans(row["partition"] for row in found)
    seconds = max(row["seconds"] for row in found)
    doing = next((row["doing"] for row in found if row["doing"]), "")
    text = f"{stage} {numbers}: {state} for {seconds:.0f} s"
    return f"{text}{', to ' if doing else ''}{doing}{': ' if why else ''}{why}"


def spans(numbers: Iterable[int]) -> str:
    """In few words: `0-3, 7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)

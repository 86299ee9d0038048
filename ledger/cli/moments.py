"""The time that a balance is asked for: --as-of, --through, --timezone and --by."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated, Any, Literal, NamedTuple

import typer

from ledger.cli.completion import complete_timezones
from ledger.cli.output import micros_in_range, optional_time, require_choice
from ledger.domain.completeness import Asked

Axis = Literal["effective", "recorded"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AsOf = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Count only entries strictly before this time: RFC 3339, now, or a date for the "
        "instant at which it begins. Reads the general ledger.",
    ),
]
Through = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="Count everything up to the end of this day, such as 2026-11-30. Reads the general "
        "ledger.",
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default="UTC",
        help="The time zone of the dates of --as-of and --through, such as America/Toronto.",
        autocompletion=complete_timezones,
    ),
]
By = Annotated[
    Axis | None,
    typer.Option(show_default="effective", help="The time that --as-of and --through are about."),
]
KnownAt = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        show_default="now",
        help="Of what is effective before --as-of, or up to --through, count only what had been "
        "recorded before this time, as it was known then: without later bookings and voids.",
    ),
]


class Moment(NamedTuple):
    """Which entries to count: those strictly before `at`, microseconds since 1970; None for all.

    `sentence` states it for people. `is_date`: whether --as-of was a date, which is often taken to
    include that day. `known_at`: of these, only what was recorded before it; None for all.
    """

    at: int | None = None
    by: Axis = "effective"
    sentence: str | None = None
    is_date: bool = False
    through: str | None = None
    timezone: str | None = None
    known_at: int | None = None

    def fields(self) -> dict[str, Any]:
        """The JSON fields that --through and --known-at add to an answer."""
        found: dict[str, Any] = {}
        if self.through is not None:
            found = {"through_date": self.through, "timezone": self.timezone or "UTC"}
        if self.known_at is None or self.at is None:
            return found
        from ledger.client.drafts import rfc3339

        return found | {"as_of": rfc3339(self.at), "by": self.by,
                        "known_at": rfc3339(self.known_at)}  # fmt: skip

    @property
    def asked(self) -> Asked:
        """What an answer must count to be complete: with --known-at, what was recorded by then."""
        if self.known_at is not None:
            return Asked(self.known_at, "recorded")
        return Asked(self.at, self.by)


def moment_of(
    as_of: str | None,
    through: str | None,
    timezone: str | None,
    by: Axis | None,
    known_at: str | None = None,
) -> Moment:
    """The moment that these options name; options that do not belong together are a usage error."""
    if as_of is not None and through is not None:
        raise typer.BadParameter("give --as-of or --through, not both.", param_hint="--through")
    if as_of is None and through is None:
        for given, name in ((by, "--by"), (timezone, "--timezone"), (known_at, "--known-at")):
            if given is not None:
                sentence = "needs --as-of or --through: without them, every entry counts."
                raise typer.BadParameter(sentence, param_hint=name)
        return Moment()
    zone = zone_of(timezone)
    axis = by or "effective"
    made = _through(through, zone, axis) if through is not None else _as_of(as_of, zone, axis)
    return made if known_at is None else _known(made, known_at, zone)


def _known(moment: Moment, text: str, zone: tzinfo) -> Moment:
    if moment.by == "recorded":
        raise typer.BadParameter(
            "is about what is effective before --as-of: leave out --by recorded.",
            param_hint="--known-at",
        )
    at = instant_of(text, zone, "--known-at")
    sentence = f"{moment.sentence} As known at {_shown(at, zone)}: recorded before that instant."
    return moment._replace(known_at=at, sentence=sentence)


def _as_of(text: str | None, zone: tzinfo, axis: Axis) -> Moment:
    day = None if text is None else _date(text)
    if day is None:
        at = optional_time(text, "--as-of")
        sentence = f"As of {_shown(at, zone)}: everything {axis} before that instant."
        return Moment(at, axis, sentence)
    at = _start(day, zone, "--as-of")
    sentence = (
        f"As of {_shown(at, zone)}: everything {axis} before {day} began; --through {day} counts "
        "that day."
    )
    return Moment(at, axis, sentence, is_date=True)


def _through(text: str, zone: tzinfo, axis: Axis) -> Moment:
    at = end_of(text, zone)
    sentence = f"Through {text}: everything {axis} before {_shown(at, zone)}."
    return Moment(at, axis, sentence, through=text, timezone=str(zone))


def end_of(text: str, zone: tzinfo, *, instead: str = "--as-of") -> int:
    """The instant at which the day of --through ends there, in microseconds since 1970.

    A usage error for anything but a date; `instead`: the option that takes a time.
    """
    day = _date(text)
    if day is None:
        raise typer.BadParameter(
            f"{text!r} is no date, such as 2026-11-30; {instead} takes a time.",
            param_hint="--through",
        )
    # The last day of Python's calendar has none after it.
    end = day + timedelta(days=1) if day < date.max else day
    return _start(end, zone, "--through", given=day)


def instant_of(text: str | None, zone: tzinfo, name: str) -> int | None:
    """Microseconds since 1970 of the option `name`, None without it; a date begins in `zone`."""
    day = None if text is None else _date(text)
    return optional_time(text, name) if day is None else _start(day, zone, name)


def _date(text: str) -> date | None:
    """The day, if `text` is a date alone."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # It takes "20261130" and "2026-W49" too, which RFC 3339 does not know.
    return day if str(day) == text else None


def _start(day: date, zone: tzinfo, name: str, *, given: date | None = None) -> int:
    """The instant at which a day begins there, in microseconds since 1970.

    An error names `given`, the day of the option, if that is another.
    """
    # Where clocks skip midnight, this is the instant at which they do.
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    return micros_in_range((start - EPOCH) // timedelta(microseconds=1), str(given or day), name)


def zone_of(name: str | None) -> tzinfo:
    """The time zone of that name, UTC without one; a usage error for an unknown name."""
    if name is None or name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, available_timezones

    known = available_timezones()
    if name not in known:
        require_choice(name, sorted(known), "--timezone", "time zone", listed=False)
    return ZoneInfo(name)


def _shown(micros: int | None, zone: tzinfo) -> str:
    """An instant as people in that zone write it, and in UTC if that is another."""
    if micros is None:
        return "now"
    instant = EPOCH + timedelta(microseconds=micros)
    text = f"{_plainly(instant)} UTC"
    if zone is UTC:
        return text
    return f"{_plainly(instant.astimezone(zone))} {zone} ({text})"


def _plainly(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat(sep=" ")

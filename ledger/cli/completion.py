"""Values that a shell completes for options. What cannot be read completes nothing."""

from collections.abc import Iterable


def complete_codes(incomplete: str) -> list[str]:
    """Refusal codes, in capitals or not."""
    from ledger.domain.refusal import Reason

    return _beginning(incomplete.upper(), Reason)


def complete_timezones(incomplete: str) -> list[str]:
    """Names of time zones."""
    from zoneinfo import available_timezones

    return _beginning(incomplete, available_timezones())


def _beginning(incomplete: str, known: Iterable[str]) -> list[str]:
    return sorted(str(each) for each in known if each.startswith(incomplete))

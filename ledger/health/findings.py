"""What a check of `doctor` yields."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; `advice` says what to do when it is not well."""

    name: str
    well: bool
    detail: str
    advice: str = ""

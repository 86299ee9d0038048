"""Refusals: what bad input gets, as values. The codes are public and never change meaning."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a record was refused, in order of precedence: the first that applies is reported."""

    TOO_LARGE = "TOO_LARGE"
    UNREADABLE = "UNREADABLE"
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    FOREIGN_SCHEMA = "FOREIGN_SCHEMA"
    WRONG_KEY = "WRONG_KEY"
    WRONG_PARTITION = "WRONG_PARTITION"
    FIELD_MISSING = "FIELD_MISSING"
    FIELD_MALFORMED = "FIELD_MALFORMED"
    FIELD_TOO_LONG = "FIELD_TOO_LONG"
    TIME_OUT_OF_RANGE = "TIME_OUT_OF_RANGE"
    TOO_LATE = "TOO_LATE"
    TOO_EARLY = "TOO_EARLY"
    ID_REUSED = "ID_REUSED"
    TOO_FEW_ENTRIES = "TOO_FEW_ENTRIES"
    TOO_MANY_ENTRIES = "TOO_MANY_ENTRIES"
    UNKNOWN_CURRENCY = "UNKNOWN_CURRENCY"
    SCALE_CHANGED = "SCALE_CHANGED"
    TOO_MANY_DECIMALS = "TOO_MANY_DECIMALS"
    AMOUNT_MALFORMED = "AMOUNT_MALFORMED"
    AMOUNT_NOT_POSITIVE = "AMOUNT_NOT_POSITIVE"
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"
    SUM_TOO_LARGE = "SUM_TOO_LARGE"
    NOT_BALANCED = "NOT_BALANCED"
    ACCOUNT_MALFORMED = "ACCOUNT_MALFORMED"
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    ACCOUNT_NOT_OPEN = "ACCOUNT_NOT_OPEN"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    ACCOUNT_CURRENCY = "ACCOUNT_CURRENCY"
    REVERSAL_UNKNOWN = "REVERSAL_UNKNOWN"
    REVERSAL_TOO_OLD = "REVERSAL_TOO_OLD"
    REVERSED_ALREADY = "REVERSED_ALREADY"
    REVERSAL_BEFORE_ORIGINAL = "REVERSAL_BEFORE_ORIGINAL"
    REVERSAL_NOT_MIRRORED = "REVERSAL_NOT_MIRRORED"
    VOID_WITHOUT_LEAVE = "VOID_WITHOUT_LEAVE"
    VOIDED = "VOIDED"


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal: `reason` is stable, `sentence` is for people, `field` names what to mend.

    `field` is a path such as `entries[1].amount`; empty when it is the whole record.
    """

    reason: Reason
    sentence: str
    field: str = ""

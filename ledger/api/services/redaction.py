"""What a bearer token restricted to account paths sees of entries: the rule is in docs/api.md.

A description and metadata are written for all parties of a transaction. They are shown to a token
that covers each of its accounts; to others they would tell of accounts that they may not see.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ledger.domain.access import Permission
from ledger.gl.history.books import AccountLine
from ledger.gl.history.why import Why


def is_redacted(line: AccountLine, permission: Permission) -> bool:
    """Whether the line's transaction has an account that the caller may not see."""
    return not all(map(permission.covers, line.counterparts))


def shown_line(line: AccountLine, permission: Permission) -> AccountLine:
    """The line with the counterparts that may be seen; its texts only where that is all of them."""
    if not is_redacted(line, permission):
        return line
    seen = [each for each in line.counterparts if permission.covers(each)]
    other_side = [each for each in line.other_side if permission.covers(each)]
    return line._replace(description="", metadata="", counterparts=seen, other_side=other_side)


def shown_why(why: Why, permission: Permission) -> Why:
    """The same of a figure taken apart: whose texts are not shown counts to no producer."""
    return replace(why, lines=[shown_line(each, permission) for each in why.lines])


def metadata_of(line: AccountLine) -> Mapping[str, Any]:
    """The metadata as it was published."""
    found: Mapping[str, Any] = json.loads(line.metadata or "{}")
    return found


def has_metadata(line: AccountLine, name: str, value: str) -> bool:
    """Whether it was published with this."""
    return metadata_of(line).get(name) == value

"""The JSON texts that clients get.

A balance's is made once and put into the messages of all who get it. Ids of subscriptions and
tokens are of letters that JSON leaves as they are.
"""

import json
from collections.abc import Iterable, Mapping

from ledger.api.problems import Problem

PATH = "/v1/live"


def removed(account: str, currency: str) -> str:
    """The JSON object of a balance that is no more."""
    return json.dumps(
        {"account": account, "currency": currency, "removed": True}, separators=(",", ":")
    )


def changes(token: str, by_subscription: Mapping[str, str]) -> str:
    """A frame: by subscription the JSON of what changed. Without a token, more is under way."""
    shown = ",".join(f'"{id_}":{text}' for id_, text in by_subscription.items())
    return f'{{"type":"changes","token":{_or_null(token)},"changes":{{{shown}}}}}'


def begun(kind: str, id_: str, reason: str, part: int, texts: Iterable[str], *, more: bool) -> str:
    """A part of a snapshot, or of what changed since a token."""
    why = f'"reason":"{reason}",' if reason else ""
    return (
        f'{{"type":"{kind}","id":"{id_}",{why}"part":{part},"more":{"true" if more else "false"},'
        f'"balances":[{",".join(texts)}]}}'
    )


def list_begun(id_: str, reason: str, rows: str) -> str:
    """The snapshot of a sorted list."""
    return (
        f'{{"type":"snapshot","id":"{id_}","reason":"{reason}","part":0,"more":false,'
        f'"list":{rows}}}'
    )


def heartbeat(token: str) -> str:
    """Nothing has changed, and the token is newer."""
    return f'{{"type":"heartbeat","token":{_or_null(token)}}}'


def unsubscribed(id_: str) -> str:
    """A subscription has ended."""
    return f'{{"type":"unsubscribed","id":"{id_}"}}'


def refused(id_: str, problem: Problem) -> str:
    """A subscription cannot be had; the problem is that of the HTTP API."""
    return f'{{"type":"refused","id":"{id_}","problem":{problem.body(PATH).decode()}}}'


def _or_null(token: str) -> str:
    return f'"{token}"' if token else "null"

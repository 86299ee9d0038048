"""Header fields that a request has twice: one list (RFC 9110, 5.3), or no request that can be read.

Of two bearer tokens a proxy in front may have looked at the other one.
"""

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order in which they came."""

LISTS = frozenset({b"if-none-match", b"prefer"})
"""Whose values are lists, which may be in as many lines as their sender likes."""
ONCE = frozenset(
    {b"authorization", b"content-encoding", b"content-type", b"host", b"idempotency-key",
     b"last-event-id"}
)  # fmt: skip
"""Which have one value."""


def combine(headers: Headers) -> str | None:
    """Make each list one field, in place; the name of a field that may not be there twice."""
    if len({name for name, _ in headers}) == len(headers):
        return None
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in LISTS or name in ONCE:
            found.setdefault(name, []).append(value)
    for name, values in found.items():
        if len(values) > 1 and name in ONCE:
            return name.decode()
    rest = [each for each in headers if each[0] not in LISTS]
    headers[:] = rest + [(name, b", ".join(found[name])) for name in LISTS & found.keys()]
    return None

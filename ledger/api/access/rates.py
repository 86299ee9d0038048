"""Rates of requests: a token bucket by key, in bounded memory.

The library `limits` has no token bucket, and in memory it keeps every key that a client makes up
until a timer removes it. This is the same bucket as a time alone (the generic cell rate algorithm,
ITU-T I.371): a number a key. The keys that were idle longest are forgotten first: they are full.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

KEYS = 10_000
"""Keys that are remembered, in about 2 MB."""
SECOND = 1_000_000_000
NETWORK_BITS = 64
"""Of an IPv6 address: what one client has to itself."""


class Rate:
    """At most `per_second` requests of a key, on average, and `burst` at once.

    `clock`: in nanoseconds.
    """

    def __init__(
        self, per_second: int, burst: int, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._interval, self._clock = SECOND // per_second, clock
        self._ahead = (burst - 1) * self._interval
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one. 0 if there was one, otherwise the seconds until there is."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        if full_at - now > self._ahead:
            return (full_at - now - self._ahead) / SECOND
        self._full_at[key] = full_at + self._interval
        self._full_at.move_to_end(key)
        if len(self._full_at) > KEYS:
            self._full_at.popitem(last=False)
        return 0.0

    def wait(self, key: str) -> float:
        """The seconds until there is one, without taking it."""
        now = self._clock()
        return max(self._full_at.get(key, now) - now - self._ahead, 0) / SECOND


def network_of(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> NETWORK_BITS << NETWORK_BITS))

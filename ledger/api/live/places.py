"""How many live connections there may be, of a process and of each bearer token."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ledger.api.problems import Problem


class Places:
    """`most` connections, `most_of_one` of the same bearer token."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._taken = 0
        self._of = Counter[str]()

    @contextmanager
    def process(self) -> Iterator[None]:
        """A place in this process. Raises Problem where there is none."""
        if self._taken >= self._most:
            raise Problem(
                "TOO_MANY_CONNECTIONS",
                f"This API process has {self._taken} live connections, and takes no more.",
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    @contextmanager
    def of(self, caller: str) -> Iterator[None]:
        """A place of a bearer token. Raises Problem where there is none."""
        if self._of[caller] >= self._most_of_one:
            raise Problem(
                "TOO_MANY_CONNECTIONS",
                f"This bearer token has {self._most_of_one} live connections at this API process, "
                "and may have no more.",
            )
        self._of[caller] += 1
        try:
            yield
        finally:
            self._of[caller] -= 1
            if not self._of[caller]:
                del self._of[caller]

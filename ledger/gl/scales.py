"""Decimals by currency as the digests have them, if table `currencies` was changed."""

from collections.abc import Callable, Iterable, Iterator

from ledger.domain.money import MAX_SCALE
from ledger.gl.rows import PostedTransaction

TRIES = 20
"""Runs whose digests are tried with other decimals; each costs many digests."""


class Scales:
    """What is found out from one run counts for all runs after it."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._tries = TRIES

    def right(self, transactions: Iterable[PostedTransaction]) -> Iterable[PostedTransaction]:
        """`transactions` with the decimals that were found out."""
        return _with(transactions, self._known) if self._known else transactions

    def changed(
        self,
        transactions: list[PostedTransaction],
        fits: Callable[[Iterable[PostedTransaction]], bool],
    ) -> tuple[str, int, int] | None:
        """A currency, the decimals that its row has, and those with which the digest `fits`."""
        if self._tries <= 0:
            return None
        self._tries -= 1
        scales = {entry[1]: entry[2] for each in transactions for entry in each.entries}
        for code, had in scales.items():
            for scale in range(MAX_SCALE + 1):
                if fits(_with(transactions, self._known | {code: scale})):
                    self._known[code] = scale
                    return code, had, scale
        return None


def _with(
    transactions: Iterable[PostedTransaction], scales: dict[str, int]
) -> Iterator[PostedTransaction]:
    for each in transactions:
        yield each._replace(
            entries=[
                (account, code, scales.get(code, scale), amount)
                for account, code, scale, amount in each.entries
            ]
        )

"""The beginning of a shadow ledger's shard: a watermark, and the totals before it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.errors import InvariantBroken
from ledger.gl.rows import PostedVoid
from ledger.gl.tables import currencies, shards, stripes, voids


class Opening(NamedTuple):
    """`totals` of every stripe at `watermark`; `scales`: decimals by currency.

    `voids`: transactions that are left out of the totals, and voided by a run after the watermark.
    """

    watermark: Watermark
    totals: Mapping[Stripe, Totals]
    scales: Mapping[str, int]
    voids: Sequence[PostedVoid] = ()


def write_opening(connection: Connection, shard: int, opening: Opening) -> None:
    """Insert the rows. Raises InvariantBroken for a shard that has begun already."""
    if connection.scalar(select(func.count()).where(shards.c.shard == shard)):
        raise InvariantBroken(
            f"Shard {shard} of this ledger has begun already; it cannot begin again."
        )
    mark, totals, scales, left_out = opening
    connection.execute(
        insert(shards).values(
            shard=shard, decisions_offset=mark.decisions_offset, end_offset=mark.end,
            digest=mark.digest, recorded_until=mark.recorded_until,
        )
    )  # fmt: skip
    known = set(connection.scalars(select(currencies.c.code)))
    new = [{"code": code, "scale": scale} for code, scale in scales.items() if code not in known]
    if new:
        connection.execute(insert(currencies), new)
    if left_out:
        connection.execute(insert(voids), [
            dict(zip(voids.c.keys(), each, strict=True)) for each in left_out
        ])  # fmt: skip
    if totals:
        connection.execute(insert(stripes), [
            {
                "account": stripe.account, "currency": stripe.currency, "shard": shard,
                "debits": each.debits, "credits": each.credits, "entries": each.entries,
                "last_offset": each.offset,
            }
            for stripe, each in totals.items()
        ])  # fmt: skip

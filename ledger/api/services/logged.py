"""Records of the transactions' log whose place is known: which accounts each touches."""

from ledger.domain.access import Permission
from ledger.domain.refusal import Refused
from ledger.domain.transaction import Draft
from ledger.errors import InvariantBroken
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.topics import topics
from ledger.streaming.transactions import TransactionReader


class LoggedDrafts:
    """Reads one record at a time: for bearer tokens that are restricted to account paths."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._log, self._topic = log, topics(settings).transactions.name
        self._reader = TransactionReader.of(settings)

    async def is_seen(
        self, permission: Permission, place: tuple[int, int], *, whole: bool = False
    ) -> bool:
        """Whether the record at (shard, offset) touches an account of `permission`; as `at`.

        `whole`: and no other. Everything is seen by whoever is not restricted, without a look.
        """
        if not permission.is_restricted:
            return True
        draft = await self.at(*place)
        if draft is None:
            return False
        covered = [permission.covers(each["account"]) for each in draft["entries"]]
        return all(covered) if whole else any(covered)

    async def at(self, shard: int, offset: int) -> Draft | None:
        """The transaction there; None where the record is none that can be read, or is gone.

        Raises Unavailable where Kafka or the registry does not answer.
        """
        try:
            async for records in self._log.read(self._topic, shard, offset, offset + 1):
                for record in records:
                    await self._reader.prepare([record.value])
                    found: Draft | Refused = self._reader.decode(record.value)
                    return None if isinstance(found, Refused) else found
        except InvariantBroken:
            # It was deleted: the log does not reach back so far.
            return None
        return None

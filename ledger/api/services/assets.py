"""The assets that transactions may use."""

from ledger.api.reference import ApiReference
from ledger.client.assets import IMPORTED, KnownAsset, known_assets


class AssetsService:
    """Answers from the reference data that this process follows."""

    def __init__(self, reference: ApiReference) -> None:
        self._reference = reference

    def assets(self, *, imported: bool | None, after: str, limit: int) -> list[KnownAsset]:
        """At most `limit` by code, after the code `after`; imported ones, others, or all.

        Raises Problem before the reference data is read.
        """
        self._reference.require()
        found = known_assets(dict(self._reference.assets))
        chosen = [each for each in found if imported in (None, each.source == IMPORTED)]
        return [each for each in chosen if each.code > after][:limit]

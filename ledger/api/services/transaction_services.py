"""What answers about transactions, over the parts that an API process has."""

from typing import NamedTuple, Self

from ledger.api.database import Database
from ledger.api.flow.flow import Flow
from ledger.api.flow.past import PastRuns
from ledger.api.services.bulk import Bulk
from ledger.api.services.dating import Dating
from ledger.api.services.judging import Judge
from ledger.api.services.logged import LoggedDrafts
from ledger.api.services.past_fates import PastFates
from ledger.api.services.publishing import Publishing
from ledger.api.services.reversals import Reversals
from ledger.api.services.transactions import Transactions
from ledger.api.services.trial import Trial
from ledger.api.services.writes import WriteParts, Writes
from ledger.api.signing import Signer
from ledger.api.view.view import BalanceView
from ledger.client.audit_log import AuditLog
from ledger.gl.books import Books
from ledger.gl.history.books import History
from ledger.settings import Settings


class Parts(NamedTuple):
    """What they are made of."""

    settings: Settings
    database: Database[Books]
    history: Database[History]
    signer: Signer
    audit: AuditLog
    flow: Flow
    past: PastRuns
    drafts: LoggedDrafts
    publishing: Publishing
    dating: Dating
    view: BalanceView


class TransactionServices(NamedTuple):
    """One service for each thing that is done to transactions."""

    writes: Writes
    bulk: Bulk
    reversals: Reversals
    trial: Trial
    transactions: Transactions

    @classmethod
    def over(cls, parts: Parts) -> Self:
        """The services over these parts."""
        flow, past, signer = parts.flow, parts.past, parts.signer
        judge = Judge(flow, past, parts.database, parts.publishing)
        fates = PastFates(flow, past, parts.database, parts.history)
        writes = Writes(
            WriteParts(
                parts.publishing, flow, judge, fates, parts.drafts, parts.dating, parts.audit,
                signer,
            )
        )  # fmt: skip
        transactions = Transactions(
            parts.settings, flow, past, parts.database, parts.history, parts.drafts, signer
        )
        trial = Trial(writes, judge, parts.view)
        reversals = Reversals(transactions, writes, trial)
        return cls(writes, Bulk(writes, signer), reversals, trial, transactions)

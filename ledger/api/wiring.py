"""The whole graph of an API process: what is made of the settings, and what each part is given."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ledger.api.access.access import Access, open_access
from ledger.api.breaks import OpenBreaks
from ledger.api.cursors import Cursors
from ledger.api.database import Database
from ledger.api.flow.flow import Flow
from ledger.api.flow.past import PastRuns
from ledger.api.live.opening import LiveParts, open_live
from ledger.api.readiness import Readiness
from ledger.api.reference import ApiReference
from ledger.api.services.accounts import AccountsService
from ledger.api.services.after import After
from ledger.api.services.assets import AssetsService
from ledger.api.services.audit_log import AuditLogService
from ledger.api.services.balance_json import Completeness
from ledger.api.services.balances import BalanceService
from ledger.api.services.breaks import BreaksService
from ledger.api.services.dating import Dating
from ledger.api.services.history import HistoryService
from ledger.api.services.logged import LoggedDrafts
from ledger.api.services.past_answers import PastAnswers
from ledger.api.services.publishing import Publishing
from ledger.api.services.refused import RefusedIds
from ledger.api.services.rejects import RejectsService
from ledger.api.services.reports import ReportsService
from ledger.api.services.status import StatusService
from ledger.api.services.transaction_services import Parts, TransactionServices
from ledger.api.services.why import WhyService
from ledger.api.services.write_measures import measure_writes
from ledger.api.signing import Signer, read_key
from ledger.api.traffic import Traffic
from ledger.api.view.reached import ViewState
from ledger.api.view.view import BalanceView
from ledger.client.audit_log import AuditLog
from ledger.client.drafts import rfc3339
from ledger.client.logged_transactions import LoggedTransactions
from ledger.client.past import Past
from ledger.client.reject_pages import RejectPages
from ledger.client.resource import cancel
from ledger.clock import now
from ledger.gl.books import Books
from ledger.gl.databases import history_address, open_history, open_journal
from ledger.gl.history.books import History
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.log import Log


@dataclass(frozen=True)
class Services:
    """What answers requests; a field for each resource, and those that serve all of them."""

    signer: Signer
    cursors: Cursors
    traffic: Traffic
    readiness: Readiness
    access: Access
    audit: AuditLog
    live: LiveParts
    flow: Flow
    transactions: TransactionServices
    history: HistoryService
    why: WhyService
    balances: BalanceService
    rejects: RejectsService
    reports: ReportsService
    status: StatusService
    assets: AssetsService
    accounts: AccountsService
    breaks: BreaksService
    audit_log: AuditLogService


@asynccontextmanager
async def wired(settings: Settings, name: str) -> AsyncIterator[Services]:
    """The services of the API process `name`, whose files are in `folder`, until it ends.

    Nothing here waits for Kafka, the registry or the database: a part that has not come up says so
    in `/ready`. Raises SettingsError for settings with which it can never work.
    """
    folder = settings.data_dir / "api" / name
    folder.mkdir(parents=True, exist_ok=True)
    signer, traffic = Signer(read_key(settings)), Traffic(settings.api_requests)
    log, cursors = Log(settings), Cursors(signer)
    audit = AuditLog(settings, log)
    database = Database[Books](lambda: open_journal(settings.database_url))
    history = Database[History](lambda: open_history(history_address(settings)))
    past = Past(settings, lambda: open_journal(settings.database_url), clock=now)
    async with (
        ApiReference(settings) as reference,
        BalanceView(settings, folder / "view") as view,
        OpenBreaks(settings) as breaks,
        Flow(settings) as flow,
        Publishing(settings) as publishing,
        open_access(settings, log) as access,
        open_live(settings, view, signer, traffic.registry) as live,
    ):
        readiness = Readiness(
            name,
            {
                "reference": reference.problem,
                "access": access.problem,
                "view": lambda: view.state().problem,
                "flow": flow.problem,
                "breaks": breaks.problem,
                "publishing": publishing.problem,
                "live": live.problem,
            },
            {"view": lambda: age_of(view.state()), "live": live.report},
        )
        traffic.registry.register(readiness)
        measure_writes(traffic.registry, flow, publishing)
        completeness = Completeness(view, signer)
        past_runs, drafts = PastRuns(settings, log), LoggedDrafts(settings, log)
        after = After(view, signer, flow, database, drafts, RefusedIds(flow, history))
        answers = PastAnswers(history, completeness, after)
        learning = asyncio.create_task(learn_schemas(audit, past_runs))
        try:
            yield Services(
                signer=signer,
                cursors=cursors,
                traffic=traffic,
                access=access,
                audit=audit,
                live=live,
                flow=flow,
                readiness=readiness,
                transactions=TransactionServices.over(
                    Parts(
                        settings=settings,
                        database=database,
                        history=history,
                        signer=signer,
                        audit=audit,
                        flow=flow,
                        past=past_runs,
                        drafts=drafts,
                        publishing=publishing,
                        dating=Dating(past),
                        view=view,
                    )
                ),
                history=HistoryService(answers, cursors, reference),
                why=WhyService(settings, answers, database),
                balances=BalanceService.over(view, completeness, cursors, after, answers),
                rejects=RejectsService(
                    RejectPages(settings),
                    LoggedTransactions(settings),
                    answers if settings.history == "on" else None,
                    cursors=cursors,
                    signer=signer,
                ),
                reports=ReportsService(answers, database, breaks, reference),
                status=StatusService(settings, log, flow, history),
                assets=AssetsService(reference),
                accounts=AccountsService(reference, view),
                breaks=BreaksService(breaks, reference),
                audit_log=AuditLogService(settings, cursors),
            )
        finally:
            await cancel(learning)
            await audit.close()
            await log.close()
            database.close()
            history.close()


async def learn_schemas(audit: AuditLog, past: PastRuns) -> None:
    """Of what is first read or written later, when the registry may be away."""
    await waited_for(audit.learn, "look up the audit log's schema")
    await waited_for(past.learn, "look up the decisions' schema")


def age_of(state: ViewState) -> dict[str, Any]:
    """How old the view is, for `/ready` and `/metrics`."""
    as_of = None if state.as_of is None else rfc3339(state.as_of)
    return {
        "behind_seconds": state.behind_seconds,
        "behind_records": state.records_behind,
        "as_of": as_of,
    }

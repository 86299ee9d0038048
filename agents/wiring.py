"""The whole graph of a worker's stages: what each reads, and to whom it hands on.

    transactions ─► intake ─► decisions ─► posting ─► database, posted
                      │ offer                            │
                      ▼                                  ▼
                 reconciliation ─► stripes, progress, rejects, breaks
                      │ receive
                      ▼
                   balances ─► ledger.balances, coverage

An arrow into a topic is an append. `offer` and `receive` hand on within the process what is in
decisions and stripes already; rows of another worker's shards reach balances through the stripes
topic alone. Reconciliation subscribes to posted, balances to stripes. Two links go back: intake
waits until reconciliation has room, and `progress` calls balances when a shard is compared further.
"""

from agents.balances import Balances
from agents.history import HistoryStage
from agents.intake import Intake
from agents.posting import PostingStage
from agents.progress import Progress
from agents.reconciliation import Reconciliation
from agents.runtime.runtime import Graph, Runtime, Task
from ledger.gl.journal import Journal
from ledger.streaming.reference_follower import ReferenceFollower


def stream(runtime: Runtime, progress: Progress) -> Graph:
    """The stream application: it decides, folds, compares and publishes balances."""
    reference = ReferenceFollower(
        runtime.log, runtime.codec, runtime.topics.reference.name, runtime.settings
    )
    balances = Balances(runtime, progress)
    reconciliation = Reconciliation(runtime, progress, balances)
    intake = Intake(runtime, reference, reconciliation)
    return Graph(
        stages=(intake, reconciliation, balances),
        tasks=(
            Task("following the reference data", reference.follow),
            Task("looking at the reference data", reference.check_on),
            Task("looking up the transactions' schemas", intake.learn_schemas),
            Task("following progress", progress.follow),
            Task("publishing pending balances", balances.note_late),
            Task("publishing coverage", balances.publish_coverage),
            Task("reading on in the stripes topic", balances.read_on),
        ),
    )


def posting(runtime: Runtime, journal: Journal) -> Graph:
    """The posting application: a database that is unavailable stops nothing else."""
    stage = PostingStage(runtime, journal)
    return Graph(
        stages=(stage,),
        tasks=(Task("looking at what the general ledger has", stage.look_on),),
    )


def history(stage: HistoryStage, progress: Progress) -> Graph:
    """The history application: behind the others, and waited for by none."""
    return Graph(
        stages=(stage,),
        tasks=(
            Task("following progress", progress.follow),
            Task("looking at what history has", stage.look_on),
            Task("looking up the transactions' schemas", stage.learn_schemas),
            Task("counting history's totals", stage.tidy_on),
        ),
    )

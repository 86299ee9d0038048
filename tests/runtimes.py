"""A stage's Runtime without Faust: what is beneath it is the test's."""

from types import SimpleNamespace

from agents.runtime.membership import Membership
from agents.runtime.runtime import Runtime
from ledger.health.application import Health
from ledger.settings import Settings
from ledger.streaming.topics import topics


def runtime(data, *, codec, log=None, consumer=None, settings=None, health=None):
    """Its membership asks `consumer`; a fault of it fails the test."""
    settings = settings or Settings()
    names = topics(settings)
    app = SimpleNamespace(consumer=consumer, _consumer=consumer, consumer_generation_id=1)
    membership = Membership(app, names.transactions.name)
    return Runtime(settings, names, log, codec, data, health or Health(), membership, failed)


def failed(error, doing):
    raise AssertionError(doing) from error

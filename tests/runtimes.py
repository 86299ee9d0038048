"""A stage's Runtime without Faust, and a clock: what is beneath them is the test's."""

from types import SimpleNamespace

from agents.runtime.membership import Membership
from agents.runtime.runtime import Runtime
from ledger.health.application import Health
from ledger.settings import Settings
from ledger.streaming.topics import topics


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


def runtime(data, *, codec, log=None, consumer=None, settings=None, health=None):
    """Its membership asks `consumer`; a fault of it fails the test."""
    settings = settings or Settings()
    names = topics(settings)
    app = SimpleNamespace(consumer=consumer, _consumer=consumer, consumer_generation_id=1)
    membership = Membership(app, names.transactions.name)
    return Runtime(settings, names, log, codec, data, health or Health(), membership, failed)


def failed(error, doing):
    raise AssertionError(doing) from error

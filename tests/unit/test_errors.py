"""Messages of others within our own sentences."""

import pytest

from ledger.client.log_search import LogFindings
from ledger.client.reversal import original_in
from ledger.client.whereabouts import Whereabouts
from ledger.errors import sentence


@pytest.mark.parametrize(
    ("text", "ended"), [("It is away", "It is away."), ("It is.", "It is."), ("Is it?", "Is it?")]
)
def test_a_sentence_has_one_end(text: str, ended: str) -> None:
    assert sentence(text) == ended


def test_what_could_not_be_looked_at_ends_as_it_was_said() -> None:
    unknown = ["Is registry_url right?", "Kafka is away."]
    found = original_in(Whereabouts("t-1", None, LogFindings(), unknown))
    assert found == (
        "No accepted transaction t-1 was found, and not everything could be looked at: Is "
        "registry_url right? Kafka is away. `faust-ledger transaction show t-1` shows what there "
        "is."
    )

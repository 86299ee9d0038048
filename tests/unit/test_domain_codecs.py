"""Codecs name what in a changed schema they were not made for, and follow the rest."""

import copy
import json
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

import schemas
from ledger.domain.balance import Balance
from ledger.domain.codecs import decoder, encoder
from ledger.domain.run import Outcomes, Refusal
from ledger.domain.transaction import Draft, DraftEntry
from ledger.errors import LedgerError

ROOT = Path(schemas.__file__).parent.parent
NEW = {"name": "memo", "type": "string", "default": ""}


def changed(name: str, *path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A copy of a schema, and the fields of the record in its field `path`."""
    schema = copy.deepcopy(schemas.load(name))
    fields = schema["fields"]
    for step in path:
        found = next(each for each in fields if each["name"] == step)
        fields = found["type"]["items"]["fields"]
    return schema, fields


def test_a_field_that_was_added_is_named():
    schema, fields = changed("Balance")
    fields.insert(2, NEW)
    with pytest.raises(LedgerError, match=r"Balance\.avsc .*Balance has no memo"):
        encoder(schema, Balance)
    schema, fields = changed("Transaction", "entries")
    fields.append(NEW)
    with pytest.raises(LedgerError, match=r"Record Entry of .*Transaction\.avsc .*has no memo"):
        decoder(schema, Draft, DraftEntry)
    schema, fields = changed("Outcomes", "refused")
    fields.append(NEW)
    with pytest.raises(LedgerError, match=r"Record Refusal of .*Refusal has no memo"):
        encoder(schema, Outcomes, Refusal)


def test_a_field_that_is_gone_is_named():
    schema, fields = changed("Transaction")
    del fields[0]
    with pytest.raises(LedgerError, match="the schema has no transaction_id"):
        decoder(schema, Draft, DraftEntry)
    schema, fields = changed("Reject")
    del fields[0]
    with pytest.raises(LedgerError, match="the schema has no shard"):
        encoder(schema, Refusal, more="shard")


@pytest.mark.parametrize("make", [encoder, decoder])
def test_a_type_that_nothing_is_written_for_is_named(make):
    schema, fields = changed("Balance")
    fields[0]["type"] = "double"
    with pytest.raises(LedgerError, match=r"Balance\.avsc has type double"):
        make(schema, Balance)


def test_a_schema_file_that_was_changed_is_named_when_the_program_starts(tmp_path):
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    file = tmp_path / "schemas" / "Stripe.avsc"
    schema = json.loads(file.read_text())
    schema["fields"].append(NEW)
    file.write_text(json.dumps(schema))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-P", "-c", "import ledger.streaming.stripe_rows"],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode
    assert "schemas/Stripe.avsc and class Row have other fields: Row has no memo" in ended.stderr


def test_a_traceback_shows_the_lines_that_were_made():
    encode = encoder(schemas.load("Balance"), Balance)
    try:
        encode(Balance(7, "CAD", 2, "", "", "", "", 0, "", 0))  # type: ignore[arg-type]
    except AttributeError:
        shown = traceback.format_exc()
    assert ".encode()" in shown
    assert "of Balance.avsc" in shown

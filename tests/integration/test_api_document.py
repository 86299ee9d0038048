"""Schemathesis over the whole OpenAPI document: no input gets a fault or an undocumented answer.

FAUST_LEDGER_FUZZ_REQUESTS says how many examples an operation gets; `make fuzz` gives it many.
"""

import os
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.api_ledger import ApiLedger, bearer
from tests.unit.test_api_scopes import OPERATIONS, Operation

EXAMPLES = int(os.environ.get("FAUST_LEDGER_FUZZ_REQUESTS", "20"))
CHECKS = [
    content_type_conformance, negative_data_rejection, response_headers_conformance,
    response_schema_conformance, status_code_conformance,
]  # fmt: skip
JUDGED_ONE_BY_ONE = {"/v1/transactions/bulk"}
"""Each transaction has a result of its own, a refusal among them: the answer is 200 all the same."""
STREAMS = {"/v1/live"}
"""Answers without an end; what is wrong with a request for one is answered like any other."""
ANSWER_SECONDS = 20
HEADERS_TOO_LARGE = 431
WAIT = "0.05"
"""In place of what `timeout` says: whoever waits for a transaction that never was waits for all of it."""


@pytest.fixture(scope="module")
def schema(api_ledger: ApiLedger) -> Any:
    return schemathesis.openapi.from_url(f"{api_ledger.urls[0]}/openapi.json")


def test_the_document_is_that_of_the_routes(api_ledger: ApiLedger, schema: Any) -> None:
    served = {(each.ok().method.upper(), each.ok().path) for each in schema.get_all_operations()}
    assert served == {(each.method.upper(), each.path) for each in OPERATIONS}
    assert schema.raw_schema["openapi"].startswith("3.1.")
    schema.validate()


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_no_input_gets_a_fault_or_an_undocumented_answer(
    api_ledger: ApiLedger, schema: Any, operation: Operation
) -> None:
    described = schema[operation.path][operation.method.upper()]
    headers = bearer(api_ledger.token("admin"))
    modes = [GenerationMode.NEGATIVE]
    if operation.path not in STREAMS:
        modes.append(GenerationMode.POSITIVE)

    checks = [
        each
        for each in CHECKS
        if each is not negative_data_rejection or operation.path not in JUDGED_ONE_BY_ONE
    ]
    with requests.Session() as session:
        session.trust_env = False

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize="FAUST_LEDGER_FUZZ_REQUESTS" not in os.environ,
            phases=[Phase.explicit, Phase.generate], database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=st.one_of(*(described.as_strategy(generation_mode=mode) for mode in modes)))
        def answered(case: Any) -> None:
            query = case.query or {}
            if ("after" in query and "timeout" not in query) or is_time(query.get("timeout")):
                case.query["timeout"] = WAIT
            stream = operation.path in STREAMS
            response = case.call(
                headers=headers, session=session, timeout=ANSWER_SECONDS, stream=stream
            )
            if stream and response.status_code == 200:
                response.close()
                return
            assert response.status_code != 500, response.text
            # A refusal as well, and none that Schemathesis counts as one.
            too_large = (
                {negative_data_rejection} if response.status_code == HEADERS_TOO_LARGE else ()
            )
            case.validate_response(
                response, checks=[each for each in checks if each not in too_large]
            )

        answered()


def is_time(text: Any) -> bool:
    """Whether it may be waited for so long; what may not stays as it is."""
    try:
        return 0 <= float(str(text)) <= 60
    except ValueError:
        return False


def test_a_process_is_ready_after_all_that(api_ledger: ApiLedger) -> None:
    for process in range(len(api_ledger.urls)):
        found = api_ledger.client(process=process).get("/ready")
        assert found.status_code == 200, found.text

"""Hypothesis: few and always the same examples by default, many new ones on demand.

HYPOTHESIS_PROFILE=deep pytest tests/property
"""

import os

from hypothesis import HealthCheck, Phase, settings

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "quick",
    max_examples=60,
    stateful_step_count=40,
    derandomize=True,
    # Making a failure small can take minutes; the deep profile does it.
    phases=[Phase.explicit, Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=QUIET,
)
settings.register_profile(
    "deep",
    max_examples=1_000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=QUIET,
)
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FAUST_LEDGER_FUZZ_EXAMPLES", "100000")),
    deadline=None,
    suppress_health_check=QUIET,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

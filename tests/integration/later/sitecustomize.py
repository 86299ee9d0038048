"""On a command's PYTHONPATH: it runs FAUST_LEDGER_TEST_LATER days from now, by its own clock."""

import os
import time

NANOSECONDS = int(os.environ["FAUST_LEDGER_TEST_LATER"]) * 86_400 * 10**9
now, now_ns = time.time, time.time_ns

time.time = lambda: now() + NANOSECONDS / 10**9
time.time_ns = lambda: now_ns() + NANOSECONDS

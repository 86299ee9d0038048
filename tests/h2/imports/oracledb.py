"""python-oracledb as the processes of a ledger on H2 import it: its connections are to that H2.

`tests/h2/served.py` puts this folder before all others. The driver's own module takes the place of
this one, with one function exchanged.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:] = [each for each in sys.path if Path(each) != HERE]
del sys.modules["oracledb"]

import oracledb  # noqa: E402

from tests.h2.driver import driver  # noqa: E402
from tests.h2.golden import GOLDEN  # noqa: E402

oracledb.connect = driver(os.environ["FAUST_LEDGER_TEST_H2"], GOLDEN.check).connect

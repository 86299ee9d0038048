"""The general ledger in Oracle Database 19c or later, over python-oracledb in thin mode."""

from ledger.gl.oracle.journal import OracleBooks, OracleJournal

__all__ = ["OracleBooks", "OracleJournal"]

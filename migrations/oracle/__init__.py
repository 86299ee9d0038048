"""The general ledger's migrations in Oracle: revisions of their own, for its own SQL."""

"""The general ledger: tables, the journal protocol and its implementations."""

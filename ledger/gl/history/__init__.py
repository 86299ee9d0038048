"""History: read tables of the general ledger for questions about any point in time."""

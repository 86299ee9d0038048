"""A streaming general ledger: everything that can be imported without Faust."""

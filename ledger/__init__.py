"""A streaming general ledger: everything but the Faust applications, which are `agents`."""

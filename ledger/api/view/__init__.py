"""The balance view: this process's own copy of `ledger.balances`, and how far it is complete."""

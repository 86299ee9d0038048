"""What the ledger does in a second, how long a balance takes, and what a transaction costs."""

"""A made-up day at a wealth manager, and showing what the ledger makes of it."""

"""What becomes of transactions: followed from the ledger's topics, and waited for."""

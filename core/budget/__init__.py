"""What is spent, what is promised, and what is allowed: the ledger."""

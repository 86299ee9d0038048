"""Rebuilding from the log: shadow ledgers, the live ledger, tables, the public balances.

A shadow ledger is posted by the same SQL as the live one, in a schema of its own, and its
transactions are decided again by the domain's rules with the present settings and reference data.
The audit (`ledger.audit`) is the other kind of check: it shares no rule with what it checks.
"""

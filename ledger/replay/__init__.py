"""Made once more from the log: shadow ledgers, the live one, tables, the public balances.

A shadow is posted by the same SQL as the live ledger, in a schema of its own, and decided again by
the domain's own rules with today's settings and reference data. The audit (`ledger.audit`) is the
other kind of check: it shares no rule with what it checks.
"""

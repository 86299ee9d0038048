"""The general ledger: Journal posts and Books read, in memory, in PostgreSQL and in Oracle.

`tables`, `reads`, `sql_books` and `orphan_rows` are common to SQL databases; `chain`, `sums` and
`verify` check any Books. `postgresql` and `oracle` have connections, the statements of a posting,
and Books that extend SqlBooks; `databases` chooses by the address.
"""

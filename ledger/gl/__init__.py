"""The general ledger: Journal posts and Books read, in memory and in PostgreSQL.

`tables`, `reads`, `sql_books` and `orphan_rows` are common to SQL databases; `chain`, `sums` and
`verify` check any Books. A second database is a folder beside `postgresql`, with connections, the
statements of a posting, and Books that extend SqlBooks; `databases` chooses it.
"""

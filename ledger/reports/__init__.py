"""Reports and exports: pure functions of the general ledger's rows, and what renders them.

A report is a `Report`: conditions, columns, rows and totals, with every amount in minor units until
it is shown. `sheets` has those of balances, `lines` those of an account's entries, `ageing` that of
breaks; `rendered`, `workbook` and `pages` make JSON, CSV, XLSX and PDF of any of them.
"""

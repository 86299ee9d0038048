"""Rows that a query is given, as a table within it."""

from collections.abc import Mapping, Sequence

from sqlalchemy import BigInteger, TableValuedAlias, bindparam, column, func
from sqlalchemy.dialects.postgresql import ARRAY


def given_rows(name: str, columns: Mapping[str, Sequence[int]]) -> TableValuedAlias:
    """A table of whole numbers, a column for each name; all have as many rows.

    Two parameters for two columns, however many rows, so that the statement stays the same. Only
    PostgreSQL has `unnest`; Oracle has the same in JSON_TABLE.
    """
    arrays = [bindparam(None, list(each), type_=ARRAY(BigInteger)) for each in columns.values()]
    named = (column(each, BigInteger) for each in columns)
    return func.unnest(*arrays).table_valued(*named, name=name).render_derived()

"""Deletes expired rows page by page, each page in its own transaction, so that locks are short.

Each feature has its sweep steps in its `sweep.py`, one function each; `shared/publishing/housekeeping.py` runs them hourly.
"""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.db.session import unit_of_work
from shared.db.statement import NoRow, Sql, Statement, sql

PAGE_SIZE = 500
MOST_PAGES = 20


class Page(NamedTuple):
    page_size: int


class Deletion(Statement[[int], NoRow]):
    """Deletes a page of the rows of `table` for which `lapsed` is true."""

    def __init__(self, name: str, *, table: Sql, lapsed: Sql) -> None:
        text = sql(
            "delete from {table} where ctid in (select ctid from {table} where {lapsed} limit :page_size)",
            table=table,
            lapsed=lapsed,
        )
        super().__init__(name, text, params=Page, row=NoRow)

    def in_pages(self) -> int:
        """Delete up to `MOST_PAGES` pages and return the number of rows; the next hour continues."""
        return in_pages(lambda session: self.run(session, PAGE_SIZE), most_pages=MOST_PAGES)


def in_pages(delete_page: Callable[[Session], int], *, most_pages: int) -> int:
    """Call `delete_page` until it deletes less than a page, at most `most_pages` times; return the number of deleted rows."""
    total = 0
    for _ in range(most_pages):
        with unit_of_work() as session:
            deleted = delete_page(session)
        total += deleted
        if deleted < PAGE_SIZE:
            break
    return total

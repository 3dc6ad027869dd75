"""Writes CSV (RFC 4180) that a spreadsheet does not execute.

A cell that begins with one of these characters is read as a formula, so it gets an apostrophe, which spreadsheets hide.
Source: owasp.org/www-community/attacks/CSV_Injection, read 2026-12.
"""

import csv
import io
from collections.abc import Iterable, Sequence

_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as text, the header first."""
    written = io.StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_MINIMAL)
    writer.writerow(header)
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return written.getvalue()


def safe_cell(text: str) -> str:
    """Return a cell that is no formula, whatever blanks precede it."""
    return f"'{text}" if text.lstrip(" ").startswith(_BEGINS_FORMULA) else text

"""Writes the results as tables and as a section of docs/performance.md, both from results.json alone.

python -m benchmarks.report            rewrite results.md and the section
python -m benchmarks.report --check    report whether they are current
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.budgets import judge
from benchmarks.timing import Row

HERE = Path(__file__).parent
RESULTS, TABLES = HERE / "results.json", HERE / "results.md"
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured: python -m benchmarks.report -->", "<!-- end of measured -->"


@dataclass(frozen=True, slots=True)
class Section:
    """A table's title, and the explanation above it."""

    title: str
    note: str = ""


SECTIONS = {
    "budgets": Section("Budgets"),
    "imports": Section(
        "Imports",
        "Each function in fresh processes with its bytecode, from the start of the interpreter to the end of the import; "
        "medians. `publish, first batch` adds what the first batch needs: a platform, its HTTP client, a connection.",
    ),
    "slowest imports": Section(
        "The slowest imports",
        "By a module's own time as the interpreter measures it, in fresh processes with bytecode; medians. Measuring slows the "
        "import, so the shares count. A module's time includes the garbage collections that happen to fall into it.",
    ),
    "requests": Section(
        "Requests",
        "Through the real handlers and the real database, in turn with a bare FastAPI and Mangum route that runs one "
        "SELECT by key on the same connection. CPU is the function's; the database's own is beside it.",
    ),
    "statements": Section(
        "Statements and round trips",
        "Counted. Statements are without BEGIN and COMMIT; BEGIN rides with a transaction's first statement, so a round "
        "trip more than statements is a COMMIT.",
    ),
    "bytes": Section(
        "Bytes of a large month",
        "What the posts function answers for a month, without and with `Accept-Encoding: gzip`.",
    ),
    "month": Section(
        "The month of a calendar",
        "The same month, holding as many posts, in an organization with few posts and in one with many.",
    ),
    "publishing": Section(
        "Publishing",
        "One environment, batches of ten through the publish function's handler, a platform that answers at once.",
    ),
    "burst": Section("A hundred posts in one second", "As above; seconds late are the database's."),
    "lateness": Section(
        "Ten thousand posts in one second",
        "Simulated (`benchmarks/lateness.py`) with the limits AWS documents, the real lead, spread and delays, and these "
        "assumptions:",
    ),
    "neighbors": Section(
        "A quiet organization beside a slow one",
        "Simulated (`benchmarks/neighbors.py`): one organization queues 200 posts at a server that answers after 28 seconds, "
        "another has a post every second. Seconds late are the quiet one's, with the bounds as they are set and without.",
    ),
    "start": Section(
        "Starting on one machine",
        "`make run` with a home of its own, until it says that it is ready.",
    ),
    "assumptions": Section(""),
}


def render(results: Mapping[str, Any], *, sections: Sequence[str], level: int) -> str:
    """Write sections of the results as Markdown; the budgets are judged by what was measured."""
    rows = {**results, "budgets": judge(results)}
    parts = []
    for name in sections:
        if not rows.get(name):  # not measured in this run
            continue
        section = SECTIONS[name]
        parts += [f"{'#' * level} {section.title}", section.note]
        if name == "lateness":
            parts.append(table(rows["assumptions"]))
        parts.append(table(rows[name]))
    return "\n\n".join(part for part in parts if part) + "\n"


def tables(results: Mapping[str, Any]) -> str:
    """Write all tables."""
    sections = [name for name in SECTIONS if name != "assumptions"]
    return f"# Measured\n\n{_run(results)}\n\n{render(results, sections=sections, level=2)}"


def section_of_page(results: Mapping[str, Any]) -> str:
    """Write the section of docs/performance.md."""
    tables = render(results, sections=("budgets", "imports", "requests", "lateness"), level=3)
    return f"{BEGIN}\n{_run(results)}\n\n{tables}{END}"


def page_with(page: str, results: Mapping[str, Any]) -> str:
    """Return the document with its section rewritten."""
    before, _, rest = page.partition(BEGIN)
    return before + section_of_page(results) + rest.partition(END)[2]


def _run(results: Mapping[str, Any]) -> str:
    run = results["run"]
    words = [
        f"Python {run['python']}, {run['processors']} processors, load {run['load']} at the start.",
        "Times in milliseconds are for orientation; what counts are ratios, taken in one run, and counts.",
        run["stands in"],
    ]
    return " ".join(words)


def table(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table."""
    heads = list(rows[0])
    lines = [heads, ["---" if _is_text(rows, head) else "---:" for head in heads]]
    lines += [[_cell(row[head]) for head in heads] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _is_text(rows: Sequence[Row], head: str) -> bool:
    return any(isinstance(row[head], str) for row in rows)


def _cell(value: object) -> str:
    if value is None:
        return "not measured"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the tables from benchmarks/results.json.")
    parser.add_argument("--check", action="store_true", help="write nothing; report what is stale")
    check = parser.parse_args().check
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    wanted = {
        TABLES: tables(results),
        PAGE: page_with(PAGE.read_text(encoding="utf-8"), results),
    }
    stale = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.name} is stale: python -m benchmarks.report", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether nothing in the code asks another clock, and production's knows nothing of ours."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT

# PostgreSQL's other words for the time: they would not be moved. `now()` is the one that is.
OTHER_CLOCKS = re.compile(
    r"\b(current_timestamp|current_date|current_time|localtimestamp|localtime|clock_timestamp|statement_timestamp"
    r"|transaction_timestamp|timeofday|pg_catalog\.now)\b|\bage\(\s*[^,()]+\)|'(now|today|yesterday|tomorrow)'\s*::"
    r"|\b(timestamptz|timestamp|date|time)\s+'(now|today|yesterday|tomorrow)'",
    re.IGNORECASE,
)
MACHINE = re.compile(
    r"\btime\.time(_ns)?\(|\bdatetime\.(now|today|utcnow)\(|\bdate\.today\(|\btime\.(gm|local)time\(\)"
)
# Where the machine's own clock is meant.
BY_THE_MACHINE = {
    "shared/core/clock.py": "it is the default",
    "shared/core/trace.py": "X-Ray compares it with Lambda's own times",
    "local/workers.py": "a function's deadline is real time: awslambdaric compares it with the machine's clock",
    "local/lineage.py": "as shared/core/trace.py",
    "local/demo_remote.py": "it measures a deployment",
    "local/import_posts.py": "it asks two deployments",
    "local/demo.py": "the running system is another process: local.json says how far it is ahead",
}  # fmt: skip
PRODUCTION = ("shared", "functions", "layers")
OURS = re.compile(
    r"roost_clock|ROOST_CLOCK|database_clock|\bread_from\(|_clock\b.*advance", re.IGNORECASE
)


def lines(
    folders: tuple[str, ...], suffixes: tuple[str, ...] = (".py",)
) -> Iterator[tuple[str, int, str]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes:
                for number, line in enumerate(path.read_text().splitlines(), 1):
                    yield str(path.relative_to(ROOT)), number, line


class TestStatements:
    def test_ask_for_the_time_by_now_alone(self) -> None:
        found = [
            f"{path}:{number}"
            for path, number, line in lines(("shared", "functions"))
            if OTHER_CLOCKS.search(line)
        ]
        assert found == [], "write now(): it is the one that a laptop's clock moves"

    @pytest.mark.parametrize(
        "statement",
        [
            "select current_timestamp", "where due_at <= CLOCK_TIMESTAMP()", "select localtimestamp", "values ('now'::timestamptz)",
            "timestamptz 'now'", "select age(created_at)", "func.current_timestamp()", "transaction_timestamp()", "pg_catalog.now()",
        ],
    )  # fmt: skip
    def test_others_are_recognized(self, statement: str) -> None:
        assert OTHER_CLOCKS.search(statement)

    @pytest.mark.parametrize(
        "statement",
        ["now()", "Send 'draft' or 'now'.", "age(a, b)", '{"kind": "now"}', "localtime_zone"],
    )
    def test_what_is_meant_otherwise_is_not(self, statement: str) -> None:
        assert not OTHER_CLOCKS.search(statement)


class TestPython:
    def test_asks_the_machine_only_where_that_is_meant(self) -> None:
        found = {
            path
            for path, _, line in lines(("shared", "functions", "local"))
            if MACHINE.search(line)
        }
        assert found == set(BY_THE_MACHINE)


class TestProduction:
    def test_knows_nothing_of_the_clock_that_moves(self) -> None:
        found = [
            f"{path}:{number}: {line.strip()}"
            for path, number, line in lines(PRODUCTION)
            if OURS.search(line)
        ]
        assert found == [
            "shared/core/clock.py:24: def read_from(read: Callable[[], datetime]) -> None:"
        ]

    @pytest.mark.parametrize("file", ["template.yaml", "samconfig.toml", "shared/db/roles.py"])
    def test_its_stack_and_its_roles_have_no_search_path(self, file: str) -> None:
        text = (ROOT / file).read_text().lower()
        assert "search_path" not in text
        assert "roost_clock" not in text

    def test_only_migrations_set_a_search_path(self) -> None:
        found = {path for path, _, line in lines(PRODUCTION) if "search_path" in line.lower()}
        assert found == {"shared/db/migrate.py"}

    def test_benchmarks_log_in_without_it(self) -> None:
        assert not [path for path, _, line in lines(("benchmarks",)) if OURS.search(line)]
        assert Path(ROOT / "benchmarks" / "surroundings.py").exists()

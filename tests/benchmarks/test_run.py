"""The measurements still measure: one quick run of all of them. Its times mean nothing; its counts are exact."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.budgets import judge
from benchmarks.report import SECTIONS, tables

pytestmark = pytest.mark.broad

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("benchmarks")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--to", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "results.json").read_text())
    assert (folder / "results.md").read_text() == tables(found)
    return found | {"budgets": judge(found)}


class TestQuickRun:
    def test_every_section_is_measured(self, results: Any) -> None:
        assert {name for name in SECTIONS if not results[name]} == {"start"}

    def test_every_budget_has_a_verdict(self, results: Any) -> None:
        assert all(row["verdict"].startswith(("met", "missed")) for row in results["budgets"])

    def test_counted_budgets_are_met(self, results: Any) -> None:
        counted = [row for row in results["budgets"] if row["what"].startswith("SQL")]
        assert len(counted) > 20
        assert [row for row in counted if row["verdict"] != "met"] == []

    def test_publish_loads_neither_fastapi_nor_a_platform(self, results: Any) -> None:
        [publish] = [row for row in results["imports"] if row["function"] == "publish"]
        [bare] = [row for row in results["imports"] if row["function"].startswith("(bare")]
        [batch] = [row for row in results["imports"] if row["function"].endswith("first batch")]
        assert publish["loads"] == ""
        assert bare["loads"] == "fastapi, starlette, mangum"
        assert batch["loads"] == "shared.providers.platforms"

    def test_the_slowest_imports_are_named_by_module(self, results: Any) -> None:
        rows = results["slowest imports"]
        assert {row["function"] for row in rows} == {"publish"}
        own = [row["own ms"] for row in rows]
        assert own == sorted(own, reverse=True)
        assert any(row["module"].startswith("shared.") for row in rows)

    def test_the_month_is_read_by_its_index(self, results: Any) -> None:
        assert {row["index"] for row in results["month"]} == {"ix_posts_calendar"}
        assert {row["in the month"] for row in results["month"]} == {300}

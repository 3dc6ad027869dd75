"""How figures are made of samples, and how they are judged and shown."""

import json
from typing import Any

import pytest

from benchmarks import budgets, publishing, report, requests
from benchmarks.assumptions import Lambda, in_lambda
from benchmarks.imports import BARE
from benchmarks.lateness import simulate
from benchmarks.publishing import Throughput
from benchmarks.timing import Samples, percentile, ratio


class TestSamples:
    @pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.01, 1)])
    def test_percentiles(self, share: float, value: int) -> None:
        assert percentile(list(range(10, 0, -1)), share) == value

    def test_in_milliseconds(self) -> None:
        samples = Samples([1_000_000, 3_000_000], [2_000_000, 4_000_000], database_cpu_ns=5_000_000)
        assert (samples.p50_ms, samples.p95_ms) == (2.0, 3.0)
        assert (samples.cpu_ms, samples.database_cpu_ms) == (3.0, 2.5)

    def test_a_ratio_to_nothing_is_not_measured(self) -> None:
        assert ratio(1.0, 0.0) is None
        assert ratio(3.0, 2.0) == 1.5


class TestInLambda:
    def test_a_share_of_a_processor_takes_as_much_longer(self) -> None:
        measured = Throughput(100, 1.0, 0.5, 0.2, batch_cpu_seconds=0.05)
        half, whole = (
            in_lambda(
                measured, trips_a_post=7, first_batch_cpu_seconds=0.4, function=Lambda(memory, 50)
            )
            for memory in (1_769 // 2 + 1, 3_000)
        )
        assert whole.batch_seconds == pytest.approx(0.05 + 0.07)
        assert half.batch_seconds == pytest.approx(0.10 + 0.07, rel=0.01)
        assert half.cold_start_seconds == pytest.approx(0.115 + 0.8, rel=0.01)

    def test_the_template_says_how_large_the_function_is(self) -> None:
        function = Lambda.of_template()
        assert function.memory_mb >= 512
        assert function.max_concurrency >= 2


class TestLateness:
    def test_more_at_once_is_less_late(self) -> None:
        cost: dict[str, Any] = {"platform_seconds": 0.6, "batch_cpu_seconds": 0.1, "cold_start_seconds": 1.0}  # fmt: skip
        capped = simulate(**cost, max_concurrency=10, posts=1_000)
        scaling = simulate(**cost, posts=1_000)
        pollers = simulate(**cost, pollers=40, posts=1_000)
        assert capped.last > scaling.last > pollers.last > 1.6
        assert capped.peak_environments == 10

    def test_nobody_is_early(self) -> None:
        alone = simulate(platform_seconds=0, batch_cpu_seconds=0, cold_start_seconds=0, posts=1)
        assert 0 <= alone.last < 1.1


class TestBudgets:
    def test_says_what_was_missed_and_why(self) -> None:
        rows: list[Any] = [
            {"index": "ix_posts_calendar", "scan": "Index Scan", "pages touched": 300, "posts": 1_000, "p50 / with few": 1.0},
            {"index": "ix_posts_calendar", "scan": "Index Scan", "pages touched": 900, "posts": 1_000_000, "p50 / with few": 1.9},
        ]  # fmt: skip
        missed = budgets._month(rows)
        assert missed["verdict"] == "missed: Index Scan of 900 pages against Index Scan of 300"
        rows[1]["p50 / with few"] = 1.1
        assert budgets._month(rows)["verdict"] == "met"
        rows[1]["index"] = "posts_pkey"
        assert str(budgets._month(rows)["verdict"]).startswith("missed")

    @pytest.mark.parametrize(("times", "verdict"), [(8.0, "met"), (8.01, "missed")])
    def test_requests_are_judged_by_their_ratio(self, times: float, verdict: str) -> None:
        """Milliseconds depend on the machine."""
        row: Any = {"p50 / bare": times, "p50 ms": 900.0, "CPU ms": 400.0}
        assert str(budgets._request(requests.CREATE, row, 8.0)["verdict"]).startswith(verdict)

    @pytest.mark.parametrize(("machine", "share"), [(1.0, 50), (2.0, 25)])
    def test_former_figures_are_compared_on_a_machine_as_fast(
        self, machine: float, share: int
    ) -> None:
        row: Any = {
            "request": requests.CREATE_MANY,
            requests.BOTH: budgets.CREATE_MANY_FORMER_MS / 2,
        }
        bare: Any = {"function": BARE, "CPU ms": budgets.BARE_IMPORT_FORMER_MS * machine}
        judged = budgets._create_many([row], [bare])
        assert str(judged["measured"]).startswith(f"{share}%")
        assert judged["verdict"] == "met"

    def test_what_was_not_measured_is_not_met(self) -> None:
        assert budgets._request(requests.CREATE, None, 8.0)["verdict"] == "missed"
        assert budgets._create_many([], [])["verdict"] == "missed"
        assert budgets._bytes([])["verdict"] == "missed"
        burst: Any = [{"what": publishing.LAST_OUT, "figure": 0.1}]
        throughput: Any = [{"what": publishing.BOTH, "figure": 1.0}]
        *_, trips = budgets._publishing(throughput, burst)
        assert (trips["measured"], trips["verdict"]) == (budgets.NOT_MEASURED, "missed")


class TestReport:
    def test_what_is_committed_is_shown_as_it_was_measured(self) -> None:
        results = json.loads(report.RESULTS.read_text())
        assert report.TABLES.read_text() == report.tables(results)
        page = report.PAGE.read_text()
        assert report.page_with(page, results) == page

    def test_only_the_section_is_replaced(self) -> None:
        results = json.loads(report.RESULTS.read_text())
        page = f"before\n{report.BEGIN}\nfigures of last year\n{report.END}\nafter\n"
        shown = report.page_with(page, results)
        assert shown.startswith("before\n")
        assert shown.endswith(f"{report.END}\nafter\n")
        assert "last year" not in shown

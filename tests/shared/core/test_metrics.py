"""Whether what happened can be counted: CloudWatch's embedded format, one line for all that happened at once."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core import metrics


def _written(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    written: dict[str, Any] = json.loads(line)
    return written


def _directive(line: dict[str, Any]) -> dict[str, Any]:
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    found: dict[str, Any] = directive
    return found


def test_published_part_is_one_line_for_all_and_for_its_provider(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics.count_published("mastodon", timedelta(seconds=1.5))
    line = _written(capsys)
    assert _directive(line) == {
        "Namespace": "Roost",
        "Dimensions": [["service"], ["Provider", "service"]],
        "Metrics": [
            {"Name": "Published", "Unit": "Count"},
            {"Name": "LatenessSeconds", "Unit": "Seconds"},
        ],
    }
    values = {name: value for name, value in line.items() if name != "_aws"}
    assert values == {
        "service": "roost",
        "Provider": "mastodon",
        "Published": 1,
        "LatenessSeconds": 1.5,
    }


def test_part_before_its_time_is_not_negative(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count_published("mastodon", timedelta(seconds=-1))
    assert _written(capsys)["LatenessSeconds"] == 0.0


def test_further_part_of_a_thread_has_no_lateness(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count_published("mastodon", None)
    line = _written(capsys)
    assert "LatenessSeconds" not in line
    assert _directive(line)["Metrics"] == [{"Name": "Published", "Unit": "Count"}]


@pytest.mark.parametrize(
    ("name", "count"),
    [("Failed", metrics.count_failed), ("Unconfirmed", metrics.count_unconfirmed)],
)
def test_other_ends_are_counted_for_all_and_by_provider(
    name: str, count: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    count("x")
    line = _written(capsys)
    assert (line[name], line["Provider"]) == (1, "x")
    assert _directive(line)["Dimensions"] == [["service"], ["Provider", "service"]]


@pytest.mark.parametrize(
    ("name", "unit", "write"),
    [
        ("LatePosts", "Count", lambda: metrics.gauge_late_posts(3)),
        ("CrowdedPosts", "Count", lambda: metrics.gauge_crowded_posts(3)),
        ("DatabaseConnectionsPercent", "Percent", lambda: metrics.gauge_connections(3)),
    ],
)
def test_gauges_are_of_the_whole_system(
    name: str, unit: str, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write()
    line = _written(capsys)
    assert line[name] == 3
    assert _directive(line)["Metrics"] == [{"Name": name, "Unit": unit}]
    assert _directive(line)["Dimensions"] == [["service"]]


def test_time_is_in_milliseconds(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count_unexpected()
    assert len(str(_written(capsys)["_aws"]["Timestamp"])) == 13


def test_template_asks_for_the_metrics_that_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics.count_published("x", timedelta(0))
    metrics.count_failed("x")
    metrics.count_unconfirmed("x")
    metrics.gauge_late_posts(1)
    metrics.gauge_crowded_posts(1)
    metrics.gauge_connections(1)
    metrics.gauge_rows_without_partition(1)
    metrics.count_unexpected()
    metrics.count_after_commit_failure()
    metrics.count_mail_not_sent()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    written = {one["Name"] for line in lines for one in _directive(line)["Metrics"]}
    template = Path("template.yaml").read_text()
    asked = set(re.findall(r'"Roost","(\w+)"', template))
    asked |= set(re.findall(r"Namespace: Roost, MetricName: (\w+)", template))
    asked |= set(re.findall(r"Namespace: Roost\n\s+MetricName: (\w+)", template))
    assert asked
    assert asked <= written

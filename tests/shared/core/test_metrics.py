"""Whether what happened can be counted: CloudWatch's embedded format, one line a metric and dimension."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.core import metrics


def _written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def test_published_part_is_counted_with_its_lateness(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count_published("mastodon", timedelta(seconds=1.5))
    written = _written(capsys)
    assert [line["LatenessSeconds"] for line in written if "LatenessSeconds" in line] == [
        [1.5],
        [1.5],
    ]
    assert sorted(line.get("Provider", "") for line in written if "Published" in line) == [
        "",
        "mastodon",
    ]
    namespaces = {line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in written}
    assert namespaces == {"Roost"}


def test_part_before_its_time_is_not_negative(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count_published("mastodon", timedelta(seconds=-1))
    assert {
        line["LatenessSeconds"][0] for line in _written(capsys) if "LatenessSeconds" in line
    } == {0.0}


def test_further_part_of_a_thread_has_no_lateness(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count_published("mastodon", None)
    assert not [line for line in _written(capsys) if "LatenessSeconds" in line]


@pytest.mark.parametrize(
    ("name", "count"),
    [("Failed", metrics.count_failed), ("Unconfirmed", metrics.count_unconfirmed)],
)
def test_other_ends_are_counted_for_all_and_by_provider(
    name: str, count: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    count("x")
    assert [line.get("Provider") for line in _written(capsys) if line.get(name) == [1.0]] == [
        None,
        "x",
    ]


def test_late_posts_are_a_gauge(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.gauge_late_posts(3)
    (line,) = _written(capsys)
    assert line["LatePosts"] == [3.0]

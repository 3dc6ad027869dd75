"""Writes CloudWatch metrics to the log in the embedded format, so that a metric costs no request.

Names and dimensions match the alarms and the dashboard in `template.yaml`.

Source: docs.aws.amazon.com, "Specification: Embedded metric format", read 2026-12. Written here and not by Powertools,
which writes a line for each metric and each set of dimensions: four for a published part, at eight times the cost.
"""

import json
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from shared.core import clock

NAMESPACE = "Roost"
_SERVICE = "service"
_PROVIDER = "Provider"


class Unit(StrEnum):
    """CloudWatch's names of the units."""

    COUNT = "Count"
    SECONDS = "Seconds"
    PERCENT = "Percent"


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured value."""

    name: str
    value: float
    unit: Unit = Unit.COUNT


def count_published(provider: str, late: timedelta | None) -> None:
    """Count a published part. `late` is its lateness, None for replies of a thread."""
    metrics = [Metric("Published", 1)]
    if late is not None:
        metrics.append(Metric("LatenessSeconds", max(0.0, late.total_seconds()), Unit.SECONDS))
    _write(*metrics, provider=provider)


def count_failed(provider: str) -> None:
    """Count a part that will not be published."""
    _write(Metric("Failed", 1), provider=provider)


def count_unconfirmed(provider: str) -> None:
    """Count a part whose outcome is unknown."""
    _write(Metric("Unconfirmed", 1), provider=provider)


def gauge_late_posts(count: int) -> None:
    """Write the number of queued posts that are more than five minutes late."""
    _write(Metric("LatePosts", count))


def gauge_connections(percent: float) -> None:
    """Write the open connections in percent of the cluster's limit."""
    _write(Metric("DatabaseConnectionsPercent", percent, Unit.PERCENT))


def count_unexpected() -> None:
    """Count an unanticipated error. Lambda does not count it: an HTTP function answers 500, a message returns to its queue."""
    _write(Metric("UnexpectedErrors", 1))


def count_after_commit_failure() -> None:
    """Count a failed call after a commit: a message or schedule, which a sweep repeats, or an email, which is lost."""
    _write(Metric("AfterCommitFailures", 1))


def count_mail_not_sent() -> None:
    """Count an email that its transport refused."""
    _write(Metric("MailsNotSent", 1))


def gauge_crowded_posts(count: int) -> None:
    """Write the number of due posts that wait because their organization is at its limit for a named server."""
    _write(Metric("CrowdedPosts", count))


def gauge_rows_without_partition(count: int) -> None:
    """Write the number of rows of a partitioned table whose month had no partition."""
    _write(Metric("RowsWithoutPartition", count))


def _write(*metrics: Metric, provider: str | None = None) -> None:
    """Write metrics as one line: for the whole system, which the alarms use, and per provider if given."""
    dimensions = {_SERVICE: os.environ.get("POWERTOOLS_SERVICE_NAME", "roost")}
    sets = [[_SERVICE]]
    if provider is not None:
        dimensions[_PROVIDER] = provider
        sets.append([_PROVIDER, _SERVICE])
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": sets,
        "Metrics": [{"Name": metric.name, "Unit": metric.unit} for metric in metrics],
    }
    line = {
        "_aws": {
            "Timestamp": int(clock.now().timestamp() * 1000),
            "CloudWatchMetrics": [directive],
        },
        **dimensions,
        **{metric.name: metric.value for metric in metrics},
    }
    # One write, because the threads of a batch write in parallel and a line must stay whole.
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()

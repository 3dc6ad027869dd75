"""What is counted: CloudWatch metrics in the embedded format, written with the log, so that counting costs no request.

Names and dimensions are those of the alarms and the dashboard in `template.yaml`.
"""

from datetime import timedelta

from aws_lambda_powertools.metrics import MetricUnit, single_metric

NAMESPACE = "Roost"


def count_published(provider: str, late: timedelta | None) -> None:
    """Count a published part; `late` is how long after the member's time, None for a thread's further parts."""
    _count("Published", provider)
    if late is not None:
        _one("LatenessSeconds", MetricUnit.Seconds, max(0.0, late.total_seconds()), provider)


def count_failed(provider: str) -> None:
    """Count a part that will not be published."""
    _count("Failed", provider)


def count_unconfirmed(provider: str) -> None:
    """Count a part of which nobody knows whether it is there."""
    _count("Unconfirmed", provider)


def gauge_late_posts(count: int) -> None:
    """Write how many queued posts are more than five minutes late."""
    with single_metric(name="LatePosts", unit=MetricUnit.Count, value=count, namespace=NAMESPACE):
        pass


def gauge_connections(percent: float) -> None:
    """Write what share of the cluster's allowed connections is open."""
    with single_metric(
        name="DatabaseConnectionsPercent",
        unit=MetricUnit.Percent,
        value=percent,
        namespace=NAMESPACE,
    ):
        pass


def count_unexpected() -> None:
    """Count an unanticipated error. Lambda itself counts none: an HTTP function answers 500, a queue takes its message back."""
    _whole("UnexpectedErrors")


def count_after_commit_failure() -> None:
    """Count a failed call after a commit: a message or schedule, which a sweep repeats, or a mail, which is lost."""
    _whole("AfterCommitFailures")


def count_mail_not_sent() -> None:
    """Count a mail that its transport refused."""
    _whole("MailsNotSent")


def _whole(name: str) -> None:
    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace=NAMESPACE):
        pass


def gauge_crowded_posts(count: int) -> None:
    """Write how many due posts wait because their organization already sends the most it may to one server."""
    with single_metric(
        name="CrowdedPosts", unit=MetricUnit.Count, value=count, namespace=NAMESPACE
    ):
        pass


def _count(name: str, provider: str) -> None:
    _one(name, MetricUnit.Count, 1, provider)


def _one(name: str, unit: MetricUnit, value: float, provider: str) -> None:
    """Write one metric twice: for the whole system, which the alarms watch, and for its provider."""
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE):
        pass
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="Provider", value=provider)

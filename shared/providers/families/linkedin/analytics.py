"""Reads LinkedIn's numbers: a platform page's daily ones, and one post's current ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.providers.answers import moment_in, number_in, object_in, objects_in
from shared.providers.base import Released, Series
from shared.providers.families.linkedin.rest import headers, page_urn, quoted
from shared.providers.http import Api

PAGE_METRICS = {
    "clickCount": "Clicks",
    "shareCount": "Shares",
    "engagement": "Engagement",
    "commentCount": "Comments",
}
POST_METRICS = {
    "impressionCount": "Impressions",
    "uniqueImpressionsCount": "Unique Impressions",
    "clickCount": "Clicks",
    "likeCount": "Likes",
    "commentCount": "Comments",
    "shareCount": "Shares",
    "engagement": "Engagement",
}


def page_series(api: Api, *, days: int) -> Sequence[Series]:
    """Read daily views, interactions and followers gained."""
    end = api.now().replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=days)
    span = (
        f"timeIntervals=(timeRange:(start:{_milliseconds(start)},end:{_milliseconds(end)}),"
        "timeGranularityType:DAY)"
    )
    page = quoted(page_urn(api))
    views = _daily(
        api, f"/rest/organizationPageStatistics?q=organization&organization={page}&{span}"
    )
    of_entity = f"q=organizationalEntity&organizationalEntity={page}&{span}"
    shares = _daily(api, f"/rest/organizationalEntityShareStatistics?{of_entity}")
    followers = _daily(api, f"/rest/organizationalEntityFollowerStatistics?{of_entity}")
    path = ("totalPageStatistics", "views", "allPageViews", "pageViews")
    return [
        Series("Page Views", _points(views, *path)),
        *(
            Series(
                label,
                _points(shares, "totalShareStatistics", name),
                average=name == "engagement",
            )
            for name, label in PAGE_METRICS.items()
        ),
        Series("Organic Followers", _points(followers, "followerGains", "organicFollowerGain")),
        Series("Paid Followers", _points(followers, "followerGains", "paidFollowerGain")),
    ]


def post_series(api: Api, release: Released) -> Sequence[Series]:
    """Read one post's statistics; LinkedIn has none for an activity's URN or a comment."""
    if not release.id.startswith(("urn:li:share:", "urn:li:ugcPost:")):
        return []
    kind = "ugcPosts" if ":ugcPost:" in release.id else "shares"
    path = (
        "/rest/organizationalEntityShareStatistics?q=organizationalEntity"
        f"&organizationalEntity={quoted(page_urn(api))}&{kind}=List({quoted(release.id)})"
    )
    elements = objects_in(api.read(api.request("GET", path, headers=headers(api))), "elements")
    counted = object_in(elements[0], "totalShareStatistics") if elements else {}
    today = api.now().date().isoformat()
    return [
        Series(label, [(today, float(value))], average=name == "engagement")
        for name, label in POST_METRICS.items()
        if (value := number_in(counted, name)) is not None
    ]


def _daily(api: Api, path: str) -> list[dict[str, Any]]:
    return objects_in(api.read(api.request("GET", path, headers=headers(api))), "elements")


def _points(days: Sequence[Mapping[str, Any]], *path: str) -> list[tuple[str, float]]:
    points = []
    for day in days:
        value, start = number_in(day, ".".join(path)), moment_in(day, "timeRange.start")
        if value is not None and start is not None:
            points.append((start.date().isoformat(), float(value)))
    return sorted(points)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

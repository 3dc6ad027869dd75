"""The ids and addresses of LinkedIn posts and comments."""

import re
import urllib.parse

from shared.providers.addresses import page_at
from shared.providers.base import Released
from shared.providers.families.linkedin.rest import quoted

_POST_PATH = re.compile(
    r"/(?:feed/update/urn:li:|posts/(?:[^/]*-)?)(share|ugcPost|activity)[:-]([0-9]+)(?:-[\w-]*)?",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"urn:li:comment:\((?:urn:li:)?(?:share|ugcPost|activity):[0-9]+,[0-9]+\)")


def released(urn: str) -> Released:
    """Return the release of a post."""
    return Released(id=urn, url=f"https://www.linkedin.com/feed/update/{urn}")


def released_comment(urn: str, *, on: Released) -> Released:
    """Return the release of a comment on the post `on`."""
    return Released(id=urn, url=f"{on.url}?commentUrn={quoted(urn)}")


def named_comment(name: str, *, on: Released) -> Released:
    """Return the release of a comment on the post `on` from its number or its URN: LinkedIn returns either.

    The URN contains the post's activity, which a release does not know, so it is reduced to one form.
    """
    number = name.removesuffix(")").rsplit(",", 1)[-1]
    return released_comment(f"urn:li:comment:({on.id.removeprefix('urn:li:')},{number})", on=on)


def release_at(url: str) -> Released | None:
    """Read `/feed/update/<urn>` and `/posts/<words>-activity-<number>-<letters>`, or the comment in either.

    An address does not say whose post it is.
    """
    page = page_at(url, "linkedin.com")
    found = _POST_PATH.fullmatch(page.path) if page else None
    if page is None or found is None:
        return None
    kind, number = found[1].casefold().replace("ugcpost", "ugcPost"), found[2]
    post = released(f"urn:li:{kind}:{number}")
    [comment] = urllib.parse.parse_qs(page.query).get("commentUrn", [""])[:1]
    return released_comment(comment, on=post) if _COMMENT.fullmatch(comment) else post

"""Looks for an unanswered post among a page's posts, or among a post's comments.

Source: marketing/community-management/shares/{posts,comments}-api on learn.microsoft.com/en-us/linkedin, read 2026-11.
Comments are read with `r_organization_social`. Their order and number per request are not documented, so all are read. An
app that LinkedIn has not approved cannot read them: LinkedIn answers 403 whatever the scopes are
(`partnerApiSocialActions.GET_ALL`, as quoted by @nasdigital/linkedin-mcp on npm).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.core.cleaning import clean_id
from shared.providers.answers import moment_in, number_in, objects_in, text_in
from shared.providers.base import Found, Released
from shared.providers.errors import ChannelDisconnected, Unsupported
from shared.providers.families.linkedin.releases import named_comment, released
from shared.providers.families.linkedin.rest import headers, page_urn, quoted
from shared.providers.families.linkedin.text import comment_text, little_text
from shared.providers.http import Api

LATEST_POSTS = 20
PAGE_SIZE = 100
MAX_PAGES = 10


def find_posts(api: Api, written: str, *, since: datetime) -> Sequence[Found]:
    """Compare the page's latest posts.

    Raises:
        Unsupported: LinkedIn does not let us read them.
    """
    path = (
        f"/rest/posts?q=author&author={quoted(page_urn(api))}&count={LATEST_POSTS}&sortBy=CREATED"
    )
    wanted, found = little_text(written), []
    for entry in objects_in(_read(api, path, {"X-RestLi-Method": "FINDER"}), "elements"):
        created_at, urn = moment_in(entry, "createdAt"), clean_id(entry.get("id"))
        if urn and created_at and created_at >= since and entry.get("commentary") == wanted:
            found.append(Found(released(urn), created_at))
    return found


def find_comments(api: Api, written: str, *, on: Released, since: datetime) -> Sequence[Found]:
    """Compare the page's comments on the post `on`.

    Raises:
        Unsupported: LinkedIn does not let us read them, or there are too many to know whether one is the only one.
    """
    wanted = comment_text(written).split()
    found = []
    for entry in _comments(api, on):
        created_at = moment_in(entry, "created.time")
        is_ours = entry.get("actor") == page_urn(api)
        words = text_in(entry, "message.text").split()
        if is_ours and created_at and created_at >= since and words == wanted:
            found.append(Found(named_comment(str(entry["id"]), on=on), created_at))
    return sorted(found, key=lambda one: one.created_at, reverse=True)


def find_own_post(api: Api, urn: str) -> Released | None:
    """Read a post by its URN; None if it does not exist or is not the page's.

    Raises:
        Unsupported: LinkedIn does not let us read it.
    """
    post = _read(api, f"/rest/posts/{quoted(urn)}", {}, accept=(404,))
    return released(urn) if post.get("author") == page_urn(api) else None


def find_own_comment(api: Api, name: str, *, on: Released) -> Released | None:
    """Find a comment on the post `on` by its URN; None if it does not exist or is not the page's.

    Raises:
        Unsupported: LinkedIn does not let us read them, or there are too many.
    """
    for entry in _comments(api, on):
        one = named_comment(str(entry["id"]), on=on)
        if one.id == name:
            return one if entry.get("actor") == page_urn(api) else None
    return None


def _comments(api: Api, on: Released) -> Iterator[Mapping[str, Any]]:
    """Read all comments once each. A page without new comments is the last; a short one need not be."""
    seen: set[str] = set()
    read = 0
    for _ in range(MAX_PAGES):
        path = f"/rest/socialActions/{quoted(on.id)}/comments?start={read}&count={PAGE_SIZE}"
        body = _read(api, path, {})
        page = objects_in(body, "elements")
        named = {clean_id(entry.get("id")): entry for entry in page}
        new = {name: entry for name, entry in named.items() if name and name not in seen}
        yield from new.values()
        seen |= new.keys()
        read += len(page)
        total = number_in(body, "paging.total")
        if not new or (total is not None and read >= total):
            return
    raise Unsupported("The post has too many comments on LinkedIn to find this one among them.")


def _read(
    api: Api, path: str, more_headers: Mapping[str, str], *, accept: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Read an answer; an answer with a status in `accept` is empty."""
    try:
        answer = api.request("GET", path, headers={**headers(api), **more_headers}, accept=accept)
        return api.read(answer) if answer.is_success else {}
    except (
        ChannelDisconnected
    ) as error:  # a refusal to read does not mean that the channel cannot post
        message = "LinkedIn did not answer, and does not let Roost check whether the post is there."
        raise Unsupported(message, evidence=error.evidence) from error

"""LinkedIn Page. Source: learn.microsoft.com/en-us/linkedin, the pages named below, read 2026-11; other claims are marked.

Quirks: every request names a version; lists and URNs in queries are Rest.li, not ordinary parameters; a post's id is
in a header; special characters in a text are escaped, or the post is cut at the first; further parts of a thread are
comments, which we send without files; only approved applications get a refresh token, and channels without one end
after 60 days (shared/authentication/programmatic-refresh-tokens).
What LinkedIn calls a carousel is for advertisements; ours is a document, of which each picture is a page.
"""

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import BaseModel, Field

from shared.core import text
from shared.core.cleaning import clean_id
from shared.providers.answers import object_in, objects_in, text_in
from shared.providers.base import (
    Account,
    CanFindRelease,
    CanListPages,
    CanLookUp,
    CanMention,
    CanReply,
    CanReport,
    CanRunTools,
    CanStage,
    Connection,
    DraftPart,
    Found,
    Mention,
    OutgoingPost,
    PlatformPage,
    Processing,
    Released,
    Series,
    Staged,
    ThreadPosition,
    Tokens,
    Tool,
    ToolField,
)
from shared.providers.errors import (
    ChannelDisconnected,
    FieldRefused,
    PlatformUnavailable,
    ProviderError,
    Unsupported,
)
from shared.providers.families.linkedin import analytics
from shared.providers.families.linkedin.carousel import (
    MAX_PAGES,
    PAGE_TYPE,
    check_pages,
    stage_carousel,
)
from shared.providers.families.linkedin.look_up import (
    find_comments,
    find_own_comment,
    find_own_post,
    find_posts,
)
from shared.providers.families.linkedin.media import stage_files
from shared.providers.families.linkedin.releases import named_comment, release_at, released
from shared.providers.families.linkedin.rest import (
    created_id,
    headers,
    page_urn,
    quoted,
    read_refusal,
)
from shared.providers.families.linkedin.text import comment_text, little_text
from shared.providers.http import Api
from shared.providers.oauth import OAuth2Provider
from shared.providers.rules import text_for
from shared.providers.spec import (
    ImageRules,
    MediaMode,
    MediaRules,
    OAuth2,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)

# Not confirmed by LinkedIn; from tools that comment there.
MAX_COMMENT_LENGTH = 1_250
_POST_URN = re.compile(r"urn:li:(?:share|ugcPost|activity):[0-9]{1,25}", re.ASCII)
_COMMENT_URN = re.compile(
    r"urn:li:comment:\((?:urn:li:)?((?:share|ugcPost|activity):[0-9]{1,25}),[0-9]{1,25}\)", re.ASCII
)
_PAGE_ID = re.compile(r"[0-9]{1,19}", re.ASCII)
POSTING_ROLES = frozenset({"ADMINISTRATOR", "CONTENT_ADMINISTRATOR", "CONTENT_ADMIN"})
# 20: marketing/community-management/shares/multiimage-post-api. Types and fewer than 36,152,320 pixels: the Images API as
# quoted by cdn.cdata.com/help/CLM/ado/pg_sp-uploadimage.htm. Bytes: an older interface of LinkedIn's
# (developer.linkedin.com/docs/guide/v2/shares/rich-media-shares); the Images API names no limit.
IMAGES = ImageRules(
    max_count=20,
    max_bytes=10_000_000,
    types=("image/jpeg", "image/png", "image/gif"),
    max_width=6_000,  # ours: together they stay below the number of pixels
    max_height=6_000,
    max_pixels=36_152_319,
    max_alt_length=4_086,  # not confirmed by LinkedIn; what other tools name
)
# A page is no larger than a picture, so that a JPEG has one copy for both. It shows no alternative text.
PAGES = replace(IMAGES, max_count=MAX_PAGES, types=(PAGE_TYPE,), max_alt_length=None)


class LinkedInSettings(BaseModel):
    """What a member may choose for one post."""

    post_as_images_carousel: bool = Field(
        default=False,
        title="Post the pictures as a carousel",
        description="They become the pages of one document, in their order. Pages show no alternative text.",
    )
    carousel_name: str = Field(
        default="slides",
        max_length=255,  # ours: LinkedIn names no limit
        title="Title of the carousel",
    )

    @property
    def title(self) -> str:
        """The title, which LinkedIn shows under the pages; never empty."""
        return self.carousel_name.strip() or "slides"


class LinkedInPage(
    OAuth2Provider,
    CanReply,
    CanStage,
    CanLookUp,
    CanFindRelease,
    CanListPages,
    CanMention,
    CanReport,
    CanRunTools,
):
    """A company's page, by the account of someone who may post to it."""

    spec = ProviderSpec(
        slug="linkedin-page",
        name="LinkedIn Page",
        docs_url="https://learn.microsoft.com/linkedin/marketing/community-management/shares/posts-api",
        auth=OAuth2(
            authorize_url="https://www.linkedin.com/oauth/v2/authorization",
            token_url="https://www.linkedin.com/oauth/v2/accessToken",  # noqa: S106  an address
            scopes=(
                "r_basicprofile",
                "rw_organization_admin",
                "w_organization_social",
                "r_organization_social",
            ),
            client_id_setting="LINKEDIN_CLIENT_ID",
            client_secret_setting="LINKEDIN_CLIENT_SECRET",  # noqa: S106  a name
        ),
        # By LinkedIn's own refusal (github.com/n8n-io/n8n/issues/22899, read 2026-11). What it counts as a character,
        # and whether escapes count, is not said; UTF-16 units are never fewer than characters.
        text=TextRules(max_length=3_000, unit=TextUnit.UTF16),
        media=MediaRules(
            images=IMAGES,
            # Not confirmed for posts, whose Videos API takes 5 GB by other tools; these are a video advertisement's.
            videos=VideoRules(
                max_count=1,
                max_bytes=500_000_000,
                min_duration=timedelta(seconds=3),
                max_duration=timedelta(minutes=30),
            ),
            max_count=20,
            replies=False,
        ),
        media_modes=(
            MediaMode(
                setting="post_as_images_carousel",
                name="a carousel",
                media=MediaRules(images=PAGES, max_count=MAX_PAGES, replies=False),
            ),
        ),
        max_parts=25,
        settings=LinkedInSettings,
        base_url="https://api.linkedin.com",
        choose_page=True,
        token_lifetime=timedelta(days=60),
        refresh_ahead=timedelta(days=3),
    )
    tools = (
        Tool(
            "company",
            "Find a company by the address of its page; `value` is what mentions it in a text.",
            (ToolField("url", "Such as https://www.linkedin.com/company/engines"),),
        ),
    )

    def check(
        self, parts: Sequence[DraftPart], settings: Mapping[str, Any]
    ) -> Sequence[FieldRefused]:
        """Refuse long comments, and files that cannot be a carousel when one is requested."""
        refused = []
        for position, part in enumerate(parts[1:], 1):
            length = text.utf16(comment_text(text_for(self, part.html)))
            # Beyond a post's length, the table already refuses it.
            if MAX_COMMENT_LENGTH < length <= self.spec.text.max_length:
                message = (
                    "Every part after the first is a comment, and LinkedIn allows at most "
                    f"{MAX_COMMENT_LENGTH} characters in one; this part has {length}."
                )
                numbers = {"limit": MAX_COMMENT_LENGTH, "actual": length}
                refused.append(
                    FieldRefused(f"value.{position}.content", "too_long", message, numbers)
                )
        if LinkedInSettings.model_validate(settings).post_as_images_carousel:
            refused += check_pages(parts[0], PAGES)
        return refused

    # Connecting: first the person, then the page

    def account(self, api: Api) -> Account:
        """Read the person's account."""
        me = api.read(api.request("GET", "/v2/me", headers=headers(api)), "id")
        names = (text_in(me, "localizedFirstName"), text_in(me, "localizedLastName"))
        name = " ".join(names).strip()
        return Account(
            remote_id=str(me["id"]), name=name or str(me["id"]), username=me.get("vanityName")
        )

    def pages(self, api: Api) -> Sequence[PlatformPage]:
        """List the pages that the person may post to."""
        ids = self._page_ids(api)
        if not ids:
            return []
        path = f"/rest/organizationsLookup?ids=List({','.join(ids)})"
        found = object_in(api.read(api.request("GET", path, headers=headers(api))), "results")
        return [
            PlatformPage(
                id=page_id,
                name=text_in(page, "localizedName") or page_id,
                username=page.get("vanityName"),
            )
            for page_id, page in found.items()
            if page_id in ids and isinstance(page, dict)
        ]

    def choose_page(self, api: Api, page_id: str) -> Connection:
        """Turn the connection into the page's; its token stays the person's."""
        if page_id not in self._page_ids(api):
            raise ChannelDisconnected(
                "This LinkedIn account cannot post to that page.", code="page_not_allowed"
            )
        projection = "(localizedName,vanityName,logoV2(original~:playableStreams))"
        path = f"/v2/organizations/{page_id}?projection={projection}"
        page = api.read(api.request("GET", path, headers=headers(api)), "localizedName")
        account = Account(
            remote_id=page_id,
            name=page["localizedName"],
            username=page.get("vanityName"),
            picture_url=_logo(page),
        )
        tokens = Tokens(
            access=api.access.access_token,
            refresh=api.access.refresh_token,
            expires_at=api.access.expires_at,
        )
        return Connection(account, tokens, {**api.access.details, "person": api.access.remote_id})

    def _page_ids(self, api: Api) -> list[str]:
        params = {"q": "roleAssignee", "state": "APPROVED", "count": 100}
        answer = api.request("GET", "/rest/organizationAcls", params=params, headers=headers(api))
        return [
            page_id
            for entry in objects_in(api.read(answer), "elements")
            if text_in(entry, "role") in POSTING_ROLES
            and _PAGE_ID.fullmatch(page_id := text_in(entry, "organization").rsplit(":", 1)[-1])
        ]

    # Publishing

    def publish(self, api: Api, post: OutgoingPost) -> Released:
        """Create the post on the page."""
        body = {
            "author": page_urn(api),
            "commentary": little_text(post.text),
            "visibility": "PUBLIC",
            "distribution": {
                "feedDistribution": "MAIN_FEED",
                "targetEntities": [],
                "thirdPartyDistributionChannels": [],
            },
            "lifecycleState": "PUBLISHED",
            "isReshareDisabledByAuthor": False,
            **_content(post),
        }
        answer = api.request(
            "POST", "/rest/posts", json=body, headers=headers(api), irrevocable=True
        )
        return released(created_id(api, answer))

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released:
        """Comment on the thread's root, where comments stay in the order in which they were made."""
        urn = to.root.id
        body = {
            "actor": page_urn(api),
            "object": urn,
            "message": {"text": comment_text(post.text)},
        }
        path = f"/rest/socialActions/{quoted(urn)}/comments"
        answer = api.request("POST", path, json=body, headers=headers(api), irrevocable=True)
        return named_comment(created_id(api, answer), on=to.root)

    def look_up(
        self, api: Api, post: OutgoingPost, *, to: ThreadPosition | None, since: datetime
    ) -> Sequence[Found]:
        """Compare the page's latest posts, or its comments on the thread's root."""
        if to is None:
            return find_posts(api, post.text, since=since)
        return find_comments(api, post.text, on=to.root, since=since)

    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        """Upload the files, or the one document that a carousel is, and wait until all are available."""
        chosen = LinkedInSettings.model_validate(post.settings)
        if post.media and chosen.post_as_images_carousel:
            return stage_carousel(api, post, progress, title=chosen.title)
        return stage_files(api, post, progress)

    # Mentions and numbers

    def find_mentions(self, api: Api, query: str) -> Sequence[Mention]:
        """Look up a company by its address or the last part of it."""
        vanity = urllib.parse.urlsplit(query.strip()).path.rstrip("/").rsplit("/", 1)[-1]
        if not vanity:
            return []
        params = {"q": "vanityName", "vanityName": vanity}
        answer = api.request("GET", "/v2/organizations", params=params, headers=headers(api))
        return [
            Mention(id=f"urn:li:organization:{found['id']}", label=found["localizedName"])
            for found in objects_in(api.read(answer), "elements")
            if clean_id(found.get("id")) and isinstance(found.get("localizedName"), str)
        ]

    def format_mention(self, mention_id: str, label: str) -> str:
        """Write the mention in LinkedIn's little text format; the label must be the company's name."""
        return f"@[{label.removeprefix('@')}]({mention_id})"

    def run_tool(self, api: Api, name: str, data: Mapping[str, str]) -> Any:
        """List the companies that an address belongs to: one, or none."""
        del name  # there is one tool
        return [
            {"label": found.label, "value": self.format_mention(found.id, found.label)}
            for found in self.find_mentions(api, data.get("url", ""))
        ]

    def account_series(self, api: Api, *, days: int) -> Sequence[Series]:
        """Read daily views, interactions and followers gained."""
        return analytics.page_series(api, days=days)

    def post_series(self, api: Api, release: Released) -> Sequence[Series]:
        """Read one post's statistics as of now."""
        return analytics.post_series(api, release)

    def release_from_url(
        self, url: str, *, remote_id: str, username: str | None = None
    ) -> Released | None:
        """Read which post or comment an address names; the address does not say whose it is."""
        del remote_id, username
        return release_at(url)

    def find_release(self, api: Api, url: str) -> Released | None:
        """Ask LinkedIn whose post or comment an address names.

        LinkedIn reads posts by the URN of a share or of user-generated content, and not by that of an activity, which
        most addresses that browsers show contain; those, and what it does not let us read (`r_organization_social` lets
        us read a page's posts, but comments need an approval of their own), are taken as the address says.
        Source: marketing/community-management/shares/posts-api, read 2026-11.
        """
        named = release_at(url)
        return self._own(api, named) if named else None

    def find_release_by_id(self, api: Api, release_id: str) -> Released | None:
        """Ask LinkedIn for the post or comment with a URN; if it cannot be asked, do as `find_release` does."""
        if _POST_URN.fullmatch(release_id):
            return self._own(api, released(release_id))
        comment = _COMMENT_URN.fullmatch(release_id)
        return (
            self._own(api, named_comment(release_id, on=released(f"urn:li:{comment[1]}")))
            if comment
            else None
        )

    def _own(self, api: Api, named: Released) -> Released | None:
        """Return the post or comment if it is the page's, or if LinkedIn cannot be asked."""
        comment = _COMMENT_URN.fullmatch(named.id)
        post = released(f"urn:li:{comment[1]}") if comment else named
        if ":activity:" in post.id:
            return named
        try:
            if comment:
                return find_own_comment(api, named.id, on=post)
            return find_own_post(api, named.id)
        except Unsupported:
            return named

    def classify(self, response: httpx.Response) -> ProviderError | None:
        """Read LinkedIn's sentences."""
        return read_refusal(response)


def _content(post: OutgoingPost) -> dict[str, Any]:
    if not post.media:
        return {}
    chosen = LinkedInSettings.model_validate(post.settings)
    urns = list(post.staged.get("urns", []))
    if len(urns) != (1 if chosen.post_as_images_carousel else len(post.media)):
        raise PlatformUnavailable("The media are not on LinkedIn yet.")
    if chosen.post_as_images_carousel:
        return {"content": {"media": {"title": chosen.title, "id": urns[0]}}}
    files = [
        {"id": urn, **({"altText": media.alt} if media.alt and not media.is_video else {})}
        for urn, media in zip(urns, post.media, strict=True)
    ]
    return {
        "content": {"media": files[0]} if len(files) == 1 else {"multiImage": {"images": files}}
    }


def _logo(page: Mapping[str, Any]) -> str | None:
    for element in objects_in(page, "logoV2.original~.elements"):
        for identifier in objects_in(element, "identifiers"):
            return text_in(identifier, "identifier") or None
    return None

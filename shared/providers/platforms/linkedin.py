"""LinkedIn Page. Source: learn.microsoft.com/en-us/linkedin, the pages named below, read 2026-11; what none says is marked.

Quirks: every request names a version; lists and URNs in queries are Rest.li, not ordinary parameters; a post's id is
in a header; special characters in a text are escaped, or the post is cut at the first; further parts of a thread are
comments, which we send without files; only approved applications get a refresh token, and channels without one end
after 60 days (shared/authentication/programmatic-refresh-tokens).
Carousels (several pictures as one document) are not offered.
"""

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from shared.core import clock, text
from shared.providers.addresses import page_at
from shared.providers.base import (
    Account,
    CanListPages,
    CanLookUp,
    CanMention,
    CanReply,
    CanReport,
    CanStage,
    Connection,
    DraftPart,
    Found,
    Mention,
    OutgoingMedia,
    OutgoingPost,
    Page,
    Processing,
    Released,
    Series,
    Staged,
    ThreadPosition,
    Tokens,
)
from shared.providers.errors import (
    ChannelDisconnected,
    ContentRejected,
    FieldRefused,
    MediaRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
)
from shared.providers.http import Api, misconfigured, said
from shared.providers.oauth import OAuth2Provider
from shared.providers.spec import (
    ImageRules,
    MediaRules,
    OAuth2,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)
from shared.providers.uploads import RangeFile, is_time_short, read_range
from shared.providers.wording import text_for

# A version lives at least a year (marketing/versioning) and ends in the middle of its month: 202601 on 15 January 2027
# (marketing/integrations/migrations). Raise this before June 2027; a version that has ended answers 426.
VERSION = "202606"  # the pages have it (`?view=li-lms-2026-06`), so it is out
# Not confirmed by LinkedIn; from tools that comment there.
MAX_COMMENT_LENGTH = 1_250
POSTING_ROLES = frozenset({"ADMINISTRATOR", "CONTENT_ADMINISTRATOR", "CONTENT_ADMIN"})
UPLOAD_TIMEOUT = timedelta(minutes=2)
PROCESSING_PAUSE = timedelta(seconds=5)
LATEST_POSTS = 20
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
_POST_PATH = re.compile(
    r"/(?:feed/update/urn:li:|posts/(?:[^/]*-)?)(share|ugcPost|activity)[:-]([0-9]+)(?:-[\w-]*)?",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"urn:li:comment:\((?:urn:li:)?(?:share|ugcPost|activity):[0-9]+,[0-9]+\)")


class LinkedInPage(
    OAuth2Provider, CanReply, CanStage, CanLookUp, CanListPages, CanMention, CanReport
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
            # 20: marketing/community-management/shares/multiimage-post-api. Types and fewer than 36,152,320 pixels: the
            # Images API as quoted by cdn.cdata.com/help/CLM/ado/pg_sp-uploadimage.htm. Bytes: an older interface of
            # LinkedIn's (developer.linkedin.com/docs/guide/v2/shares/rich-media-shares); the Images API names no limit.
            images=ImageRules(
                max_count=20,
                max_bytes=10_000_000,
                types=("image/jpeg", "image/png", "image/gif"),
                max_width=6_000,  # ours: together they stay below the number of pixels
                max_height=6_000,
                max_pixels=36_152_319,
                max_alt_length=4_086,  # not confirmed by LinkedIn; what other tools name
            ),
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
        max_parts=25,
        base_url="https://api.linkedin.com",
        choose_page=True,
        token_lifetime=timedelta(days=60),
        refresh_ahead=timedelta(days=3),
    )

    def check(
        self, parts: Sequence[DraftPart], settings: Mapping[str, Any]
    ) -> Sequence[FieldRefused]:
        """Refuse long comments, and a carousel in words, because clients of other schedulers ask for one."""
        refused = []
        for position, part in enumerate(parts[1:], 1):
            length = text.utf16(_comment(text_for(self, part.html)))
            # Beyond a post's length the table refuses it already.
            if MAX_COMMENT_LENGTH < length <= self.spec.text.max_length:
                message = (
                    f"LinkedIn takes at most {MAX_COMMENT_LENGTH} characters in a comment, which every part after the "
                    f"first is; this part has {length}."
                )
                numbers = {"limit": MAX_COMMENT_LENGTH, "actual": length}
                refused.append(
                    FieldRefused(f"value.{position}.content", "too_long", message, numbers)
                )
        if settings.get("post_as_images_carousel"):
            message = "Carousels are not offered for LinkedIn. Switch it off to post the pictures side by side."
            refused.append(FieldRefused("settings.post_as_images_carousel", "unsupported", message))
        return refused

    # Connecting: first the person, then the page

    def account(self, api: Api) -> Account:
        """Read who the person is."""
        me = api.read(api.request("GET", "/v2/me", headers=_headers(api)), "id")
        name = f"{me.get('localizedFirstName', '')} {me.get('localizedLastName', '')}".strip()
        return Account(
            remote_id=str(me["id"]), name=name or str(me["id"]), username=me.get("vanityName")
        )

    def pages(self, api: Api) -> Sequence[Page]:
        """List the pages that the person may post to."""
        ids = self._page_ids(api)
        if not ids:
            return []
        path = f"/rest/organizationsLookup?ids=List({','.join(ids)})"
        found = api.read(api.request("GET", path, headers=_headers(api))).get("results", {})
        return [
            Page(
                id=page_id,
                name=page.get("localizedName") or page_id,
                username=page.get("vanityName"),
            )
            for page_id, page in found.items()
        ]

    def choose_page(self, api: Api, page_id: str) -> Connection:
        """Make the connection the page's; its token stays the person's."""
        if page_id not in self._page_ids(api):
            raise ChannelDisconnected(
                "This LinkedIn account may not post to that page.", code="page_not_allowed"
            )
        projection = "(localizedName,vanityName,logoV2(original~:playableStreams))"
        path = f"/v2/organizations/{page_id}?projection={projection}"
        page = api.read(api.request("GET", path, headers=_headers(api)), "localizedName")
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
        answer = api.request("GET", "/rest/organizationAcls", params=params, headers=_headers(api))
        return [
            str(entry["organization"]).rsplit(":", 1)[-1]
            for entry in api.read(answer).get("elements", [])
            if entry.get("role") in POSTING_ROLES and entry.get("organization")
        ]

    # Publishing

    def publish(self, api: Api, post: OutgoingPost) -> Released:
        """Create the post on the page."""
        body = {
            "author": _author(api),
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
            "POST", "/rest/posts", json=body, headers=_headers(api), irrevocable=True
        )
        return _released(_created_id(api, answer))

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released:
        """Comment on the thread's root: comments there stay in the order they were made."""
        urn = to.root.id
        body = {
            "actor": _author(api),
            "object": urn,
            "message": {"text": _comment(post.text)},
        }
        path = f"/rest/socialActions/{_quoted(urn)}/comments"
        answer = api.request("POST", path, json=body, headers=_headers(api), irrevocable=True)
        comment = _created_id(api, answer)
        if not comment.startswith("urn:"):
            comment = f"urn:li:comment:({urn.removeprefix('urn:li:')},{comment})"
        return _released_comment(comment, on=to.root)

    def look_up(self, api: Api, post: OutgoingPost, *, since: datetime) -> Sequence[Found]:
        """Compare the page's latest posts; a comment cannot be looked up this way and is not found."""
        path = f"/rest/posts?q=author&author={_quoted(_author(api))}&count={LATEST_POSTS}&sortBy=CREATED"
        answer = api.request("GET", path, headers={**_headers(api), "X-RestLi-Method": "FINDER"})
        wanted, found = little_text(post.text), []
        for entry in api.read(answer).get("elements", []):
            created_at = datetime.fromtimestamp(entry.get("createdAt", 0) / 1000, UTC)
            if created_at >= since and entry.get("commentary") == wanted:
                found.append(Found(_released(str(entry["id"])), created_at))
        return found

    # Media

    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        """Upload pictures whole and a video in the pieces LinkedIn asks for, then wait until all are available."""
        urns, video = list(progress.get("urns", [])), progress.get("video")
        for media in post.media[len(urns) :]:
            if is_time_short(api):
                return Processing({"urns": urns, "video": video}, after=timedelta(0))
            if not media.is_video:
                urns.append(self._upload_picture(api, media))
                continue
            video = self._continue_video(api, media, video or self._begin_video(api, media))
            if len(video["etags"]) < len(video["pieces"]):
                return Processing({"urns": urns, "video": video}, after=timedelta(0))
            self._finish_video(api, video)
            urns.append(video["urn"])
        waiting = [urn for urn in progress.get("waiting", urns) if not self._is_available(api, urn)]
        if waiting:
            return Processing({"urns": urns, "waiting": waiting}, after=PROCESSING_PAUSE)
        return Staged({"urns": urns})

    def _upload_picture(self, api: Api, media: OutgoingMedia) -> str:
        upload = self._initialize(api, "images", {"owner": _author(api)})
        api.request(
            "PUT",
            upload["uploadUrl"],
            content=RangeFile(api, media),
            headers={**_bearer(api), "Content-Type": media.content_type},
            timeout=UPLOAD_TIMEOUT,
        )
        return str(upload["image"])

    def _begin_video(self, api: Api, media: OutgoingMedia) -> dict[str, Any]:
        wish = {
            "owner": _author(api),
            "fileSizeBytes": media.size_bytes,
            "uploadCaptions": False,
            "uploadThumbnail": False,
        }
        upload = self._initialize(api, "videos", wish)
        pieces = [
            [piece["uploadUrl"], piece["firstByte"], piece["lastByte"]]
            for piece in upload["uploadInstructions"]
        ]
        return {
            "urn": upload["video"],
            "token": upload.get("uploadToken", ""),
            "pieces": pieces,
            "etags": [],
        }

    def _continue_video(
        self, api: Api, media: OutgoingMedia, video: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Send pieces until none is left or time is short; `etags` says how many are there."""
        etags = list(video["etags"])
        for url, first, last in video["pieces"][len(etags) :]:
            answer = api.request(
                "PUT",
                url,
                content=read_range(api, media, first, last - first + 1),
                headers={"Content-Type": "application/octet-stream"},
                timeout=UPLOAD_TIMEOUT,
            )
            etags.append(answer.headers.get("etag", "").strip('"'))
            if is_time_short(api):
                break
        return {**video, "etags": etags}

    def _finish_video(self, api: Api, video: Mapping[str, Any]) -> None:
        request = {
            "video": video["urn"],
            "uploadToken": video["token"],
            "uploadedPartIds": video["etags"],
        }
        api.request(
            "POST",
            "/rest/videos?action=finalizeUpload",
            json={"finalizeUploadRequest": request},
            headers=_headers(api),
        )

    def _initialize(self, api: Api, kind: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        answer = api.request(
            "POST",
            f"/rest/{kind}?action=initializeUpload",
            json={"initializeUploadRequest": wish},
            headers=_headers(api),
        )
        upload: dict[str, Any] = api.read(answer, "value")["value"]
        return upload

    def _is_available(self, api: Api, urn: str) -> bool:
        kind = "videos" if ":video:" in urn else "images"
        answer = api.request("GET", f"/rest/{kind}/{_quoted(urn)}", headers=_headers(api))
        body = api.read(answer, "status")
        if body["status"] == "PROCESSING_FAILED":
            reason = body.get("processingFailureReason") or "no reason given"
            raise api.with_evidence(
                MediaRejected(f"LinkedIn could not process the file: {reason}"), answer
            )
        return bool(body["status"] == "AVAILABLE")

    # Mentions and numbers

    def find_mentions(self, api: Api, query: str) -> Sequence[Mention]:
        """Look a company up by its address or the last part of it."""
        vanity = urllib.parse.urlsplit(query.strip()).path.rstrip("/").rsplit("/", 1)[-1]
        if not vanity:
            return []
        params = {"q": "vanityName", "vanityName": vanity}
        answer = api.request("GET", "/v2/organizations", params=params, headers=_headers(api))
        return [
            Mention(id=f"urn:li:organization:{found['id']}", label=found["localizedName"])
            for found in api.read(answer).get("elements", [])
        ]

    def format_mention(self, mention_id: str, label: str) -> str:
        """Write the mention as little text does; the label must be the company's name."""
        return f"@[{label.removeprefix('@')}]({mention_id})"

    def account_series(self, api: Api, *, days: int) -> Sequence[Series]:
        """Read daily views, interactions and followers gained."""
        end = api.now().replace(hour=0, minute=0, second=0, microsecond=0)
        start = end - timedelta(days=days)
        span = (
            f"timeIntervals=(timeRange:(start:{_milliseconds(start)},end:{_milliseconds(end)}),"
            "timeGranularityType:DAY)"
        )
        page = _quoted(_author(api))
        views = self._daily(
            api, f"/rest/organizationPageStatistics?q=organization&organization={page}&{span}"
        )
        of_entity = f"q=organizationalEntity&organizationalEntity={page}&{span}"
        shares = self._daily(api, f"/rest/organizationalEntityShareStatistics?{of_entity}")
        followers = self._daily(api, f"/rest/organizationalEntityFollowerStatistics?{of_entity}")
        shown = ("totalPageStatistics", "views", "allPageViews", "pageViews")
        return [
            Series("Page Views", _points(views, *shown)),
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

    def post_series(self, api: Api, release: Released) -> Sequence[Series]:
        """Read one post's statistics; LinkedIn tells none under an activity's name, or of a comment."""
        if not release.id.startswith(("urn:li:share:", "urn:li:ugcPost:")):
            return []
        kind = "ugcPosts" if ":ugcPost:" in release.id else "shares"
        path = (
            "/rest/organizationalEntityShareStatistics?q=organizationalEntity"
            f"&organizationalEntity={_quoted(_author(api))}&{kind}=List({_quoted(release.id)})"
        )
        elements = api.read(api.request("GET", path, headers=_headers(api))).get("elements", [])
        counted = elements[0].get("totalShareStatistics", {}) if elements else {}
        today = api.now().date().isoformat()
        return [
            Series(label, [(today, float(counted[name]))], average=name == "engagement")
            for name, label in POST_METRICS.items()
            if name in counted
        ]

    def _daily(self, api: Api, path: str) -> list[dict[str, Any]]:
        elements: list[dict[str, Any]] = api.read(
            api.request("GET", path, headers=_headers(api))
        ).get("elements", [])
        return elements

    def release_from_url(
        self, url: str, *, remote_id: str, username: str | None = None
    ) -> Released | None:
        """Read `/feed/update/<urn>` and `/posts/<words>-activity-<number>-<letters>`, or the comment either names.

        An address does not say whose post it is.
        """
        del remote_id, username
        page = page_at(url, "linkedin.com")
        found = _POST_PATH.fullmatch(page.path) if page else None
        if page is None or found is None:
            return None
        kind, number = found[1].casefold().replace("ugcpost", "ugcPost"), found[2]
        post = _released(f"urn:li:{kind}:{number}")
        [comment] = urllib.parse.parse_qs(page.query).get("commentUrn", [""])[:1]
        return _released_comment(comment, on=post) if _COMMENT.fullmatch(comment) else post

    def classify(self, response: httpx.Response) -> ProviderError | None:
        """Read LinkedIn's sentences; its codes are shared by unlike failures."""
        words, status = said(response), response.status_code
        if status == 429:
            is_daily = "DAY limit" in words
            return RateLimited(
                f"LinkedIn asks to wait. {words}",
                retry_after=_until_midnight() if is_daily else timedelta(minutes=1),
                whole_app=is_daily and "APPLICATION" in words,
            )
        if status == 426:  # the version named in the header has ended
            return misconfigured("LinkedIn", words)
        if status in {400, 403, 404} and (
            "Unable to obtain activity" in words or "resource is forbidden" in words
        ):
            return PlatformUnavailable(f"LinkedIn cannot see the post yet. {words}")
        if status == 403:
            return ChannelDisconnected(f"This account may no longer post to the page. {words}")
        if status == 422 and "duplicate" in words.casefold():
            return ContentRejected(
                f"LinkedIn already shows this text on the page. {words}", code="duplicate"
            )
        return None


# Little text: marketing/community-management/shares/little-text-format: "all reserved characters need to be escaped",
# the list as quoted in github.com/xorbitsai/xagent/issues/2555, both read 2026-11. The page's example of a hashtag has
# the sign bare; we escape it there too, as its rule says and other programs do.
_MENTION = re.compile(r"@\[([^\]]+)\]\((urn:li:(?:organization|person):[\w-]+)\)")
_HASHTAG = re.compile(r"(?<![\w#&])#(\w*[^\W\d]\w*)")
_SPECIAL = re.compile(r"([\\|{}@\[\]()<>#*_~])")


def little_text(written: str) -> str:
    """Escape what LinkedIn reads as markup, keeping mentions and turning hashtags into hashtags."""
    out, position = [], 0
    for match in re.finditer(rf"{_MENTION.pattern}|{_HASHTAG.pattern}", written):
        out.append(_escaped(written[position : match.start()]))
        name, urn, tag = match.groups()
        if tag:
            out.append(rf"{{hashtag|\#|{_escaped(tag)}}}")
        else:
            out.append(f"@[{_escaped(name)}]({urn})")
        position = match.end()
    return "".join([*out, _escaped(written[position:])])


def _escaped(plain: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain)


def _comment(written: str) -> str:
    """Write a text as a comment shows it: nothing is escaped there, and a mention is its name."""
    return _MENTION.sub(r"\1", written)


def _content(post: OutgoingPost) -> dict[str, Any]:
    urns = list(post.staged.get("urns", []))
    if len(urns) != len(post.media):
        raise PlatformUnavailable("The media are not on LinkedIn yet.")
    files = [
        {"id": urn, **({"altText": media.alt} if media.alt and not media.is_video else {})}
        for urn, media in zip(urns, post.media, strict=True)
    ]
    if not files:
        return {}
    return {
        "content": {"media": files[0]} if len(files) == 1 else {"multiImage": {"images": files}}
    }


def _created_id(api: Api, answer: httpx.Response) -> str:
    """Read the id of what was created from the header that carries it."""
    created = urllib.parse.unquote(
        answer.headers.get("x-restli-id") or answer.headers.get("x-linkedin-id", "")
    )
    if not created:
        raise api.with_evidence(
            OutcomeUnknown("LinkedIn took the post but did not name it."), answer
        )
    return created


def _released(urn: str) -> Released:
    return Released(id=urn, url=f"https://www.linkedin.com/feed/update/{urn}")


def _released_comment(urn: str, *, on: Released) -> Released:
    return Released(id=urn, url=f"{on.url}?commentUrn={_quoted(urn)}")


def _author(api: Api) -> str:
    return f"urn:li:organization:{api.access.remote_id}"


def _logo(page: Mapping[str, Any]) -> str | None:
    for element in page.get("logoV2", {}).get("original~", {}).get("elements", []):
        for identifier in element.get("identifiers", []):
            return str(identifier["identifier"])
    return None


def _points(days: Sequence[Mapping[str, Any]], *path: str) -> list[tuple[str, float]]:
    points = []
    for day in days:
        value: Any = day
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        start = day.get("timeRange", {}).get("start")
        if isinstance(value, int | float) and start is not None:
            points.append(
                (datetime.fromtimestamp(start / 1000, UTC).date().isoformat(), float(value))
            )
    return sorted(points)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _until_midnight() -> timedelta:
    """Return the time until daily limits are lifted: midnight UTC (shared/api-guide/concepts/rate-limits)."""
    now = clock.now()
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now


def _quoted(urn: str) -> str:
    return urllib.parse.quote(urn, safe="")


def _bearer(api: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.access.access_token}"}


def _headers(api: Api) -> dict[str, str]:
    return {**_bearer(api), "LinkedIn-Version": VERSION, "X-Restli-Protocol-Version": "2.0.0"}

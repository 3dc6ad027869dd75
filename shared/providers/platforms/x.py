"""X (Twitter). Source: docs.x.com/x-api and X's OpenAPI description 2.167, read 2026-11; what neither says is marked.

Quirks: every request is signed (OAuth 1.0a), tokens do not expire; there are no idempotency keys, so a post without
an answer is looked up among the account's latest; links count 23 and CJK and emoji 2; how long a text may be depends
on the account's subscription; text and pictures of one post cannot be sent apart. Articles are not offered.
Applications that pay by use may answer only posts that mention or quote the account, and write one cashtag a post
(docs.x.com/x-api/posts/manage-tweets/integrate, read 2026-11); whether the first holds for one's own thread it does
not say.
"""

import html
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
from pydantic import BaseModel, Field

from shared.core import clock, text
from shared.providers.addresses import page_at
from shared.providers.base import (
    Account,
    CanLookUp,
    CanMention,
    CanReply,
    CanReport,
    CanStage,
    DraftPart,
    Found,
    Mention,
    OutgoingMedia,
    OutgoingPost,
    Processing,
    Released,
    Series,
    Staged,
    ThreadPosition,
)
from shared.providers.errors import (
    ChannelDisconnected,
    FieldRefused,
    MediaRejected,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)
from shared.providers.http import Api, misconfigured, retry_after, said
from shared.providers.oauth import OAuth1Provider
from shared.providers.spec import (
    ImageRules,
    MediaRules,
    OAuth1,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)
from shared.providers.uploads import chunks

# A segment has at most 5 MB in version 1.1 (developer.x.com/en/docs/twitter-api/v1/media/upload-media/api-reference/
# post-media-upload-append, read 2026-11); version 2 names no limit. Segments are numbered to 999 (OpenAPI 2.167).
CHUNK_BYTES = 4 * 1024 * 1024
UPLOAD_TIMEOUT = timedelta(minutes=1)
PROCESSING_PAUSE = timedelta(seconds=5)
CAP_PAUSE = timedelta(hours=1)
# Not confirmed by X; 4,000 at first and 25,000 since July 2023 by the press
# (spidersweb.pl/2024/03/artykuly-na-x-twitterze.html, read 2026-11).
LONGEST_CHECKED = 4_000  # a member says that the account is verified
LONGEST_SUBSCRIBED = 25_000  # X itself says that it subscribes
# By example `expires_after_secs` is 1,295,999 (docs.x.com/x-api/media/quickstart/media-upload-chunked, read 2026-11).
# What a given upload has is not read, so a day is counted on.
UPLOAD_LIFETIME = timedelta(hours=23)
MAX_REPORT_PAGES = 10
METRICS = {
    "impression_count": "Impressions",
    "like_count": "Likes",
    "retweet_count": "Retweets",
    "reply_count": "Replies",
    "quote_count": "Quotes",
    "bookmark_count": "Bookmarks",
}
_POST_PATH = re.compile(r"/(?:i/web|(\w{1,15}))/status/([0-9]{1,19})(?:/.*)?", re.ASCII)


class XSettings(BaseModel):
    """What a member may choose for one post."""

    who_can_reply_post: Literal[
        "everyone", "following", "mentionedUsers", "subscribers", "verified"
    ] = Field(default="everyone", title="Who can reply")
    community: str = Field(
        default="",
        pattern=r"^(https://(x|twitter)\.com/i/communities/[0-9]{1,19})?$",
        title="Community",
        description="Its address, such as https://x.com/i/communities/1493446837214187523.",
    )
    made_with_ai: bool = Field(default=False, title="Contains media made with AI")
    paid_partnership: bool = Field(default=False, title="Paid partnership")
    post_type: Literal["post"] = Field(default="post", title="Kind of post")


class X(OAuth1Provider, CanReply, CanStage, CanLookUp, CanMention, CanReport):
    """An account on X."""

    spec = ProviderSpec(
        slug="x",
        name="X",
        docs_url="https://docs.x.com/x-api/posts/create-post",
        auth=OAuth1(
            request_token_url="{base}/oauth/request_token?x_auth_access_type=write",  # noqa: S106  an address
            authorize_url="{base}/oauth/authenticate",
            access_token_url="{base}/oauth/access_token",  # noqa: S106  an address
            client_id_setting="X_API_KEY",
            client_secret_setting="X_API_SECRET",  # noqa: S106  a name
        ),
        text=TextRules(max_length=280, unit=TextUnit.WEIGHTED, link_length=text.X_LINK_WEIGHT),
        # docs.x.com/x-api/media/quickstart/best-practices, read 2026-11; file types and the length of a description
        # from the OpenAPI description. The page says MB, not MiB, so the smaller is meant here.
        media=MediaRules(
            images=ImageRules(
                max_count=4,
                max_bytes=5_000_000,  # a GIF may have 15 MB; one limit serves both
                types=("image/jpeg", "image/png", "image/gif", "image/webp"),
                max_width=8_192,  # not confirmed by X; what other tools name
                max_height=8_192,
                max_alt_length=1_000,
            ),
            # For every account; Premium has 125 minutes and 16 GB. The page says 8 GB, docs.x.com/x-api/media 512 MB.
            videos=VideoRules(
                max_count=1,
                max_bytes=512_000_000,
                types=("video/mp4", "video/quicktime"),
                min_duration=timedelta(milliseconds=500),
                max_duration=timedelta(minutes=20),
            ),
            max_count=4,
        ),
        max_parts=50,
        settings=XSettings,
        base_url="https://api.x.com",
        tool_tip="Log in to the right account on X first: X connects the one that is logged in.",
    )

    def text_rules(self, account: Mapping[str, Any]) -> TextRules:
        """Allow long posts to accounts that may write them."""
        longest = self.spec.text.max_length
        if account.get("verified"):
            subscribed = account.get("verifiedType") in {"blue", "business", "government"}
            longest = LONGEST_SUBSCRIBED if subscribed else LONGEST_CHECKED
        return TextRules(max_length=longest, unit=TextUnit.WEIGHTED, link_length=text.X_LINK_WEIGHT)

    def check(
        self, parts: Sequence[DraftPart], settings: Mapping[str, Any]
    ) -> Sequence[FieldRefused]:
        """Refuse a GIF beside other files: X takes it alone, like a video."""
        del settings
        return [
            FieldRefused(
                f"value.{position}.image",
                "mixed_media",
                f"X takes a GIF alone in a part; there are {len(part.media)} files.",
            )
            for position, part in enumerate(parts)
            if len(part.media) > 1
            and any(media.content_type == "image/gif" for media in part.media)
        ]

    def account(self, api: Api) -> Account:
        """Read whose token it is and what it may do."""
        fields = {"user.fields": "username,verified,verified_type,profile_image_url,name"}
        answer = api.request("GET", "/2/users/me", params=fields, auth=self.signer(api))
        me = api.read(answer, "data.id", "data.username")["data"]
        verified_type = me.get("verified_type") or "none"
        return Account(
            remote_id=str(me["id"]),
            name=me.get("name") or me["username"],
            username=me["username"],
            picture_url=me.get("profile_image_url"),
            settings={
                "verified": bool(me.get("verified")) or verified_type != "none",
                "verifiedType": verified_type,
            },
        )

    def publish(self, api: Api, post: OutgoingPost) -> Released:
        """Create the post."""
        chosen = XSettings.model_validate(post.settings)
        settings: dict[str, Any] = {}
        if chosen.who_can_reply_post != "everyone":
            settings["reply_settings"] = chosen.who_can_reply_post
        if chosen.community:
            settings |= {
                "community_id": chosen.community.rsplit("/", 1)[-1],
                "share_with_followers": True,
            }
        return self._create(api, post, settings)

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released:
        """Create the post as an answer to the part before; the root has chosen who may reply."""
        return self._create(api, post, {"reply": {"in_reply_to_tweet_id": to.parent.id}})

    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        """Upload every file in numbered segments, describe it, then wait until X has processed it.

        The position is (files done, the upload under way, its next segment), so that nothing is sent twice.
        """
        ids, waiting = list(progress.get("ids", [])), list(progress.get("waiting", []))
        upload, segment = progress.get("upload"), int(progress.get("segment", 0))
        for media in post.media[len(ids) :]:
            if upload is None:
                upload, segment = self._begin(api, media), 0
            segment, is_whole = self._append(api, media, upload, segment)
            if not is_whole:
                position = {"ids": ids, "waiting": waiting, "upload": upload, "segment": segment}
                return Processing(position, after=timedelta(0))
            waiting += [upload] if self._finish(api, media, upload) else []
            ids.append(upload)
            upload = None
        pauses = {media_id: pause for media_id in waiting if (pause := self._pause(api, media_id))}
        if pauses:
            return Processing({"ids": ids, "waiting": list(pauses)}, after=max(pauses.values()))
        return Staged({"ids": ids}, expires_at=api.now() + UPLOAD_LIFETIME)

    def look_up(self, api: Api, post: OutgoingPost, *, since: datetime) -> Sequence[Found]:
        """Compare the account's posts since then; X shortens links and escapes text, both are undone."""
        answer = api.request(
            "GET",
            f"/2/users/{api.access.remote_id}/tweets",
            params={
                "max_results": 50,
                "start_time": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "exclude": "retweets",
                "tweet.fields": "created_at,entities,note_tweet",
            },
            auth=self.signer(api),
        )
        wanted = _comparable(post.text, {})
        return [
            Found(
                self._released(api, tweet["id"]),
                clock.as_utc(datetime.fromisoformat(tweet["created_at"])),
            )
            for tweet in api.read(answer).get("data", [])
            if _comparable(*_as_written(tweet)) == wanted
        ]

    def find_mentions(self, api: Api, query: str) -> Sequence[Mention]:
        """Look up one user by exact handle; X offers no search to applications like ours."""
        handle = query.strip().removeprefix("@")
        if not re.fullmatch(r"\w{1,15}", handle, re.ASCII):
            return []
        answer = api.request(
            "GET",
            f"/2/users/by/username/{handle}",
            params={"user.fields": "profile_image_url,name"},
            auth=self.signer(api),
            accept=(404,),
        )
        user = api.read(answer).get("data")
        return (
            [Mention(user["username"], user["name"], user.get("profile_image_url"))] if user else []
        )

    def format_mention(self, mention_id: str, label: str) -> str:
        """Write the handle."""
        return f"@{(mention_id or label).removeprefix('@')}"

    def account_series(self, api: Api, *, days: int) -> Sequence[Series]:
        """Sum the metrics of the posts of each day; X tells no history of an account."""
        start = api.now() - timedelta(days=min(days, 100))
        params = {
            "max_results": 100,
            "start_time": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "exclude": "retweets,replies",
            "tweet.fields": "created_at,public_metrics",
        }
        sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for _page in range(MAX_REPORT_PAGES):
            path = f"/2/users/{api.access.remote_id}/tweets"
            body = api.read(api.request("GET", path, params=params, auth=self.signer(api)))
            for tweet in body.get("data", []):
                for name, value in tweet.get("public_metrics", {}).items():
                    sums[name][tweet["created_at"][:10]] += value
            if not (following := body.get("meta", {}).get("next_token")):
                break
            params["pagination_token"] = following
        return [
            Series(label, sorted(sums[name].items()))
            for name, label in METRICS.items()
            if name in sums
        ]

    def post_series(self, api: Api, release: Released) -> Sequence[Series]:
        """Read one post's counters."""
        params = {"tweet.fields": "public_metrics"}
        answer = api.request("GET", f"/2/tweets/{release.id}", params=params, auth=self.signer(api))
        counted = api.read(answer, "data.public_metrics")["data"]["public_metrics"]
        today = api.now().date().isoformat()
        return [
            Series(label, [(today, counted[name])])
            for name, label in METRICS.items()
            if name in counted
        ]

    def release_from_url(
        self, url: str, *, remote_id: str, username: str | None = None
    ) -> Released | None:
        """Read `x.com/<user>/status/<id>`; `i` stands for any user."""
        del remote_id
        page = page_at(url, "x.com", "twitter.com")
        found = _POST_PATH.fullmatch(page.path) if page else None
        if found is None:
            return None
        writer, tweet_id = (found[1] or "i").casefold(), found[2]
        if username and writer not in {"i", username.casefold()}:
            return None
        return _released_at(tweet_id, username)

    def classify(self, response: httpx.Response) -> ProviderError | None:
        """Read X's problem types and sentences."""
        words, body, status = said(response), response.text, response.status_code
        if status == 429 and response.headers.get("x-app-limit-24hour-remaining") == "0":
            return RateLimited(
                f"X lets this server post no more today. {words}",
                retry_after=CAP_PAUSE,
                whole_app=True,
            )
        if "usage-capped" in body or "UsageCapExceeded" in body:
            return RateLimited(
                f"This server has used up its allowance at X. {words}",
                retry_after=CAP_PAUSE,
                whole_app=True,
            )
        if status == 429:
            return RateLimited(f"X asks to wait. {words}", retry_after=retry_after(response))
        if "Unsupported Authentication" in body:
            return TokenExpired(f"X does not accept the channel's token. {words}")
        if (
            "user-suspended" in body
            or "account is suspended" in body
            or "temporarily locked" in body
        ):
            return ChannelDisconnected(f"X has locked or suspended this account. {words}")
        if status == 402 or "oauth1-permissions" in body or "client-not-enrolled" in body:
            return misconfigured("X", words)
        if status in {400, 403} and re.search(
            r"media ids?|video longer|video is too", words, re.IGNORECASE
        ):
            return MediaRejected(f"X refused the media. {words}")
        return None

    # Posting

    def _create(self, api: Api, post: OutgoingPost, settings: Mapping[str, Any]) -> Released:
        chosen = XSettings.model_validate(post.settings)
        media_ids = list(post.staged.get("ids", []))
        if len(media_ids) != len(post.media):
            raise PlatformUnavailable("The media are not on X yet.")
        body = {
            "text": post.text,
            **({"media": {"media_ids": media_ids}} if media_ids else {}),
            **({"made_with_ai": True} if chosen.made_with_ai else {}),
            **({"paid_partnership": True} if chosen.paid_partnership else {}),
            **settings,
        }
        answer = api.request(
            "POST", "/2/tweets", json=body, auth=self.signer(api), irrevocable=True
        )
        return self._released(api, api.read(answer, "data.id")["data"]["id"])

    def _released(self, api: Api, tweet_id: str) -> Released:
        return _released_at(str(tweet_id), api.access.username)

    # Media

    def _begin(self, api: Api, media: OutgoingMedia) -> str:
        kind = (
            "video" if media.is_video else "gif" if media.content_type == "image/gif" else "image"
        )
        body = {
            "media_type": media.content_type,
            "media_category": f"tweet_{kind}",
            "total_bytes": media.size_bytes,
        }
        answer = api.request("POST", "/2/media/upload/initialize", json=body, auth=self.signer(api))
        return str(api.read(answer, "data.id")["data"]["id"])

    def _append(self, api: Api, media: OutgoingMedia, upload: str, first: int) -> tuple[int, bool]:
        """Send segments from number `first`; the answer is the next number, and whether the file is whole."""
        following, is_whole = first, first * CHUNK_BYTES >= media.size_bytes
        for chunk in chunks(api, media, size=CHUNK_BYTES, first=first):
            api.request(
                "POST",
                f"/2/media/upload/{upload}/append",
                data={"segment_index": str(chunk.index)},
                files={"media": ("segment", chunk.data, "application/octet-stream")},
                auth=self.signer(api),
                timeout=UPLOAD_TIMEOUT,
            )
            following, is_whole = chunk.index + 1, chunk.is_last
        return following, is_whole

    def _finish(self, api: Api, media: OutgoingMedia, upload: str) -> bool:
        """Close the upload and describe it; the answer is whether X still works on it."""
        answer = api.request(
            "POST",
            f"/2/media/upload/{upload}/finalize",
            auth=self.signer(api),
            timeout=UPLOAD_TIMEOUT,
        )
        if media.alt and not media.is_video:
            body = {"id": upload, "metadata": {"alt_text": {"text": media.alt}}}
            api.request("POST", "/2/media/metadata", json=body, auth=self.signer(api))
        return "processing_info" in api.read(answer).get("data", {})

    def _pause(self, api: Api, media_id: str) -> timedelta | None:
        """Ask how far the processing is; None: it is done."""
        params = {"command": "STATUS", "media_id": media_id}
        answer = api.request("GET", "/2/media/upload", params=params, auth=self.signer(api))
        info = api.read(answer).get("data", {}).get("processing_info", {})
        state = info.get("state", "succeeded")
        if state == "failed":
            words = said(answer) or (info.get("error") or {}).get("message") or "no reason given"
            raise api.with_evidence(MediaRejected(f"X could not process the file: {words}"), answer)
        if state == "succeeded":
            return None
        return timedelta(
            seconds=int(info.get("check_after_secs") or PROCESSING_PAUSE.total_seconds())
        )


def _released_at(tweet_id: str, username: str | None) -> Released:
    return Released(id=tweet_id, url=f"https://x.com/{username or 'i'}/status/{tweet_id}")


def _as_written(tweet: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    """Return a post's text, and what each of X's short links stands for ("" for attached media)."""
    long_form = tweet.get("note_tweet") or {}
    entities = long_form.get("entities") or tweet.get("entities") or {}
    links = {
        url["url"]: "" if "media_key" in url else url.get("expanded_url", url["url"])
        for url in entities.get("urls", [])
    }
    return html.unescape(long_form.get("text") or tweet["text"]), links


def _comparable(written: str, short_links: Mapping[str, str]) -> str:
    """Reduce a text to letters, every link in its full form without scheme and final slash."""
    for short, full in short_links.items():
        written = written.replace(short, full)
    return re.sub(r"\s+|https?://|/(?=\s|$)", "", written).casefold()

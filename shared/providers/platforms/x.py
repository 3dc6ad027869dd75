"""X (Twitter). Source: docs.x.com/x-api and X's OpenAPI description 2.167, read 2026-11; other claims are marked.

Quirks: every request is signed (OAuth 1.0a), tokens do not expire; there are no idempotency keys, so a post without
an answer is looked up among the account's latest; links count 23 and CJK and emoji 2; how long a text may be depends
on the account's subscription; text and pictures of one post cannot be sent apart.
Articles (docs.x.com/x-api/articles and OpenAPI 2.168, read 2026-11) are for subscribers: a draft is made, then published,
which makes a post. A draft can be neither read, changed nor deleted through the API. Somebody measured ten drafts, refused
ones too, and five articles a day (github.com/Shudesu/x-harness-oss, docs/manual/07-articles-api.md, read 2026-11).
Applications that pay by use may answer only posts that mention or quote the account, and write one cashtag a post
(docs.x.com/x-api/posts/manage-tweets/integrate, read 2026-11); whether the first holds for one's own thread it does
not say.
"""

import html
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
from pydantic import BaseModel, Field

from shared.core import clock, text
from shared.core.cleaning import clean_id
from shared.providers.addresses import page_at
from shared.providers.answers import moment_in, number_in, object_in, objects_in, text_in
from shared.providers.base import (
    Account,
    CanFindRelease,
    CanLookUp,
    CanMention,
    CanReply,
    CanReport,
    CanRevoke,
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
    AppMisconfigured,
    ChannelDisconnected,
    FieldRefused,
    MediaRejected,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)
from shared.providers.families.draft_js import content_state
from shared.providers.http import Api, misconfigured, reason_in, retry_after
from shared.providers.oauth import OAuth1Provider
from shared.providers.spec import (
    ImageRules,
    MediaRules,
    MediaSetting,
    OAuth1,
    ProviderSpec,
    TextMode,
    TextRules,
    TextUnit,
    VideoRules,
)
from shared.providers.uploads import chunks

# A segment has at most 5 MB in version 1.1 (developer.x.com/en/docs/twitter-api/v1/media/upload-media/api-reference/
# post-media-upload-append, read 2026-11); version 2 names no limit. Segments are numbered to 999 (OpenAPI 2.167).
CHUNK_BYTES = 4 * 1024 * 1024
IMAGE_CATEGORY = "tweet_image"
UPLOAD_TIMEOUT = timedelta(minutes=1)
PROCESSING_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)  # between two checks of the processing
CAP_PAUSE = timedelta(hours=1)
# Not confirmed by X; 4,000 at first and 25,000 since July 2023 by the press
# (spidersweb.pl/2024/03/artykuly-na-x-twitterze.html, read 2026-11).
LONGEST_CHECKED = 4_000  # a member says that the account is verified
LONGEST_SUBSCRIBED = 25_000  # X itself says that it subscribes
# Not confirmed by X; by trial of the press (techcrunch.com/2024/03/08/x-allows-premium-users-and-organizations-to-
# publish-articles, read 2026-11).
LONGEST_ARTICLE = 100_000
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
# An article stands under its post's number too (github.com/d60/twikit/issues/403, read 2026-11), and under a number of
# its own at `/i/article/`, which names no post.
_POST_PATH = re.compile(
    r"/(?:i/web/status|(\w{1,15})/status|(?!i/)(\w{1,15})/article)/([0-9]{1,19})(?:/.*)?", re.ASCII
)
_POST_ID = re.compile(r"[0-9]{1,19}", re.ASCII)
# Where X's own editor opens a draft (github.com/browser-use/browser-harness/pull/460, read 2026-11).
_DRAFT = "https://x.com/compose/articles/edit/"
_DRAFT_PATH = re.compile(r"/compose/articles/edit/([0-9]{1,19})(?:/preview)?/?", re.ASCII)
_OF_POSTS_ALONE = ("who_can_reply_post", "community", "made_with_ai", "paid_partnership")


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
    post_type: Literal["post", "article"] = Field(default="post", title="Kind of post")
    article_title: str = Field(
        default="",
        title="Title",
        description="Of an article. Where it is empty, the post's own title is used.",
    )
    article_status: Literal["draft", "published"] | None = Field(
        default=None,
        title="Publish the article or keep a draft",
        description="A draft stays on X for you to publish there.",
    )
    article_cover: MediaSetting | None = Field(
        default=None,
        title="Cover",
        description="A picture above the article.",
        json_schema_extra={"format": "media"},
    )

    @property
    def is_article(self) -> bool:
        """Whether it is an article, not a post."""
        return self.post_type == "article"


class X(
    OAuth1Provider,
    CanReply,
    CanStage,
    CanLookUp,
    CanFindRelease,
    CanMention,
    CanReport,
    CanRevoke,
):
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
        text_modes=(TextMode("post_type", "article", TextRules(max_length=LONGEST_ARTICLE)),),
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
        media_settings=("article_cover",),
        title_setting="article_title",
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

    def part_rules(
        self, account: Mapping[str, Any], settings: Mapping[str, Any], *, position: int
    ) -> TextRules:
        """Give an article its own length; its replies are ordinary posts."""
        mode = self.spec.text_mode(settings) if position == 0 else None
        return mode.text if mode else self.text_rules(account)

    def check(
        self, parts: Sequence[DraftPart], settings: Mapping[str, Any]
    ) -> Sequence[FieldRefused]:
        """Refuse a GIF beside other files, which X takes alone, like a video; and what an article cannot be."""
        chosen = XSettings.model_validate(settings)
        refused = list(_refused_of_article(parts, chosen)) if chosen.is_article else []
        return refused + [
            FieldRefused(
                f"value.{position}.image",
                "mixed_media",
                f"X allows no other file in a part with a GIF; this part has {len(part.media)} "
                "files. Remove the others.",
            )
            for position, part in enumerate(parts)
            if len(part.media) > 1
            and any(media.content_type == "image/gif" for media in part.media)
            and not (chosen.is_article and position == 0)  # already refused there
        ]

    def account(self, api: Api) -> Account:
        """Read the account that the token belongs to, and what it may do."""
        fields = {"user.fields": "username,verified,verified_type,profile_image_url,name"}
        answer = api.request("GET", "/2/users/me", params=fields, auth=self.signer(api))
        me = api.read(answer, "data.id", "data.username")["data"]
        verified_type = text_in(me, "verified_type") or "none"
        return Account(
            remote_id=str(me["id"]),
            name=text_in(me, "name") or me["username"],
            username=me["username"],
            picture_url=me.get("profile_image_url"),
            settings={
                "verified": bool(me.get("verified")) or verified_type != "none",
                "verifiedType": verified_type,
            },
        )

    def revoke(self, api: Api) -> None:
        """End the token: docs.x.com/fundamentals/authentication/api-reference, read 2026-12."""
        # 401: it has ended.
        api.request("POST", "/1.1/oauth/invalidate_token", auth=self.signer(api), accept=(401,))

    def publish(self, api: Api, post: OutgoingPost) -> Released | Processing:
        """Create the post, or the draft of the article."""
        chosen = XSettings.model_validate(post.settings)
        if chosen.is_article:
            return self._draft(api, post, chosen)
        settings: dict[str, Any] = {}
        if chosen.who_can_reply_post != "everyone":
            settings["reply_settings"] = chosen.who_can_reply_post
        if chosen.community:
            settings |= {
                "community_id": chosen.community.rsplit("/", 1)[-1],
                "share_with_followers": True,
            }
        return self._create(api, post, settings)

    def resume(self, api: Api, post: OutgoingPost, state: Mapping[str, Any]) -> Released:
        """Publish the article whose draft `state` names, so that no retry creates a second one."""
        del post  # is in the draft
        answer = api.request(
            "POST",
            f"/2/articles/{state['article']}/publish",
            auth=self.signer(api),
            irrevocable=True,
        )
        return self._released(api, api.read(answer, "data.post_id")["data"]["post_id"])

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released:
        """Create the post as a reply to the part before; the root already decides who may reply."""
        return self._create(api, post, {"reply": {"in_reply_to_tweet_id": to.parent.id}})

    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        """Upload every file in numbered segments, describe it, then wait until X has processed it.

        The position is (files done, the upload under way, its next segment), so that nothing is sent twice.
        """
        ids, waiting = list(progress.get("ids", [])), list(progress.get("waiting", []))
        upload, segment = progress.get("upload"), int(progress.get("segment", 0))
        for media in _files(post)[len(ids) :]:
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

    def look_up(
        self, api: Api, post: OutgoingPost, *, to: ThreadPosition | None, since: datetime
    ) -> Sequence[Found]:
        """Compare the account's posts since then. X shortens links and escapes text; both are undone.

        An article is known by its title (`article.title`: github.com/browser-use/browser-harness/pull/778, read 2026-11;
        the OpenAPI description says only that it is an object). A draft cannot be found.
        """
        del to  # answers are among them
        chosen = XSettings.model_validate(post.settings)
        is_article = chosen.is_article and post.position == 0
        if is_article and chosen.article_status == "draft":
            return []
        answer = api.request(
            "GET",
            f"/2/users/{api.access.remote_id}/tweets",
            params={
                "max_results": 50,
                "start_time": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "exclude": "retweets",
                "tweet.fields": f"created_at,entities,{'article' if is_article else 'note_tweet'}",
            },
            auth=self.signer(api),
        )
        wanted = _comparable(chosen.article_title if is_article else post.text, {})
        written = _title if is_article else _as_written
        return [
            Found(self._released(api, tweet["id"]), created_at)
            for tweet in objects_in(api.read(answer), "data")
            if clean_id(tweet.get("id"))
            and (created_at := moment_in(tweet, "created_at"))
            and _comparable(*written(tweet)) == wanted
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
        user = object_in(api.read(answer), "data")
        if not isinstance(user.get("username"), str):
            return []
        name = text_in(user, "name") or user["username"]
        return [Mention(user["username"], name, user.get("profile_image_url"))]

    def format_mention(self, mention_id: str, label: str) -> str:
        """Write the handle."""
        return f"@{(mention_id or label).removeprefix('@')}"

    def account_series(self, api: Api, *, days: int) -> Sequence[Series]:
        """Sum the metrics of each day's posts, because X has no history of an account."""
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
            for tweet in objects_in(body, "data"):
                if not (created_at := moment_in(tweet, "created_at")):
                    continue
                for name in METRICS:
                    if (value := number_in(tweet, f"public_metrics.{name}")) is not None:
                        sums[name][created_at.date().isoformat()] += value
            if not (following := clean_id(object_in(body, "meta").get("next_token"))):
                break
            params["pagination_token"] = following
        return [
            Series(label, sorted(sums[name].items()))
            for name, label in METRICS.items()
            if name in sums
        ]

    def post_series(self, api: Api, release: Released) -> Sequence[Series]:
        """Read one post's counters; a draft has none."""
        if release.url.startswith(_DRAFT):
            return []
        params = {"tweet.fields": "public_metrics"}
        answer = api.request("GET", f"/2/tweets/{release.id}", params=params, auth=self.signer(api))
        counted = object_in(api.read(answer), "data.public_metrics")
        today = api.now().date().isoformat()
        return [
            Series(label, [(today, value)])
            for name, label in METRICS.items()
            if (value := number_in(counted, name)) is not None
        ]

    def release_from_url(
        self, url: str, *, remote_id: str, username: str | None = None
    ) -> Released | None:
        """Read `x.com/<user>/status/<id>`, where `i` stands for any user, or the address of an article's draft."""
        del remote_id
        page = page_at(url, "x.com", "twitter.com")
        if page and (draft := _DRAFT_PATH.fullmatch(page.path)):
            return _draft_at(draft[1])
        found = _POST_PATH.fullmatch(page.path) if page else None
        if found is None:
            return None
        writer, tweet_id = (found[1] or found[2] or "i").casefold(), found[3]
        if username and writer not in {"i", username.casefold()}:
            return None
        return _released_at(tweet_id, username)

    def find_release(self, api: Api, url: str) -> Released | None:
        """Ask X whose post an address names; the name in it may be an earlier one of the account.

        X cannot be asked about the draft of an article, nor by an application without access to reading posts. There
        the address alone decides.
        """
        named = self.release_from_url(url, remote_id=api.access.remote_id)
        if named is None or named.url.startswith(_DRAFT):
            return named
        try:
            return self._own(api, named.id)
        except AppMisconfigured:
            return self.release_from_url(
                url, remote_id=api.access.remote_id, username=api.access.username
            )

    def find_release_by_id(self, api: Api, release_id: str) -> Released | None:
        """Ask X for the post; an application that may not read posts takes the id as it is."""
        if not _POST_ID.fullmatch(release_id):
            return None
        try:
            return self._own(api, release_id)
        except AppMisconfigured:
            return self._released(api, release_id)

    def _own(self, api: Api, release_id: str) -> Released | None:
        """Return the post if it is there and the account's (`author_id`, OpenAPI 2.167, GET /2/tweets/{id}).

        For a post that is not there X answers 404, or 200 without `data`.
        """
        answer = api.request(
            "GET",
            f"/2/tweets/{release_id}",
            params={"tweet.fields": "author_id"},
            auth=self.signer(api),
            accept=(404,),
        )
        if not answer.is_success:
            return None
        author = clean_id(object_in(api.read(answer), "data").get("author_id"))
        return self._released(api, release_id) if author == api.access.remote_id else None

    def classify(self, response: httpx.Response) -> ProviderError | None:
        """Read X's problem types and sentences."""
        words, body, status = reason_in(response), response.text, response.status_code
        if status == 429 and response.headers.get("x-app-limit-24hour-remaining") == "0":
            return RateLimited(
                f"This server has reached X's limit of posts for today. {words}",
                retry_after=CAP_PAUSE,
                whole_app=True,
            )
        if "usage-capped" in body or "UsageCapExceeded" in body:
            return RateLimited(
                f"This server has used up its allowance at X. {words}",
                retry_after=CAP_PAUSE,
                whole_app=True,
            )
        # Not documented; seen where an account's articles of a day are used up (the notes named above).
        if status == 429 and response.headers.get("x-user-limit-24hour-remaining") == "0":
            return RateLimited(
                f"This account has reached X's limit for today. {words}",
                retry_after=_until(response.headers.get("x-user-limit-24hour-reset", "")),
            )
        if status == 429:
            return RateLimited(
                f"X's rate limit was reached. {words}", retry_after=retry_after(response)
            )
        if "Unsupported Authentication" in body:
            return TokenExpired(f"X no longer accepts the channel's token. {words}")
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
        media_ids = _staged_ids(post)
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

    def _draft(self, api: Api, post: OutgoingPost, chosen: XSettings) -> Released | Processing:
        """Create the draft. It may be created again if it is to be published: only the member sees a leftover draft."""
        stays = chosen.article_status == "draft"
        media_ids = _staged_ids(post)
        of_text, of_cover = media_ids[: len(post.media)], media_ids[len(post.media) :]
        body = {
            "title": chosen.article_title,
            "content_state": content_state(
                post.html,
                mention=self.format_mention,
                images=of_text,
                media_category=IMAGE_CATEGORY,
            ),
            **(
                {
                    "cover_media": {
                        "media_id": of_cover[0],
                        "media_category": IMAGE_CATEGORY,
                    }
                }
                if of_cover
                else {}
            ),
        }
        answer = api.request(
            "POST", "/2/articles/draft", json=body, auth=self.signer(api), irrevocable=stays
        )
        article = str(api.read(answer, "data.id")["data"]["id"])
        return _draft_at(article) if stays else Processing({"article": article}, after=timedelta(0))

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
        """Send segments from number `first`; return the next number, and whether the file is complete."""
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
        """Close the upload and describe it; return whether X is still processing it."""
        answer = api.request(
            "POST",
            f"/2/media/upload/{upload}/finalize",
            auth=self.signer(api),
            timeout=UPLOAD_TIMEOUT,
        )
        if media.alt and not media.is_video:
            body = {"id": upload, "metadata": {"alt_text": {"text": media.alt}}}
            api.request("POST", "/2/media/metadata", json=body, auth=self.signer(api))
        return "processing_info" in object_in(api.read(answer), "data")

    def _pause(self, api: Api, media_id: str) -> timedelta | None:
        """Ask for the progress of the processing; None: it is done."""
        params = {"command": "STATUS", "media_id": media_id}
        answer = api.request("GET", "/2/media/upload", params=params, auth=self.signer(api))
        info = object_in(api.read(answer), "data.processing_info")
        state = info.get("state", "succeeded")
        if state == "failed":
            words = reason_in(answer) or text_in(info, "error.message") or "no reason was given"
            raise api.with_evidence(MediaRejected(f"X could not process the file: {words}"), answer)
        if state == "succeeded":
            return None
        seconds = number_in(info, "check_after_secs") or PROCESSING_PAUSE.total_seconds()
        return timedelta(seconds=min(max(seconds, 1), LONGEST_PAUSE.total_seconds()))


def _files(post: OutgoingPost) -> list[OutgoingMedia]:
    """List what must be on X before the post: the files shown in it, then an article's cover."""
    chosen = XSettings.model_validate(post.settings)
    named = post.setting_media if chosen.is_article else {}
    return [*post.media, *named.values()]


def _staged_ids(post: OutgoingPost) -> list[str]:
    media_ids = list(post.staged.get("ids", []))
    if len(media_ids) != len(_files(post)):
        raise PlatformUnavailable("The media are not on X yet.")
    return media_ids


def _refused_of_article(parts: Sequence[DraftPart], chosen: XSettings) -> Iterator[FieldRefused]:
    root, *replies = parts
    if text.is_blank(chosen.article_title):
        yield FieldRefused(
            "settings.article_title", "missing", "An article needs a title. Enter one."
        )
    if chosen.article_status is None:
        words = (
            "This setting is required. Choose whether to publish the article or to keep it "
            "as a draft."
        )
        yield FieldRefused("settings.article_status", "missing", words)
    for name in _OF_POSTS_ALONE:
        if getattr(chosen, name) != XSettings.model_fields[name].default:
            words = "X supports this for posts, not for articles. Leave it empty."
            yield FieldRefused(f"settings.{name}", "not_for_articles", words)
    files = [(f"value.0.image.{index}", media) for index, media in enumerate(root.media)]
    files += [(f"settings.{name}", media) for name, media in root.setting_media.items()]
    for path, media in files:
        if media.is_video or media.content_type == "image/gif":
            words = "Articles on X allow still pictures only. Replace this one."
            yield FieldRefused(path, "unsupported_type", words)
    if replies and chosen.article_status == "draft":
        words = "A draft cannot have replies. Publish the article, or remove the other parts."
        yield FieldRefused("value.1", "too_many_parts", words)


def _draft_at(article: str) -> Released:
    return Released(id=article, url=f"{_DRAFT}{article}")


def _released_at(tweet_id: str, username: str | None) -> Released:
    return Released(id=tweet_id, url=f"https://x.com/{username or 'i'}/status/{tweet_id}")


def _as_written(tweet: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    """Return a post's text, and what each of X's short links stands for ("" for attached media)."""
    long_form = object_in(tweet, "note_tweet")
    entities = object_in(long_form, "entities") or object_in(tweet, "entities")
    links = {
        short: "" if "media_key" in url else text_in(url, "expanded_url") or short
        for url in objects_in(entities, "urls")
        if (short := text_in(url, "url"))
    }
    return html.unescape(text_in(long_form, "text") or text_in(tweet, "text")), links


def _title(tweet: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    """Return the title of a post's article; empty: it has none."""
    return html.unescape(text_in(tweet, "article.title")), {}


_MOST_DIGITS = 11  # three thousand years in seconds


def _until(epoch: str) -> timedelta:
    if not (epoch.isascii() and epoch.isdigit() and len(epoch) <= _MOST_DIGITS):
        return CAP_PAUSE
    return max(timedelta(seconds=1), datetime.fromtimestamp(int(epoch), UTC) - clock.now())


def _comparable(written: str, short_links: Mapping[str, str]) -> str:
    """Reduce a text to letters, every link in its full form without scheme and final slash."""
    for short, full in short_links.items():
        written = written.replace(short, full)
    return re.sub(r"\s+|https?://|/(?=\s|$)", "", written).casefold()

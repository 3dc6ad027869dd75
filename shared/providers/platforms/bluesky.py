"""Bluesky and any other AT Protocol server. Source: the lexicons in bluesky-social/atproto, docs.bsky.app, read 2026-11.

Quirks: the account's own server (PDS) is named in its DID document, which is fetched from the DID's own directory, and
handles every request (a login may go through another one, bsky.social for Bluesky's own); a refresh returns a new pair
of tokens, and an access token contains its expiry; we choose the record's key and write only if it does not exist, so a
repeat finds what the first try created (a server answers InvalidSwap: packages/pds/src/api/com/atproto/repo/
putRecord.ts at 05c4bca8); links, mentions and hashtags are marked by UTF-8 byte ranges; blobs that no record names may
be removed after an hour (atproto.com/specs/blob); feeds sort by a record's `createdAt`, so it is the time of sending.
"""

import base64
import hashlib
import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import BaseModel, Field, field_validator

from shared.core import clock, text
from shared.core.cleaning import clean_id
from shared.core.config import settings
from shared.providers.addresses import page_at
from shared.providers.answers import moment_in, number_in, object_in, objects_in, text_in
from shared.providers.base import (
    Account,
    CanFindRelease,
    CanLookUp,
    CanMention,
    CanReply,
    CanRevoke,
    CanStage,
    Connection,
    Found,
    Mention,
    OutgoingMedia,
    OutgoingPost,
    Processing,
    Released,
    Staged,
    ThreadPosition,
    Tokens,
)
from shared.providers.errors import (
    ChannelDisconnected,
    ContentRejected,
    GrantRejected,
    MediaRejected,
    PlatformUnavailable,
    ProviderError,
    TokenExpired,
)
from shared.providers.families.atproto.identity import Identity, resolve, server_name
from shared.providers.families.atproto.languages import check_codes, codes_in, language_of
from shared.providers.http import Api, platform_code, reason_in
from shared.providers.oauth import FormProvider, access_with, server_address
from shared.providers.spec import (
    Fields,
    FormField,
    Idempotency,
    IdempotencyForm,
    ImageRules,
    MediaRules,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)
from shared.providers.uploads import RangeFile, is_time_short

POSTS = "app.bsky.feed.post"
VIDEO_SERVICE = "https://video.bsky.app"
VIDEO_TOKEN_LIFETIME = timedelta(minutes=30)  # docs.bsky.app, "Uploading Video"
UPLOAD_TIMEOUT = timedelta(minutes=10)  # for a whole file
PROCESSING_PAUSE = timedelta(seconds=5)
BLOB_LIFETIME = timedelta(minutes=50)
# Some servers check a picture's size only when a record names it: "blob too big (maximum 1000000, got 1500000)" is what
# @atproto/pds 0.4.217 answers, tried 2026-11-30; older ones answered `BlobTooLarge`. A text that is too long is refused in
# similar words, so the refusal must mention the blob or the file.
_TOO_LARGE = "blob_too_large"
_BLOB_TOO_LARGE = re.compile(r"\b(?:blob|file)\b.{0,20}\btoo (?:big|large)\b", re.IGNORECASE)
_RECORD_KEY = re.compile(r"(?!\.{1,2}$)[\w.:~-]{1,512}", re.ASCII)
_POST_PATH = re.compile(r"/profile/([^/]+)/post/([\w.:~-]{1,512})(?:/.*)?", re.ASCII)


class BlueskySettings(BaseModel):
    """What a member may choose for one post."""

    language: str = Field(
        default="",
        max_length=120,
        title="Language",
        description=(
            "The language of the post as a BCP 47 code, such as en or pt-BR; up to three, separated by commas. "
            "Readers can filter posts by it."
        ),
    )

    @field_validator("language")
    @classmethod
    def _is_a_list_of_codes(cls, value: str) -> str:
        check_codes(value)
        return value


class Bluesky(FormProvider, CanReply, CanStage, CanLookUp, CanFindRelease, CanMention, CanRevoke):
    """An account on any server of the network, connected with an app password."""

    spec = ProviderSpec(
        slug="bluesky",
        name="Bluesky",
        docs_url="https://docs.bsky.app/docs/get-started",
        auth=Fields(
            (
                FormField(
                    "service",
                    "Server",
                    default="https://bsky.social",
                    help="The server the account is on; leave it unless it is your own.",
                ),
                FormField(
                    "identifier", "Handle or email address", help="Such as name.bsky.social."
                ),
                FormField(
                    "password",
                    "App password",
                    secret=True,
                    help="Made under Settings, Privacy and security, App passwords. It is not kept.",
                ),
            )
        ),
        # Lexicon app.bsky.feed.post.
        text=TextRules(max_length=300, unit=TextUnit.GRAPHEMES, max_bytes=3_000),
        media=MediaRules(
            images=ImageRules(
                max_count=4,
                max_bytes=2_000_000,  # lexicon app.bsky.embed.images
                spare_bytes=1_000_000,  # the same lexicon before: servers that are not updated take no more
                types=("image/jpeg", "image/png", "image/webp"),  # ours, of the lexicon's image/*
                max_width=4_000,  # ours
                max_height=4_000,
                max_alt_length=2_000,  # ours; the lexicon has no limit
            ),
            # Lexicon app.bsky.embed.video: "up to 300mb, formerly limited to 100mb". Whether every video service and
            # server takes 300 is not confirmed. Three minutes: the announcement of March 2025
            # (bsky.app/profile/bsky.app/post/3lk26lxn6sk2u as quoted by publish.obsidian.md/debbieohi/images-and-video).
            videos=VideoRules(
                max_count=1, max_bytes=100_000_000, max_duration=timedelta(minutes=3)
            ),
            max_count=4,
        ),
        max_parts=50,
        settings=BlueskySettings,
        idempotency=Idempotency(
            IdempotencyForm.RECORD_KEY,
            source=(
                "https://github.com/bluesky-social/atproto/blob/05c4bca8/"
                "packages/pds/src/api/com/atproto/repo/putRecord.ts, read 2026-11"
            ),
        ),
        base_url="https://bsky.social",
        # Accounts made at bsky.social live on hosts below bsky.network: docs.bsky.app, "Bluesky's own PDS hosts", read 2026-11.
        own_hosts=("bsky.social", ".host.bsky.network"),
        tool_tip="Use an app password; the account's own password and two-factor codes are not needed.",
        refresh_ahead=timedelta(minutes=5),
    )

    def log_in(self, api: Api, fields: Mapping[str, str]) -> Connection:
        """Open a session at the named server and continue at the account's own."""
        service = server_address(fields["service"], field="service")
        answer = api.request(
            "POST",
            f"{service}/xrpc/com.atproto.server.createSession",
            json={
                "identifier": fields["identifier"].removeprefix("@"),
                "password": fields["password"],
            },
            accept=(400, 401),
        )
        if not answer.is_success:
            raise api.with_evidence(_login_refusal(answer), answer)
        session = api.read(answer, "accessJwt", "refreshJwt", "did", "handle")
        identity = resolve(api, str(session["did"]))
        tokens, details = _tokens(session), {"base": identity.server}
        there = api.acting_as(access_with(tokens, details, remote_id=identity.did))
        if identity.server != service:
            session = _session_at(there, identity, service)
        handle = _agreed_handle(session, identity)
        return Connection(self._account(there, identity.did, handle), tokens, details)

    def refresh(self, api: Api) -> Tokens:
        """Exchange the refresh token for a new pair."""
        answer = api.request(
            "POST",
            "/xrpc/com.atproto.server.refreshSession",
            headers={"Authorization": f"Bearer {api.access.refresh_token}"},
            accept=(400, 401),
        )
        if not answer.is_success:
            raise api.with_evidence(_refresh_refusal(answer), answer)
        return _tokens(api.read(answer, "accessJwt", "refreshJwt"))

    def revoke(self, api: Api) -> None:
        """End the session: docs.bsky.app/docs/api/com-atproto-server-delete-session, read 2026-12."""
        api.request(
            "POST",
            "/xrpc/com.atproto.server.deleteSession",
            headers={"Authorization": f"Bearer {api.access.refresh_token}"},
            accept=(400, 401),  # it has ended
        )

    def publish(self, api: Api, post: OutgoingPost) -> Released:
        """Write the record under its own key."""
        return self._write(api, post, reply=None)

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released:
        """Write the record as a reply; it names the thread's root too."""
        return self._write(
            api,
            post,
            reply={"root": _reference(api, to.root), "parent": _reference(api, to.parent)},
        )

    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        """Turn every file into a blob; the video service does that for a video."""
        blobs, job = list(progress.get("blobs", [])), progress.get("job")
        for media in post.media[len(blobs) :]:
            if is_time_short(api):
                return Processing({"blobs": blobs, "job": job}, after=timedelta(0))
            if media.is_video and _uses_video_service(api):
                job = job or self._begin_video(api, media)
                blob = self._video_blob(api, job)
                if blob is None:
                    return Processing({"blobs": blobs, "job": job}, after=PROCESSING_PAUSE)
                blobs.append(blob)
            else:
                blobs.append(self._upload_what_fits(api, media))
        return Staged({"blobs": blobs}, expires_at=api.now() + BLOB_LIFETIME)

    def look_up(
        self, api: Api, post: OutgoingPost, *, to: ThreadPosition | None, since: datetime
    ) -> Sequence[Found]:
        """Read the record that has the part's key."""
        del (
            to,
            since,
        )  # the key proves that it is ours, whatever it replies to and whenever it was written
        found = self._existing(api, post)
        return [found] if found else []

    def find_mentions(self, api: Api, query: str) -> Sequence[Mention]:
        """Search for people by handle or name."""
        params = {"q": query, "limit": 10}
        answer = api.request(
            "GET", "/xrpc/app.bsky.actor.searchActorsTypeahead", params=params, headers=_bearer(api)
        )
        return [
            Mention(
                id=actor["handle"],
                label=text_in(actor, "displayName") or actor["handle"],
                picture_url=actor.get("avatar"),
            )
            for actor in objects_in(api.read(answer), "actors")
            if isinstance(actor.get("handle"), str)
        ]

    def format_mention(self, mention_id: str, label: str) -> str:
        """Write the handle; the facet that makes it a link is found in the text."""
        return f"@{(mention_id or label).removeprefix('@')}"

    def release_from_url(
        self, url: str, *, remote_id: str, username: str | None = None
    ) -> Released | None:
        """Read `/profile/<handle or DID>/post/<key>`, where the handle or DID is the account's."""
        page = page_at(url, "bsky.app")
        found = _POST_PATH.fullmatch(page.path) if page else None
        if found is None:
            return None
        writer, handle = found[1], (username or "").casefold()
        is_other = bool(handle) and writer.casefold() != handle
        if writer != remote_id and (writer.startswith("did:") or is_other):
            return None
        return Released(
            id=f"at://{remote_id}/{POSTS}/{found[2]}",
            url=f"https://bsky.app/profile/{remote_id}/post/{found[2]}",
        )

    def find_release(self, api: Api, url: str) -> Released | None:
        """Read the record that an address names. A handle may have changed, so only a DID must match the account's."""
        named = self.release_from_url(url, remote_id=api.access.remote_id)
        return self.find_release_by_id(api, named.id) if named else None

    def find_release_by_id(self, api: Api, release_id: str) -> Released | None:
        """Read a record by its AT URI, or by its key alone, from the account's own repository.

        Source: https://atproto.com/specs/at-uri-scheme and /specs/record-key, read 2026-11-30.
        """
        key = release_id.removeprefix(f"at://{api.access.remote_id}/{POSTS}/")
        if not _RECORD_KEY.fullmatch(key):
            return None
        record = self._record(api, key)
        return _released(record["uri"], record["cid"]) if record else None

    def classify(self, response: httpx.Response) -> ProviderError | None:
        """Read the error names of XRPC; an expired token is a 400 there."""
        name, words = platform_code(response), reason_in(response)
        if name in {"ExpiredToken", "InvalidToken"}:
            return TokenExpired(f"Bluesky no longer accepts the channel's token. {words}")
        if name in {"AccountTakedown", "AccountDeactivated", "AccountSuspended"}:
            return ChannelDisconnected(f"Bluesky has closed this account. {words}")
        if name == "BlobTooLarge" or response.status_code == 413 or _BLOB_TOO_LARGE.search(words):
            return MediaRejected(f"Bluesky refused the file. {words}", code=_TOO_LARGE)
        if name == "InvalidMimeType":
            return MediaRejected(f"Bluesky refused the file. {words}")
        return None

    # Connecting

    def _account(self, api: Api, did: str, handle: str | None) -> Account:
        answer = api.request(
            "GET",
            "/xrpc/app.bsky.actor.getProfile",
            params={"actor": did},
            headers=_bearer(api),
            accept=(
                400,
                404,
                500,
                501,
                502,
            ),  # a server without the app's view of the network knows no profiles
        )
        profile = api.read(answer) if answer.is_success else {}
        return Account(
            remote_id=did,
            name=text_in(profile, "displayName") or handle or did,
            username=handle,
            picture_url=profile.get("avatar"),
        )

    # Media

    def _upload_what_fits(self, api: Api, media: OutgoingMedia) -> dict[str, Any]:
        """Upload a file, or its smaller copy where the server refuses the size."""
        try:
            return self._upload(api, media)
        except MediaRejected as refused:
            if media.spare is None or refused.detail_code != _TOO_LARGE:
                raise
        return self._upload(api, media.spare)

    def _upload(self, api: Api, media: OutgoingMedia) -> dict[str, Any]:
        answer = api.request(
            "POST",
            "/xrpc/com.atproto.repo.uploadBlob",
            content=RangeFile(api, media),
            headers={**_bearer(api), "Content-Type": media.content_type},
            timeout=UPLOAD_TIMEOUT,
        )
        blob: dict[str, Any] = api.read(answer, "blob")["blob"]
        return blob

    def _begin_video(self, api: Api, media: OutgoingMedia) -> str:
        """Send the video to the service that prepares it; the answer names its job, also for a file it has already."""
        host = urllib.parse.urlsplit(api.base_url).hostname
        params = {
            "aud": f"did:web:{host}",
            "lxm": "com.atproto.repo.uploadBlob",
            "exp": int((api.now() + VIDEO_TOKEN_LIFETIME).timestamp()),
        }
        answer = api.request(
            "GET", "/xrpc/com.atproto.server.getServiceAuth", params=params, headers=_bearer(api)
        )
        sent = api.request(
            "POST",
            f"{VIDEO_SERVICE}/xrpc/app.bsky.video.uploadVideo",
            params={"did": api.access.remote_id, "name": f"{media.id}.mp4"},
            content=RangeFile(api, media),
            headers={
                "Authorization": f"Bearer {api.read(answer, 'token')['token']}",
                "Content-Type": media.content_type,
            },
            accept=(409,),
            timeout=UPLOAD_TIMEOUT,
        )
        body = api.read(sent)
        # The service has answered in both shapes.
        job = clean_id((object_in(body, "jobStatus") or body).get("jobId"))
        if not job:
            raise api.with_evidence(
                PlatformUnavailable("Bluesky returned no job for the video."), sent
            )
        return job

    def _video_blob(self, api: Api, job: str) -> dict[str, Any] | None:
        """Ask for the video's blob; None while it is being prepared."""
        answer = api.request(
            "GET", f"{VIDEO_SERVICE}/xrpc/app.bsky.video.getJobStatus", params={"jobId": job}
        )
        status = api.read(answer, "jobStatus.state")["jobStatus"]
        if status["state"] == "JOB_STATE_FAILED":
            words = (
                status.get("message")
                or status.get("error")
                or status.get("failureCode")
                or "no reason was given"
            )
            raise api.with_evidence(
                MediaRejected(f"Bluesky could not prepare the video: {words}"), answer
            )
        return object_in(status, "blob") or None

    # Writing

    def _write(self, api: Api, post: OutgoingPost, *, reply: Mapping[str, Any] | None) -> Released:
        record: dict[str, Any] = {
            "$type": POSTS,
            "text": post.text,
            "createdAt": clock.to_wire(api.now()),
        }
        tokens = text.bluesky_tokens(post.text)
        if languages := _languages_of(post, tokens):
            record["langs"] = languages
        if facets := self._facets(api, post.text, tokens):
            record["facets"] = facets
        if embed := _embed(post, _blobs(post)):
            record["embed"] = embed
        if reply:
            record["reply"] = reply
        answer = self._put(api, post, record)
        if not answer.is_success and (smaller := self._smaller_blobs(api, post, answer)):
            # Nothing was written, and the key is the same, so there is one post whatever happens.
            answer = self._put(api, post, {**record, "embed": _embed(post, smaller)})
        if answer.is_success:
            written = api.read(answer, "uri", "cid")
            return _released(written["uri"], written["cid"])
        if platform_code(answer) != "InvalidSwap":
            raise api.read_refusal(answer, irrevocable=True)
        existing = self._existing(api, post)
        if existing is None:
            raise api.with_evidence(
                ContentRejected("Another post already uses this post's record key. Resend it."),
                answer,
            )
        return existing.released

    def _put(self, api: Api, post: OutgoingPost, record: Mapping[str, Any]) -> httpx.Response:
        return api.request(
            "POST",
            "/xrpc/com.atproto.repo.putRecord",
            json={
                "repo": api.access.remote_id,
                "collection": POSTS,
                "rkey": record_key(post),
                "record": record,
                "swapRecord": None,  # only if there is none, so a repeat is refused and never creates or overwrites a post
            },
            headers=_bearer(api),
            irrevocable=True,
            accept=(400,),
        )

    def _smaller_blobs(
        self, api: Api, post: OutgoingPost, answer: httpx.Response
    ) -> list[dict[str, Any]] | None:
        """Upload the smaller copies where `answer` refuses the size of a picture; None: it does not, or there are none."""
        blobs = _blobs(post)
        too_large = [
            media.spare is not None and (number_in(blob, "size") or 0) > media.spare.size_bytes
            for media, blob in zip(post.media, blobs, strict=True)
        ]
        if not any(too_large):
            return None
        if api.read_refusal(answer, irrevocable=True).detail_code != _TOO_LARGE:
            return None
        return [
            self._upload(api, media.spare) if media.spare and is_too_large else blob
            for media, blob, is_too_large in zip(post.media, blobs, too_large, strict=True)
        ]

    def _existing(self, api: Api, post: OutgoingPost) -> Found | None:
        """Read the record that has the part's key; None: there is none, or its content differs."""
        body = self._record(api, record_key(post))
        if body is None or object_in(body, "value").get("text") != post.text:
            return None
        # The key proves that it is ours, whatever time the record has.
        created_at = moment_in(body, "value.createdAt") or api.now()
        return Found(_released(body["uri"], body["cid"]), created_at)

    def _record(self, api: Api, key: str, *required: str) -> dict[str, Any] | None:
        """Read the post of a key from the account's repository; None: there is none."""
        answer = api.request(
            "GET",
            "/xrpc/com.atproto.repo.getRecord",
            params={"repo": api.access.remote_id, "collection": POSTS, "rkey": key},
            headers=_bearer(api),
            accept=(400, 404),
        )
        if answer.is_success:
            return api.read(answer, "uri", "cid", *required)
        if platform_code(answer) == "RecordNotFound":
            return None
        raise api.read_refusal(answer, irrevocable=False)

    def _facets(self, api: Api, written: str, tokens: Sequence[text.Token]) -> list[dict[str, Any]]:
        """Mark links, hashtags and the handles that exist."""
        facets = []
        position = at = 0
        for token in tokens:
            if (feature := self._feature(api, token)) is None:
                continue
            start = at + text.utf8_bytes(written[position : token.start])
            at = start + text.utf8_bytes(written[token.start : token.end])
            position = token.end
            facets.append({"index": {"byteStart": start, "byteEnd": at}, "features": [feature]})
        return facets

    def _feature(self, api: Api, token: text.Token) -> dict[str, str] | None:
        if token.kind is text.Kind.LINK:
            return {"$type": "app.bsky.richtext.facet#link", "uri": token.value}
        if token.kind is text.Kind.HASHTAG:
            return {"$type": "app.bsky.richtext.facet#tag", "tag": token.value}
        did = self._resolve(api, token.value)
        return {"$type": "app.bsky.richtext.facet#mention", "did": did} if did else None

    def _resolve(self, api: Api, handle: str) -> str | None:
        answer = api.request(
            "GET",
            "/xrpc/com.atproto.identity.resolveHandle",
            params={"handle": handle},
            accept=(400, 404),
        )
        return str(api.read(answer, "did")["did"]) if answer.is_success else None


def _languages_of(post: OutgoingPost, tokens: Sequence[text.Token]) -> list[str]:
    """List the languages that the member chose, or else the one that the text's script determines."""
    if chosen := codes_in(BlueskySettings.model_validate(post.settings).language):
        return chosen
    words, position = [], 0
    for token in tokens:
        if token.kind is not text.Kind.HASHTAG:  # addresses and handles have no language
            words.append(post.text[position : token.start])
            position = token.end
    found = language_of(" ".join([*words, post.text[position:]]))
    return [found] if found else []


def _blobs(post: OutgoingPost) -> list[dict[str, Any]]:
    blobs = list(post.staged.get("blobs", []))
    if len(blobs) != len(post.media):
        raise PlatformUnavailable("The media are not on Bluesky yet.")
    return blobs


def _embed(post: OutgoingPost, blobs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not blobs:
        return None
    first = post.media[0]
    if first.is_video:
        return {"$type": "app.bsky.embed.video", "video": blobs[0], **_described(first)}
    images = [
        {"image": blob, "alt": media.alt or "", **_ratio(media)}
        for blob, media in zip(blobs, post.media, strict=True)
    ]
    return {"$type": "app.bsky.embed.images", "images": images}


def _described(media: OutgoingMedia) -> dict[str, Any]:
    return {**({"alt": media.alt} if media.alt else {}), **_ratio(media)}


def _ratio(media: OutgoingMedia) -> dict[str, Any]:
    if not media.width or not media.height:
        return {}
    return {"aspectRatio": {"width": media.width, "height": media.height}}


_A_POSITION = 10_000  # microseconds
_POSITIONS = 100  # of a second; more than `max_parts`
_TID_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"


def record_key(post: OutgoingPost) -> str:
    """Make the part's TID (atproto.com/specs/tid, which the lexicon asks for): its second, its position, bits of its key.

    Parts of one group are made at one instant, so the position makes their keys ascend, as a thread's keys should.
    """
    if post.created_at is None:
        raise ValueError("a record key is made of the part's creation time")
    digest = int.from_bytes(hashlib.sha256(post.key.encode()).digest()[:8])
    within = post.position % _POSITIONS * _A_POSITION + digest % _A_POSITION
    microseconds = int(post.created_at.timestamp()) * 1_000_000 + within
    number = (microseconds << 10) | ((digest >> 32) & 0x3FF)
    return "".join(_TID_DIGITS[(number >> shift) & 31] for shift in range(60, -1, -5))


def _released(uri: str, cid: str) -> Released:
    did, key = uri.removeprefix("at://").split("/")[0], uri.rsplit("/", 1)[-1]
    return Released(id=uri, url=f"https://bsky.app/profile/{did}/post/{key}", data={"cid": cid})


def _reference(api: Api, release: Released) -> dict[str, str]:
    """Refer to a record by its address and CID; a release that a member confirmed by its address has no CID."""
    cid = release.data.get("cid")
    if cid is None:
        repo, collection, key = release.id.removeprefix("at://").split("/")
        answer = api.request(
            "GET",
            "/xrpc/com.atproto.repo.getRecord",
            params={"repo": repo, "collection": collection, "rkey": key},
            headers=_bearer(api),
        )
        cid = api.read(answer, "cid")["cid"]
    return {"uri": release.id, "cid": str(cid)}


def _bearer(api: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.access.access_token}"}


def _tokens(session: Mapping[str, Any]) -> Tokens:
    access = str(session["accessJwt"])
    return Tokens(access=access, refresh=str(session["refreshJwt"]), expires_at=_expiry(access))


def _expiry(token: str) -> datetime | None:
    """Read when a JWT expires. It is not verified, because only its server has the key and nothing here trusts it."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (LookupError, TypeError, ValueError, ArithmeticError, OSError, RecursionError):
        return None


def _session_at(api: Api, identity: Identity, service: str) -> dict[str, Any]:
    """Ask the account's own server whether the login at `service` belongs to the account.

    bsky.social logs in for the servers behind it, and any server could claim to; only the account's own server knows.

    Raises:
        GrantRejected: it does not accept the login, or says that it belongs to another account.
    """
    answer = api.request(
        "GET",
        "/xrpc/com.atproto.server.getSession",
        headers=_bearer(api),
        accept=(400, 401, 403, 404),
    )
    session = api.read(answer, "did", "handle") if answer.is_success else {}
    if session.get("did") == identity.did:
        return session
    own, named = server_name(identity.server), server_name(service)
    raise api.with_evidence(
        GrantRejected(
            f"This account is on {own}, which does not accept a login made at {named}. Enter {own} as the server."
        ),
        answer,
    )


_NO_HANDLE = "handle.invalid"  # atproto.com/specs/handle: what stands for one that does not resolve


def _agreed_handle(session: Mapping[str, Any], identity: Identity) -> str | None:
    """Return the account's handle; None where it has none that resolves.

    Raises:
        GrantRejected: the server reports a different handle than the account's document.
    """
    claimed = str(session["handle"]).casefold()
    if claimed == _NO_HANDLE:
        return None
    if claimed != identity.handle:
        raise GrantRejected(
            f"{server_name(identity.server)} says that this account is @{claimed[:253]}, but the account's public record "
            f"says @{(identity.handle or 'nobody')[:253]}. After a change of the handle, wait an hour and connect again."
        )
    return claimed


def _uses_video_service(api: Api) -> bool:
    """Return whether the video service can reach the server. Others, and tests, accept the file as it is."""
    return api.base_url.startswith("https://") and "bluesky" not in settings().provider_base_urls


def _login_refusal(answer: httpx.Response) -> ProviderError:
    words = reason_in(answer)
    if platform_code(answer) == "AuthFactorTokenRequired":
        return GrantRejected(
            "Bluesky requires a code sent by email. Use an app password instead of the account's "
            "own."
        )
    return GrantRejected(f"Bluesky refused the handle or the app password. {words}".strip())


def _refresh_refusal(answer: httpx.Response) -> ProviderError:
    words = reason_in(answer)
    if platform_code(answer) in {"ExpiredToken", "InvalidToken", "AccountTakedown", "AuthMissing"}:
        return GrantRejected(f"Bluesky ended the session. Reconnect the channel. {words}".strip())
    return PlatformUnavailable(
        f"Bluesky returned no new session ({answer.status_code}). {words}".strip()
    )

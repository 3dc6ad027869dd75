"""Mastodon: the configured instance, and any instance. Source: docs.joinmastodon.org, the pages named below, read 2026-11.

Quirks: media are processed after the upload and a status that names one too early is refused; unattached media are
removed after a day (`TTL = 1.day` in app/lib/vacuum/media_attachments_vacuum.rb of mastodon/mastodon). Many programs
speak this API: what a server runs, promises and allows is read from its instance document (families/mastodon_api),
when connecting and once a day before something is sent.
"""

import html
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal

import httpx
from pydantic import BaseModel, Field

from shared.core.cleaning import clean_id
from shared.core.config import settings
from shared.core.errors import FieldProblem, InvalidInput
from shared.providers import addresses
from shared.providers.addresses import page_at
from shared.providers.answers import moment_in, objects_in, text_in
from shared.providers.base import (
    Account,
    Authorization,
    CanFindRelease,
    CanLookUp,
    CanMention,
    CanReadServer,
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
)
from shared.providers.errors import (
    ChannelDisconnected,
    ContentRejected,
    MediaRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    ScopesTooNarrow,
    TokenExpired,
)
from shared.providers.families.mastodon_api import failures, instance, software
from shared.providers.families.mastodon_api.instance import LINK_LENGTH
from shared.providers.http import Api, AppCredentials, ChannelAccess, reason_in
from shared.providers.oauth import OAuth2Provider, server_address
from shared.providers.rules import count
from shared.providers.spec import (
    Idempotency,
    ImageRules,
    MediaRules,
    OAuth2,
    ProviderSpec,
    TextRules,
    TextUnit,
    VideoRules,
)
from shared.providers.uploads import RangeFile, is_time_short

UPLOAD_TIMEOUT = timedelta(minutes=10)  # for a whole file
PROCESSING_PAUSE = timedelta(seconds=2)
UNATTACHED_LIFETIME = timedelta(hours=23)
SCOPES = ("read:accounts", "read:statuses", "write:media", "write:statuses")
# For servers without finer scopes, or that require these where finer ones should do.
COARSE_SCOPES = ("read", "write")

# What an instance of version 4.7 reports about itself by default: the example answer of GET /api/v2/instance in the OpenAPI
# description made of Mastodon's documentation (github.com/abraham/mastodon-openapi, 89b11e72). Older ones, and
# entities/Instance, have 10 MiB, 40 MiB and 16,777,216 pixels; what an instance reports narrows this.
MEDIA = MediaRules(
    images=ImageRules(
        max_count=4,
        max_bytes=16 * 1024**2,
        types=("image/jpeg", "image/png", "image/gif", "image/webp"),
        max_pixels=33_177_600,
        max_alt_length=1_500,
    ),
    videos=VideoRules(
        max_count=1,
        max_bytes=99 * 1024**2,
        types=("video/mp4", "video/webm", "video/quicktime"),
    ),
    max_count=4,
)
_SERVER_FIELD = "externalUrl"  # the field with which a request to connect names the server
# GoToSocial says the first with status 400, Mastodon the others with 401 and, behind some proxies, 403.
_DEAD_TOKEN = (
    "invalid bearer token",
    "invalid_token",
    "access token is invalid",
    "access token was revoked",
    "access token expired",
)
_STATUS_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_STATUS_PATH = re.compile(
    r"(?:/deck|/web)?/(?:@([^/]+)|(?:users/([^/]+)/)?statuses)/(\w{1,64})", re.ASCII
)


class MastodonSettings(BaseModel):
    """What a member may choose for one post."""

    visibility: Literal["public", "unlisted", "private", "direct"] = Field(
        default="public", title="Visibility", description="Who sees the post."
    )
    spoiler_text: str = Field(default="", max_length=500, title="Content warning")
    sensitive: bool = Field(default=False, title="Hide the media until clicked")
    language: str = Field(
        default="",
        pattern=r"^([a-z]{2,3}(-[A-Za-z]{2,4})?)?$",
        title="Language",
        description="ISO 639 code.",
    )


class Mastodon(
    OAuth2Provider,
    CanReply,
    CanStage,
    CanLookUp,
    CanFindRelease,
    CanMention,
    CanReadServer,
    CanRevoke,
):
    """The instance that the setting MASTODON_URL names, by an application registered there."""

    spec = ProviderSpec(
        slug="mastodon",
        name="Mastodon",
        docs_url="https://docs.joinmastodon.org/client/intro/",
        auth=OAuth2(
            authorize_url="{base}/oauth/authorize",
            token_url="{base}/oauth/token",  # noqa: S106  an address
            scopes=SCOPES,
            refreshable=False,
            client_id_setting="MASTODON_CLIENT_ID",
            client_secret_setting="MASTODON_CLIENT_SECRET",  # noqa: S106  a name
        ),
        # app/validators/status_length_validator.rb, read 2026-11-30.
        text=TextRules(
            max_length=500,
            unit=TextUnit.GRAPHEMES,
            link_length=LINK_LENGTH,
            short_mentions=True,
        ),
        media=MEDIA,
        max_parts=50,
        settings=MastodonSettings,
        # Mastodon's own promise; `promise` decides which servers keep it.
        idempotency=software.promise_of(software.Software(software.MASTODON, "4.5.0")),
        base_url="https://mastodon.social",
        base_url_setting="mastodon_url",
    )

    def text_rules(self, account: Mapping[str, Any]) -> TextRules:
        """Use the server's own maximum, if it reported one, and its way of counting links."""
        return instance.text_rules_of(account, self.spec.text)

    def part_rules(
        self, account: Mapping[str, Any], settings: Mapping[str, Any], *, position: int
    ) -> TextRules:
        """Count the content warning with the text of each part, which carries it too."""
        del position
        rules, warning = self.text_rules(account), settings.get("spoiler_text")
        return (
            replace(rules, used=count(warning, rules.unit)) if isinstance(warning, str) else rules
        )

    def media_rules(self, account: Mapping[str, Any], settings: Mapping[str, Any]) -> MediaRules:
        """Narrow the table to what the server reports that it accepts."""
        return instance.media_rules_of(account, self.spec.media_for(settings))

    def promise(self, account: Mapping[str, Any], *, at: datetime) -> Idempotency:
        """Return what the server's software promises; nothing if the software was not read recently."""
        if not self.knows_server(account, at=at):
            return Idempotency()
        return software.promise_of(instance.software_in(account))

    def knows_server(self, account: Mapping[str, Any], *, at: datetime) -> bool:
        """Return whether the instance document was read within a day."""
        return not instance.is_stale(account, at=at)

    def read_server(self, api: Api) -> Mapping[str, Any] | None:
        """Read the instance document again."""
        return instance.read_instance(api, _bearer(api)) or None

    def account(self, api: Api) -> Account:
        """Read the account, and what its instance allows."""
        answer = api.request("GET", "/api/v1/accounts/verify_credentials", headers=_bearer(api))
        me = api.read(answer, "id", "username")
        host = urllib.parse.urlsplit(api.base_url).netloc
        return Account(
            remote_id=f"{me['id']}@{host}",  # ids are the instance's own: two instances may have the same
            name=text_in(me, "display_name") or me["username"],
            username=f"{me['username']}@{host}",
            picture_url=me.get("avatar_static") or me.get("avatar"),
            settings=instance.read_instance(api, _bearer(api)),
        )

    def revoke(self, api: Api) -> None:
        """End the token: docs.joinmastodon.org/methods/oauth/#revoke, read 2026-12."""
        details = api.access.details
        form = {
            "client_id": details.get("clientId", api.app.client_id),
            "client_secret": details.get("clientSecret", api.app.client_secret),
            "token": api.access.access_token,
        }
        api.request("POST", "/oauth/revoke", data=form)

    def publish(self, api: Api, post: OutgoingPost) -> Released:
        """Create the status."""
        return self._create(api, post, in_reply_to=None)

    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released:
        """Create the status as a reply to the part before."""
        return self._create(api, post, in_reply_to=to.parent.id)

    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        """Upload every file, then wait until the instance has processed each."""
        ids, pending = list(progress.get("ids", [])), list(progress.get("pending", []))
        for media in post.media[len(ids) :]:
            if is_time_short(api):
                return Processing({"ids": ids, "pending": pending}, after=timedelta(0))
            media_id, is_ready = self._upload(api, media)
            ids.append(media_id)
            pending += [] if is_ready else [media_id]
        still_pending = [media_id for media_id in pending if not self._is_processed(api, media_id)]
        if still_pending:
            return Processing({"ids": ids, "pending": still_pending}, after=PROCESSING_PAUSE)
        return Staged({"ids": ids}, expires_at=api.now() + UNATTACHED_LIFETIME)

    def look_up(
        self, api: Api, post: OutgoingPost, *, to: ThreadPosition | None, since: datetime
    ) -> Sequence[Found]:
        """Compare the account's latest statuses by their letters, because the instance adds its own markup."""
        del to  # answers are among them
        wanted = (_comparable(post.text), len(post.media))
        found = []
        for status in self._latest(api):
            created_at = moment_in(status, "created_at")
            seen = (
                _comparable(_without_markup(text_in(status, "content"))),
                len(objects_in(status, "media_attachments")),
            )
            if created_at and created_at >= since and seen == wanted and clean_id(status.get("id")):
                found.append(Found(self._released(api, status), created_at))
        return found

    def find_mentions(self, api: Api, query: str) -> Sequence[Mention]:
        """Search the accounts that the instance knows."""
        params = {"q": query, "limit": 10, "resolve": "false"}
        answer = api.request("GET", "/api/v1/accounts/search", params=params, headers=_bearer(api))
        return [
            Mention(id=found["acct"], label=found["acct"], picture_url=found.get("avatar_static"))
            for found in api.read_list(answer)
            if isinstance(found.get("acct"), str)
        ]

    def format_mention(self, mention_id: str, label: str) -> str:
        """Write the handle; the instance makes the link."""
        return f"@{(mention_id or label).removeprefix('@')}"

    def release_from_url(
        self, url: str, *, remote_id: str, username: str | None = None
    ) -> Released | None:
        """Read `/@user/<id>`, as browsers show it, and `/users/<user>/statuses/<id>`, on the account's own instance.

        Ids are an instance's own: elsewhere the same number is another status.
        """
        host = remote_id.partition("@")[2]
        page = page_at(url, host)
        found = (
            _STATUS_PATH.fullmatch(page.path) if page and page.netloc == host.casefold() else None
        )
        if page is None or found is None:
            return None
        writer, own = (found[1] or found[2] or "").casefold(), (username or "").partition("@")[0]
        if "@" in writer or (writer and own and writer != own.casefold()):
            return None
        return Released(id=found[3], url=page._replace(query="", fragment="").geturl())

    def find_release(self, api: Api, url: str) -> Released | None:
        """Ask the server for the status; addresses look different on every software, so any page of it may name one.

        An id in the address is tried first, then the account's latest statuses are compared by their addresses.
        """
        own_id, _, host = api.access.remote_id.partition("@")
        given = addresses.comparable(url)
        for status_id in self._ids_in(url, api):
            status = self._status(api, status_id)
            if status is None or _author(status) != own_id:
                continue
            if given.partition("/")[0] == host.casefold() or given in _addresses_of(status):
                return self._released(api, status)
        return next(
            (
                self._released(api, status)
                for status in self._latest(api)
                if given in _addresses_of(status) and clean_id(status.get("id"))
            ),
            None,
        )

    def find_release_by_id(self, api: Api, release_id: str) -> Released | None:
        """Ask the server for the status."""
        if not _STATUS_ID.fullmatch(release_id):
            return None
        status = self._status(api, release_id)
        if status is None or _author(status) != api.access.remote_id.partition("@")[0]:
            return None
        return self._released(api, status)

    def classify(self, response: httpx.Response) -> ProviderError | None:
        """Read Mastodon's sentences: it gives no codes."""
        words = reason_in(response)
        lowered = words.casefold()
        if response.status_code in {400, 403} and _says_token_is_dead(response, lowered):
            return TokenExpired(f"Mastodon no longer accepts the channel's token. {words}")
        if response.status_code == 403 and "scope" in lowered:
            return ScopesTooNarrow(f"Mastodon refused access. Reconnect the channel. {words}")
        if response.status_code == 403 and "login is currently disabled" in lowered:
            return ChannelDisconnected(f"Mastodon refused access. Reconnect the channel. {words}")
        if response.status_code == 422 and "not finished processing" in lowered:
            return PlatformUnavailable(f"Mastodon has not finished processing the media. {words}")
        if response.status_code == 422 and ("media" in lowered or "file" in lowered):
            return MediaRejected(f"Mastodon refused the media. {words}")
        return None

    def _create(self, api: Api, post: OutgoingPost, *, in_reply_to: str | None) -> Released:
        chosen = MastodonSettings.model_validate(post.settings)
        media_ids = list(post.staged.get("ids", []))
        if len(media_ids) != len(post.media):
            raise PlatformUnavailable("The media are not on Mastodon yet.")
        body = {
            "status": post.text,
            "visibility": chosen.visibility,
            "sensitive": chosen.sensitive,
            **({"media_ids": media_ids} if media_ids else {}),
            **({"spoiler_text": chosen.spoiler_text} if chosen.spoiler_text else {}),
            **({"language": chosen.language} if chosen.language else {}),
            **({"in_reply_to_id": in_reply_to} if in_reply_to else {}),
            # Where members can choose Markdown as their default, our plain text would be read as markup.
            **({"content_type": "text/plain"} if api.access.settings.get("plainText") else {}),
        }
        # Without `Accept`, Rails answers its own failures with HTML, as a gateway would: `request.formats` in
        # actionpack/lib/action_dispatch/middleware/public_exceptions.rb of rails/rails, read 2026-11-30.
        headers = {**_bearer(api), "Idempotency-Key": post.key, "Accept": "application/json"}
        try:
            answer = api.request(
                "POST",
                "/api/v1/statuses",
                json=body,
                headers=headers,
                irrevocable=True,
                accept=(HTTPStatus.SERVICE_UNAVAILABLE,),
            )
        except ContentRejected as error:
            if error.evidence.status in {400, 403} and self._is_token_dead(api):
                message = f"The server no longer accepts the channel's token. {error.message}"
                raise TokenExpired(message, evidence=error.evidence) from error
            raise
        if not answer.is_success:
            refused = api.read_refusal(answer, irrevocable=True)
            if isinstance(refused, OutcomeUnknown):
                refused.request_ended = failures.has_ended(answer)
            raise refused
        return self._released(api, api.read(answer, "id"))

    def _is_token_dead(self, api: Api) -> bool:
        """Ask whose token it is, with a request without content, which a server refuses only for a bad token."""
        try:
            api.request("GET", "/api/v1/accounts/verify_credentials", headers=_bearer(api))
        except TokenExpired:
            return True
        except ProviderError as error:
            return error.evidence.status == HTTPStatus.BAD_REQUEST
        return False

    def _latest(self, api: Api) -> list[dict[str, Any]]:
        answer = api.request(
            "GET",
            f"/api/v1/accounts/{api.access.remote_id.partition('@')[0]}/statuses",
            params={"limit": 40, "exclude_reblogs": "true"},
            headers=_bearer(api),
        )
        return api.read_list(answer)

    def _ids_in(self, url: str, api: Api) -> Sequence[str]:
        """List what could be a status's id in an address: Mastodon's own forms are known, else the last two names."""
        named = self.release_from_url(
            url, remote_id=api.access.remote_id, username=api.access.username
        )
        if named:
            return [named.id]
        names = addresses.comparable(url).split("/")[1:]
        return [name for name in reversed(names[-2:]) if _STATUS_ID.fullmatch(name)]

    def _status(self, api: Api, status_id: str) -> dict[str, Any] | None:
        """Read one status; None: there is none with that id, or this account may not see it."""
        absent = (400, 404, 410, 422)  # some servers refuse ids of another format
        answer = api.request(
            "GET", f"/api/v1/statuses/{status_id}", headers=_bearer(api), accept=absent
        )
        return api.read(answer, "id", "account.id") if answer.is_success else None

    def _released(self, api: Api, status: Mapping[str, Any]) -> Released:
        url = text_in(status, "url") or f"{api.base_url}/statuses/{status['id']}"
        return Released(id=str(status["id"]), url=url)

    def _upload(self, api: Api, media: OutgoingMedia) -> tuple[str, bool]:
        """Send one file; return its id, and whether it is already processed."""
        name = urllib.parse.quote(media.key.rsplit("/", 1)[-1])
        answer = api.request(
            "POST",
            "/api/v2/media",
            files={"file": (name, RangeFile(api, media), media.content_type)},
            data={"description": media.alt} if media.alt else None,
            headers=_bearer(api),
            timeout=UPLOAD_TIMEOUT,
        )
        return str(api.read(answer, "id")["id"]), answer.status_code == httpx.codes.OK

    def _is_processed(self, api: Api, media_id: str) -> bool:
        answer = api.request("GET", f"/api/v1/media/{media_id}", headers=_bearer(api))
        return answer.status_code != httpx.codes.PARTIAL_CONTENT


class MastodonCustom(Mastodon):
    """Any instance: our application is registered there while connecting, and belongs to that channel."""

    spec = ProviderSpec(
        slug="mastodon-custom",
        name="Mastodon",
        listed_as="Mastodon (any server)",
        docs_url="https://docs.joinmastodon.org/methods/apps/",
        auth=OAuth2(
            authorize_url="{base}/oauth/authorize",
            token_url="{base}/oauth/token",  # noqa: S106  an address
            scopes=SCOPES,
            refreshable=False,
        ),
        text=Mastodon.spec.text,
        media=MEDIA,
        max_parts=Mastodon.spec.max_parts,
        settings=MastodonSettings,
        idempotency=Mastodon.spec.idempotency,
        instance=True,
        tool_tip="The server's name is required. Enter one such as mastodon.social.",
    )

    def authorize(self, api: Api, *, redirect_uri: str, instance: str | None) -> Authorization:
        """Register our application at the instance and send the member there."""
        if not instance:
            raise _refused_server(
                "required", "The server's name is required. Enter one such as mastodon.social."
            )
        base = server_address(instance, field=_SERVER_FIELD)
        try:
            return self._begin(api, base, redirect_uri, SCOPES)
        except ContentRejected:
            pass  # it may not know such fine scopes
        try:
            return self._begin(api, base, redirect_uri, COARSE_SCOPES)
        except ContentRejected as error:
            host = urllib.parse.urlsplit(base).netloc
            raise _refused_server("not_mastodon", _not_mastodon(host)) from error

    def ask_wider(
        self, api: Api, *, redirect_uri: str, remember: Mapping[str, str]
    ) -> Authorization | None:
        """Register again with coarse scopes, unless that was already done."""
        if remember.get("scopes"):
            return None
        return self._begin(api, remember["base"], redirect_uri, COARSE_SCOPES)

    def _begin(
        self, api: Api, base: str, redirect_uri: str, scopes: Sequence[str]
    ) -> Authorization:
        """Register our application for these scopes, and send the member there."""
        body = {
            "client_name": "Roost",
            "redirect_uris": redirect_uri,
            "scopes": " ".join(scopes),
            "website": settings().public_url,
        }
        host = urllib.parse.urlsplit(base).netloc
        try:
            answer = api.request("POST", f"{base}/api/v1/apps", json=body)
            registered = api.read(answer, "client_id", "client_secret")
        except PlatformUnavailable as error:
            if error.evidence.status is not None and error.evidence.status < HTTPStatus.BAD_REQUEST:
                raise _refused_server("not_mastodon", _not_mastodon(host)) from error
            message = f"{host} does not answer. Check its name, or try again later."
            raise PlatformUnavailable(message, evidence=error.evidence) from error
        remember = {
            "base": base,
            "clientId": registered["client_id"],
            "clientSecret": registered["client_secret"],
            **({"scopes": " ".join(scopes)} if scopes != SCOPES else {}),
        }
        return self.consent(
            _at_instance(api, remember),
            redirect_uri=redirect_uri,
            remember=remember,
            scopes=scopes,
        )

    def connect(
        self, api: Api, *, code: str, redirect_uri: str, remember: Mapping[str, str]
    ) -> Connection:
        """Finish with the application that was registered at the instance.

        Raises:
            ScopesTooNarrow: the server requires coarse scopes, which were not requested yet.
        """
        there = _at_instance(api, remember)
        try:
            return super().connect(there, code=code, redirect_uri=redirect_uri, remember=remember)
        except ChannelDisconnected as error:
            if remember.get("scopes") or error.detail_code != ScopesTooNarrow.code:
                raise
            raise ScopesTooNarrow(error.message, evidence=error.evidence) from error

    def details(self, api: Api, remember: Mapping[str, str]) -> Mapping[str, str]:
        """Keep the instance and our application there."""
        del api
        return {name: remember[name] for name in ("base", "clientId", "clientSecret")}


def _refused_server(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, problems=[FieldProblem(_SERVER_FIELD, code, message)])


def _not_mastodon(host: str) -> str:
    return f"{host} does not respond like a Mastodon server. Check its name."


def _at_instance(api: Api, remember: Mapping[str, str]) -> Api:
    app = AppCredentials(remember["clientId"], remember["clientSecret"])
    return api.acting_as(ChannelAccess(details={"base": remember["base"]}), app)


def _bearer(api: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.access.access_token}"}


def _says_token_is_dead(response: httpx.Response, words: str) -> bool:
    """Recognize what servers answer instead of 401 (RFC 6750, section 3.1: `error="invalid_token"`)."""
    challenge = response.headers.get("www-authenticate", "").casefold()
    return "invalid_token" in challenge or any(phrase in words for phrase in _DEAD_TOKEN)


def _author(status: Mapping[str, Any]) -> str:
    return str(status["account"]["id"])


def _addresses_of(status: Mapping[str, Any]) -> set[str]:
    given = (status.get("url"), status.get("uri"))
    return {addresses.comparable(address) for address in given if isinstance(address, str)}


def _without_markup(content: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br[^>]*>|</p>", "\n", content)))


def _comparable(words: str) -> str:
    """Reduce a text to what the instance leaves unchanged: no white space, no server part of a handle."""
    local_handles = re.sub(r"(@[\w.-]+)@[\w.-]+", r"\1", words)
    return re.sub(r"\s+", "", local_handles).casefold()

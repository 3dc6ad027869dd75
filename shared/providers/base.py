"""The provider interface: one table, one method, and optional powers.

A provider translates: our post into the platform's request, and its answer into `Released` or `Processing`. It uses no
database, no queue and no clock except `Api`'s. It never sleeps or loops to wait: it returns `Processing`, and the
publisher calls `resume` later. See `docs/adding-a-provider.md`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import httpx

from shared.core.cleaning import (
    MAX_ID_CHARACTERS,
    clean_id,
    clean_json,
    clean_name,
    web_address,
)
from shared.providers.errors import FieldRefused, ProviderError
from shared.providers.http import Api
from shared.providers.spec import Idempotency, MediaRules, ProviderSpec, TextRules


def _clean(answer: Any, **fields: Any) -> None:
    """Set fields of an answer during construction. Values from a platform are cut and cleaned only here."""
    for name, value in fields.items():
        object.__setattr__(answer, name, value)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A platform's tokens for an account. `expires_at` is UTC; None: they do not expire, or the platform did not say."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """A channel's account on its platform. `remote_id` never changes; `username` is what people see after the @."""

    remote_id: str
    name: str
    username: str | None = None
    picture_url: str | None = None
    settings: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the platform reports about its abilities

    def __post_init__(self) -> None:
        _clean(
            self,
            remote_id=clean_id(self.remote_id),
            name=clean_name(self.name),
            username=clean_name(self.username) or None,
            picture_url=web_address(self.picture_url),
            settings=clean_json(self.settings),
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """A finished connection. `details` are what later calls need besides tokens (instance, DID); sealed at rest."""

    account: Account
    tokens: Tokens
    details: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The address for the member's browser, and the values to keep until it returns.

    `remember` is sealed and returned to `finish` unchanged (PKCE verifier, request-token secret, client of an
    instance). `state` is what the platform will send back; for OAuth 1.0a it is the request token.
    """

    url: str
    state: str
    remember: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class PlatformPage:
    """One of the pages an account manages, offered after connecting."""

    id: str
    name: str
    username: str | None = None
    picture_url: str | None = None

    def __post_init__(self) -> None:
        _clean(
            self,
            id=clean_id(self.id),
            name=clean_name(self.name) or clean_id(self.id),
            username=clean_name(self.username) or None,
            picture_url=web_address(self.picture_url),
        )


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """The properties of a file that the rules check. Sizes are in bytes, pixels and milliseconds; None: not known.

    `moves`: a picture with several frames, which our variants would lose. `turned`: metadata (Exif's orientation) rotate or
    mirror it for display. `damage` is a clause that describes the damage; None: no known damage.
    """

    content_type: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    alt: str | None = None
    moves: bool = False
    damage: str | None = None
    turned: bool = False

    @property
    def is_video(self) -> bool:
        """Whether it is a video. Everything else is a picture."""
        return self.content_type.startswith("video/")


@dataclass(frozen=True, slots=True)
class DraftPart:
    """One part as composed: sanitized HTML (or plain text) and its files in display order.

    `setting_media` are files that are not shown in the part, by the setting that names them; only a root can have some.
    """

    html: str
    media: Sequence[MediaInfo] = ()
    setting_media: Mapping[str, MediaInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutgoingMedia:
    """One file of a part, in the variant for the platform. Sizes are in bytes, pixels and milliseconds.

    `cover_at_ms` is the position of a video's cover. `spare` is a smaller variant of a picture for servers that refuse this
    one as too large (`ImageRules.spare_bytes`); None: there is none, or this one is small enough.
    """

    id: str
    key: str  # the object key in our storage; read through `Api.read_media`
    url: str  # public address, for platforms that fetch
    content_type: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    alt: str | None = None
    cover_at_ms: int | None = None
    spare: "OutgoingMedia | None" = None

    @property
    def is_video(self) -> bool:
        """Whether it is a video. Everything else is a picture."""
        return self.content_type.startswith("video/")


@dataclass(frozen=True, slots=True)
class OutgoingPost:
    """One part that is about to be published.

    `html` is the member's text, sanitized; `text` is the same in the form of the provider's `Editor`.
    `settings` is validated by the provider's model. `key` identifies part and generation, not the try, so it is the
    same for every retry. `setting_media` are files by the setting that names them; only a root has any. `staged` is
    what `stage` returned, empty if there is no media.
    """

    part_id: str
    key: str
    html: str
    text: str
    settings: Mapping[str, Any]
    media: Sequence[OutgoingMedia] = ()
    setting_media: Mapping[str, OutgoingMedia] = field(default_factory=dict)
    staged: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = (
        None  # of the part and generation; deterministic record keys are made from it
    )
    position: int = 0


@dataclass(frozen=True, slots=True)
class Released:
    """A post as it exists on the platform. `data` is what a reply needs to refer to it (a CID) and is stored with it."""

    id: str
    url: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _clean(
            self,
            id=clean_id(self.id) or clean_name(self.id, max_length=MAX_ID_CHARACTERS),
            url=web_address(self.url) or "",
            data=clean_json(self.data),
        )

    @property
    def data_to_store(self) -> str | None:
        """`data` as the JSON that is stored with the part; None if there is none."""
        return json.dumps(dict(self.data)) if self.data else None


@dataclass(frozen=True, slots=True)
class ThreadPosition:
    """What a reply responds to: the thread's root and the part just before."""

    root: Released
    parent: Released


@dataclass(frozen=True, slots=True)
class Processing:
    """The post is not ready: call `resume` with `state` (small, JSON, no secrets) once `after` has passed."""

    state: Mapping[str, Any]
    after: timedelta

    def __post_init__(self) -> None:
        _clean(self, state=clean_json(self.state))


@dataclass(frozen=True, slots=True)
class Staged:
    """The part's media are on the platform. `data` (JSON) goes into `OutgoingPost.staged`; unused after `expires_at`."""

    data: Mapping[str, Any]
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        _clean(self, data=clean_json(self.data))


@dataclass(frozen=True, slots=True)
class Found:
    """A post that looks like ours, found by asking the platform."""

    released: Released
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """One metric over days: `points` are (ISO date, value), ascending; unknown days are left out, never zero."""

    label: str
    points: Sequence[tuple[str, float]]
    average: bool = False


@dataclass(frozen=True, slots=True)
class Mention:
    """Someone who can be mentioned."""

    id: str
    label: str
    picture_url: str | None = None

    def __post_init__(self) -> None:
        _clean(
            self,
            id=clean_id(self.id),
            label=clean_name(self.label),
            picture_url=web_address(self.picture_url),
        )


@dataclass(frozen=True, slots=True)
class ToolField:
    """One value that a tool takes. `type` is what programs see; every value is sent as text."""

    key: str
    description: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Tool:
    """A query that programs can send to a platform while composing. It changes nothing there."""

    name: str
    description: str
    fields: tuple[ToolField, ...] = ()


class Provider(ABC):
    """A platform. A provider with only `spec` and `publish` has no replies, no media staging and no refresh."""

    spec: ClassVar[ProviderSpec]

    @abstractmethod
    def publish(self, api: Api, post: OutgoingPost) -> Released | Processing:
        """Create the post. The request that cannot be taken back is sent with `irrevocable=True`."""

    def resume(
        self, api: Api, post: OutgoingPost, state: Mapping[str, Any]
    ) -> Released | Processing:
        """Continue after `Processing`; only for a provider that returns it."""
        raise LookupError(f"{self.spec.slug} returned Processing and cannot resume")

    # Connecting. `OAuth2Provider`, `OAuth1Provider` and `FormProvider` (shared/providers/oauth.py) fill these in.

    @abstractmethod
    def authorize(self, api: Api, *, redirect_uri: str, instance: str | None) -> Authorization:
        """Begin connecting. `instance` is the server the member named, where `spec.instance`."""

    def ask_wider(
        self, api: Api, *, redirect_uri: str, remember: Mapping[str, str]
    ) -> Authorization | None:
        """Start connecting again with broader scopes, after `ScopesTooNarrow`; None if there are no broader ones."""
        return None

    @abstractmethod
    def connect(
        self, api: Api, *, code: str, redirect_uri: str, remember: Mapping[str, str]
    ) -> Connection:
        """Finish connecting with the platform's code, or with the form's fields as JSON for `Fields`.

        Raises:
            GrantRejected: the code is used or unknown.
            ChannelDisconnected: a scope is missing; the message names it.
        """

    def refresh(self, api: Api) -> Tokens:
        """Get new tokens. An empty `refresh` in the result means: keep the old one.

        Raises:
            GrantRejected: the platform finally refuses the grant. A server that does not answer has not refused it.
        """
        raise LookupError(f"{self.spec.slug} has nothing to refresh")

    def text_rules(self, account: Mapping[str, Any]) -> TextRules:
        """Return the text rules of this account; `account` is its `Account.settings`."""
        return self.spec.text

    def media_rules(self, account: Mapping[str, Any], settings: Mapping[str, Any]) -> MediaRules:
        """Return the media rules for a part of this account; `account` as in `text_rules`, `settings` the post's."""
        return self.spec.media_for(settings)

    def promise(self, account: Mapping[str, Any], *, at: datetime) -> Idempotency:
        """Return the idempotency promise of this account's server, as of `at`.

        This is the table's promise unless the promise depends on the account's server.
        """
        return self.spec.idempotency

    def part_rules(
        self, account: Mapping[str, Any], settings: Mapping[str, Any], *, position: int
    ) -> TextRules:
        """Return the text rules for the part at `position`; `settings` are as the member sent them."""
        return self.text_rules(account)

    def check(
        self, parts: Sequence[DraftPart], settings: Mapping[str, Any]
    ) -> Sequence[FieldRefused]:
        """List refusals that the table cannot express; `settings` are already validated."""
        return ()

    def release_from_url(
        self, url: str, *, remote_id: str, username: str | None = None
    ) -> Released | None:
        """Read a release from an address; `remote_id` and `username` are the account's.

        None: the address is not a post's, or belongs to another account. The platform is not asked, so the post may not exist,
        and `data` is empty; `CanFindRelease` asks the platform.
        """
        return None

    def classify(self, response: httpx.Response) -> ProviderError | None:
        """Classify a refusal that is specific to this platform; None leaves it to the general table."""
        return None


class CanReply(ABC):
    """Threads: each part after the root replies to the one before it."""

    @abstractmethod
    def reply(self, api: Api, post: OutgoingPost, *, to: ThreadPosition) -> Released | Processing:
        """Create the part as a reply."""


class CanStage(ABC):
    """Media are moved to the platform ahead of time, in ranges, by a separate function."""

    @abstractmethod
    def stage(
        self, api: Api, post: OutgoingPost, progress: Mapping[str, Any]
    ) -> Staged | Processing:
        """Move media until done or until `api.time_left()` is short.

        `progress` is {} at first, then the `state` of the `Processing` returned last; it is stored before the next
        call, so work that it records is never repeated.
        """


class CanLookUp(ABC):
    """The platform can be asked whether a post exists."""

    @abstractmethod
    def look_up(
        self, api: Api, post: OutgoingPost, *, to: ThreadPosition | None, since: datetime
    ) -> Sequence[Found]:
        """List the account's posts since `since` that have this part's content, newest first.

        `to` is what the part replies to, as in `reply`; None: it is the root.

        Raises:
            Unsupported: too few posts can be read to know whether a match is the only one.
        """


class CanFindRelease(ABC):
    """The platform can be asked for the post at an address and its account."""

    @abstractmethod
    def find_release(self, api: Api, url: str) -> Released | None:
        """Find the account's post at an address; None if there is none or it belongs to another account."""

    @abstractmethod
    def find_release_by_id(self, api: Api, release_id: str) -> Released | None:
        """Find the account's post with that id; None if there is none or it belongs to another account."""


class CanReadServer(ABC):
    """The account's server is one of many, and reports its own software and limits.

    They are stored with the channel, in `Account.settings`, and read again before a post is sent.
    """

    @abstractmethod
    def knows_server(self, account: Mapping[str, Any], *, at: datetime) -> bool:
        """Return whether the stored data about the server are recent enough to rely on, as of `at`."""

    @abstractmethod
    def read_server(self, api: Api) -> Mapping[str, Any] | None:
        """Ask the server, and return the values to store; None if it gives no valid answer."""


class CanListPages(ABC):
    """After connecting, the member chooses which page the channel is."""

    @abstractmethod
    def pages(self, api: Api) -> Sequence[PlatformPage]:
        """List the pages the account may post to."""

    @abstractmethod
    def choose_page(self, api: Api, page_id: str) -> Connection:
        """Exchange the account's connection for the page's.

        Raises:
            ChannelDisconnected: the account may not post to that page.
        """


class CanMention(ABC):
    """People can be looked up by name and mentioned."""

    @abstractmethod
    def find_mentions(self, api: Api, query: str) -> Sequence[Mention]:
        """List people matching `query`, best first."""

    @abstractmethod
    def format_mention(self, mention_id: str, label: str) -> str:
        """Write a mention the way the platform expects it in a text."""


class CanRevoke(ABC):
    """The platform lets us give back the permission that a member granted."""

    @abstractmethod
    def revoke(self, api: Api) -> None:
        """Have the platform end the channel's tokens. A token that has ended already counts as revoked.

        Raises:
            ProviderError: the platform did not do it.
        """


class CanReport(ABC):
    """Reads metrics of the account and of single posts."""

    @abstractmethod
    def account_series(self, api: Api, *, days: int) -> Sequence[Series]:
        """Read the account's metrics of the last `days` days."""

    @abstractmethod
    def post_series(self, api: Api, release: Released) -> Sequence[Series]:
        """Read one post's metrics as of now."""


class CanRunTools(ABC):
    """Programs can query the platform while composing: which boards exist, how a company is mentioned."""

    tools: ClassVar[tuple[Tool, ...]]

    @abstractmethod
    def run_tool(self, api: Api, name: str, data: Mapping[str, str]) -> Any:
        """Run the tool `name` of `tools`; `data` holds the fields that were sent. Returns a JSON value."""

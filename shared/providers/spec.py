"""A platform's table: the data for validation, settings forms, documentation and OAuth."""

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError

from shared.core.text import is_blank


class TextUnit(StrEnum):
    """How a platform counts the length of a text."""

    CHARACTERS = "characters"  # Unicode code points
    GRAPHEMES = "graphemes"  # grapheme clusters
    UTF16 = "utf16"  # UTF-16 code units
    BYTES = "bytes"  # UTF-8 bytes
    WEIGHTED = "weighted"  # X: most scripts count one, CJK and emoji two, a link 23


class Editor(StrEnum):
    """The form of the composed text that a platform receives."""

    PLAIN = "plain"
    MARKDOWN = "markdown"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class TextRules:
    """The limits of a text. Every link counts as `link_length`; None: links count as written.

    `short_mentions`: `@name@server` counts as `@name`. `used` is the length that counts in addition to the text, such as
    that of the post's content warning.
    """

    max_length: int
    unit: TextUnit = TextUnit.CHARACTERS
    link_length: int | None = None
    short_mentions: bool = False
    used: int = 0
    max_bytes: int | None = None
    editor: Editor = Editor.PLAIN


@dataclass(frozen=True, slots=True)
class ImageRules:
    """The limits of a part's pictures. Sizes are in bytes and pixels; `types` are the accepted MIME types.

    `spare_bytes`: some servers of the platform accept no more than this, so a variant of that size is made too
    (`OutgoingMedia.spare`).
    """

    max_count: int = 0
    max_bytes: int | None = None
    types: tuple[str, ...] = ("image/jpeg", "image/png")
    max_width: int | None = None
    max_height: int | None = None
    max_pixels: int | None = None
    max_alt_length: int | None = None
    spare_bytes: int | None = None

    @property
    def spare(self) -> "ImageRules | None":
        """The rules for a second, smaller copy; None: no second copy is made."""
        if self.spare_bytes is None:
            return None
        return replace(self, max_bytes=self.spare_bytes, spare_bytes=None)


@dataclass(frozen=True, slots=True)
class VideoRules:
    """The limits of a part's videos. Sizes are in bytes and pixels per frame; `types` are MIME types."""

    max_count: int = 0
    max_bytes: int | None = None
    types: tuple[str, ...] = ("video/mp4",)
    max_pixels: int | None = None
    max_duration: timedelta | None = None
    min_duration: timedelta | None = None


@dataclass(frozen=True, slots=True)
class MediaRules:
    """The limits of a part's files. `mixed`: pictures and videos together. `replies`: parts after the root too."""

    images: ImageRules = field(default_factory=ImageRules)
    videos: VideoRules = field(default_factory=VideoRules)
    max_count: int = 0
    mixed: bool = False
    required: bool = False
    replies: bool = True


@dataclass(frozen=True, slots=True)
class MediaMode:
    """Rules that replace the table's `media` while `setting`, a boolean, is on. Refusals call the mode `name`."""

    setting: str
    name: str
    media: MediaRules


@dataclass(frozen=True, slots=True)
class TextMode:
    """Rules that replace the table's `text` for a root's text while `setting` is `value`."""

    setting: str
    value: str
    text: TextRules


_SOURCE = re.compile(r"https://\S+.*, read 20\d\d-\d\d", re.DOTALL)


class IdempotencyForm(StrEnum):
    """How a platform recognizes a request it has already carried out."""

    NONE = "none"
    HEADER = "header"  # an Idempotency-Key header
    RECORD_KEY = "record_key"  # we choose the record's key, so a repeat overwrites or is refused


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The platform's promise about repeated requests. After `lifetime` (None: forever) an attempt has no idempotency key.

    `source` is where the promise is documented and when it was read: a link and a month. A promise without a source is
    refused, because we resend posts in reliance on it.
    """

    form: IdempotencyForm = IdempotencyForm.NONE
    lifetime: timedelta | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.form is not IdempotencyForm.NONE and not _SOURCE.search(self.source):
            raise ValueError(f"a promise names its source, a link and a date: {self.source!r}")


@dataclass(frozen=True, slots=True)
class OAuth2:
    """The authorization code flow. URLs may contain `{base}`: the instance or the configured base address."""

    authorize_url: str
    token_url: str
    scopes: tuple[str, ...]
    scope_separator: str = " "
    pkce: bool = False
    refreshable: bool = True
    client_id_setting: str = ""  # key in the providers secret, e.g. LINKEDIN_CLIENT_ID
    client_secret_setting: str = ""
    extra_authorize: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OAuth1:
    """The three-legged flow, HMAC-SHA1."""

    request_token_url: str
    authorize_url: str
    access_token_url: str
    client_id_setting: str
    client_secret_setting: str


@dataclass(frozen=True, slots=True)
class FormField:
    """One field a member fills in to connect. `pattern` is a regular expression the browser can check too."""

    name: str
    label: str
    secret: bool = False
    default: str = ""
    pattern: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Fields:
    """Connecting with a form (an app password, an API key)."""

    fields: tuple[FormField, ...]


class MediaSetting(BaseModel):
    """A library file named by a setting, by its id or its public address."""

    id: str | None = None
    path: str | None = None
    alt: str | None = None


class NoSettings(BaseModel):
    """For a platform without settings of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One platform's table: everything the front end, the validator and the documentation know about it."""

    slug: str
    name: str  # as in a sentence: "Mastodon allows at most 500 characters"
    docs_url: str
    auth: OAuth2 | OAuth1 | Fields
    text: TextRules
    text_modes: tuple[TextMode, ...] = ()
    media: MediaRules = field(default_factory=MediaRules)
    media_modes: tuple[MediaMode, ...] = ()
    max_parts: int = 1  # 1: no threads; replies are refused while composing
    settings: type[BaseModel] = NoSettings
    media_settings: tuple[str, ...] = ()  # those that are a `MediaSetting`
    title_setting: str = (
        ""  # the setting that the post's title fills if it is empty; "": no title is sent
    )
    idempotency: Idempotency = field(default_factory=Idempotency)
    base_url: str = ""  # the API's address; `PROVIDER_BASE_URLS` overrides it
    base_url_setting: str = ""  # the setting that holds the address instead (`mastodon_url`)
    listed_as: str = ""  # the name in a list of platforms, if two have the same `name`
    instance: bool = False  # the member names the server to connect to
    own_hosts: tuple[
        str, ...
    ] = ()  # the platform's own servers, if members can enter others; `.x` is every host below x
    choose_page: bool = False  # a page is chosen after connecting
    article: bool = False
    web3: bool = False
    tool_tip: str = ""
    token_lifetime: timedelta | None = None  # if the platform does not say; None: does not expire
    refresh_ahead: timedelta = timedelta(minutes=10)

    @property
    def members_name_servers(self) -> bool:
        """True if a member can choose the server: an instance, or an address in the form."""
        return self.instance or isinstance(self.auth, Fields)

    def named_host(self, details: Mapping[str, str]) -> str | None:
        """Return the host that the connecting member named; None if the server is the platform's own."""
        host = urllib.parse.urlsplit(details.get("base", "")).hostname
        if not self.members_name_servers or host is None:
            return None
        is_own = any(
            host.endswith(own) if own.startswith(".") else host == own for own in self.own_hosts
        )
        return None if is_own else host

    @property
    def longest_text(self) -> int:
        """The maximum text length of any post, in the unit in which it is counted."""
        return max(
            rules.max_length for rules in (self.text, *(one.text for one in self.text_modes))
        )

    def text_mode(self, settings: Mapping[str, Any]) -> TextMode | None:
        """Return the mode that a post's settings choose for its root's text; None: the usual rules apply."""
        chosen = (one for one in self.text_modes if settings.get(one.setting) == one.value)
        return next(chosen, None)

    @property
    def all_media(self) -> tuple[MediaRules, ...]:
        """Every set of rules that can apply to a post. Variants of pictures are made for each."""
        return (self.media, *(mode.media for mode in self.media_modes))

    def with_title(self, settings: Mapping[str, Any], title: str | None) -> Mapping[str, Any]:
        """Return a post's settings; its title fills the platform's title setting if that is empty."""
        own = settings.get(self.title_setting)
        if not self.title_setting or not title or (own and not is_blank(str(own))):
            return settings
        return {**settings, self.title_setting: title}

    def media_mode(self, settings: Mapping[str, Any]) -> MediaMode | None:
        """Return the mode that a post's settings choose; None: the table's `media` apply, as for invalid settings."""
        if not self.media_modes:
            return None
        try:
            chosen = self.settings.model_validate(dict(settings))
        except ValidationError:
            return None
        return next((mode for mode in self.media_modes if getattr(chosen, mode.setting)), None)

    def media_for(self, settings: Mapping[str, Any]) -> MediaRules:
        """Return the rules that apply to a post's files."""
        mode = self.media_mode(settings)
        return mode.media if mode else self.media

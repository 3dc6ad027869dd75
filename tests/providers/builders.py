"""Which posts, files and lines to a platform the tests of providers use: a default for all that a test does not name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from shared.providers.base import OutgoingMedia, OutgoingPost, Provider
from shared.providers.http import Api, AppCredentials, ChannelAccess

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
TOKEN = "the-channel-s-access-token"
REFRESH_TOKEN = "the-channel-s-refresh-token"
CLIENT_SECRET = "the-application-s-secret"
# A complete 1x1 PNG: servers that look into files accept it.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360f8cf500f0003860180"
    "5a346f6b0000000049454e44ae426082"
)


@dataclass
class Storage:
    """Files by key, and which ranges of them were read."""

    files: dict[str, bytes] = field(default_factory=dict)
    reads: list[tuple[str, int, int]] = field(default_factory=list)

    def read(self, key: str, start: int, length: int) -> bytes:
        self.reads.append((key, start, length))
        return self.files[key][start : start + length]

    def picture(self, name: str = "roof.png", content: bytes = PIXEL, **info: Any) -> OutgoingMedia:
        return self._file(
            name, content, {"content_type": "image/png", "width": 1, "height": 1, **info}
        )

    def video(
        self, name: str = "clip.mp4", content: bytes = b"v" * 1000, **info: Any
    ) -> OutgoingMedia:
        known = {"content_type": "video/mp4", "width": 640, "height": 360, "duration_ms": 4000}
        return self._file(name, content, {**known, **info})

    def _file(self, name: str, content: bytes, info: Mapping[str, Any]) -> OutgoingMedia:
        key = f"media/{name}"
        self.files[key] = content
        url = f"https://media.example.org/{key}"
        return OutgoingMedia(id=name, key=key, url=url, size_bytes=len(content), **info)


def an_access(**changes: Any) -> ChannelAccess:
    known = {
        "remote_id": "42",
        "username": "roost",
        "access_token": TOKEN,
        "refresh_token": REFRESH_TOKEN,
    }
    return ChannelAccess(**{**known, **changes})


def an_api(
    provider: Provider,
    *,
    access: ChannelAccess | None = None,
    storage: Storage | None = None,
    mark_sending: Callable[[], None] = lambda: None,
    deadline: float | None = None,
    client: httpx.Client | None = None,
) -> Api:
    return Api(
        provider.spec,
        client or httpx.Client(),
        access=access or an_access(),
        app=AppCredentials("the-client-id", CLIENT_SECRET),
        classify=provider.classify,
        mark_sending=mark_sending,
        read_media=(storage or Storage()).read,
        deadline=deadline,
    )


def a_post(
    text: str = "The owls are back.",
    *,
    media: Sequence[OutgoingMedia] = (),
    staged: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    position: int = 0,
    key: str = "0190a000-0000-7000-8000-000000000001.1",
) -> OutgoingPost:
    return OutgoingPost(
        part_id=key.partition(".")[0],
        key=key,
        html=f"<p>{text}</p>",
        text=text,
        settings=settings or {},
        media=media,
        staged=staged or {},
        created_at=NOON,
        position=position,
    )

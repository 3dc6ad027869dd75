"""Does a real Bluesky server take what we send: a picture, facets, a reply, a repeat; and is its refusal shown?"""

import dataclasses
import json
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.core.config import settings
from shared.providers.base import Connection, Processing, Released, Staged, ThreadPosition
from shared.providers.errors import ContentRejected, GrantRejected, TokenExpired
from shared.providers.http import Api
from shared.providers.oauth import access_with
from shared.providers.platforms.bluesky import Bluesky, record_key
from tests.providers.builders import Storage, a_post, an_access, an_api

FOLDER = Path(__file__).parent / "pds"
pytestmark = [pytest.mark.servers, pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    if not (FOLDER / "node_modules").exists():
        pytest.fail("The server is not installed: npm ci --prefix tests/servers/pds")
    node = shutil.which("node")
    if node is None:
        pytest.fail("Node 20 or later is not installed")
    with subprocess.Popen(
        [node, "server.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        try:
            yield json.loads(line)
        finally:
            process.stdin.close()
            process.wait(timeout=20)


@pytest.fixture
def bluesky(server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bluesky]:
    monkeypatch.setenv("ALLOW_LOOPBACK_ADDRESSES", "true")
    monkeypatch.setenv("PROVIDER_BASE_URLS", json.dumps({"plc.directory": server["plc"]}))
    settings.cache_clear()
    yield Bluesky()
    settings.cache_clear()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def connection(server: dict[str, Any], bluesky: Bluesky, client: httpx.Client) -> Connection:
    alice = server["accounts"]["alice"]
    form = {"service": server["url"], "identifier": alice["handle"], "password": alice["password"]}
    return bluesky.connect(
        an_api(bluesky, access=an_access(access_token=""), client=client),
        code=json.dumps(form),
        redirect_uri="",
        remember={},
    )


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def api(bluesky: Bluesky, connection: Connection, storage: Storage, client: httpx.Client) -> Api:
    access = access_with(
        connection.tokens, connection.details, remote_id=connection.account.remote_id
    )
    return an_api(bluesky, access=access, storage=storage, client=client)


def stored(api: Api, release: Released) -> dict[str, Any]:
    did, collection, key = release.id.removeprefix("at://").split("/")
    answer = api.request(
        "GET",
        "/xrpc/com.atproto.repo.getRecord",
        params={"repo": did, "collection": collection, "rkey": key},
    )
    value: dict[str, Any] = answer.json()["value"]
    return value


def publish(bluesky: Bluesky, api: Api, **about: Any) -> Released:
    released = bluesky.publish(api, a_post(**about))
    assert not isinstance(released, Processing)
    return released


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    rows = (b"\x00" + b"\xc0\x40\x20" * width) * height
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class TestConnect:
    def test_names_the_account_and_its_own_server(
        self, server: dict[str, Any], connection: Connection
    ) -> None:
        assert connection.account.remote_id == server["accounts"]["alice"]["did"]
        assert connection.account.username == "alice.test"
        assert connection.details == {"base": server["url"]}
        assert connection.tokens.expires_at is not None

    def test_a_wrong_password_is_refused_in_words(
        self, server: dict[str, Any], bluesky: Bluesky, client: httpx.Client
    ) -> None:
        form = {"service": server["url"], "identifier": "alice.test", "password": "wrong"}
        with pytest.raises(GrantRejected, match="Invalid identifier or password"):
            bluesky.connect(
                an_api(bluesky, client=client), code=json.dumps(form), redirect_uri="", remember={}
            )

    def test_refreshes_and_the_new_token_works(
        self, bluesky: Bluesky, api: Api, connection: Connection
    ) -> None:
        tokens = bluesky.refresh(api)
        renewed = api.acting_as(
            access_with(tokens, connection.details, remote_id=api.access.remote_id)
        )
        assert publish(bluesky, renewed, key="after-refresh.1").url.startswith("https://bsky.app/")

    def test_a_bad_token_asks_for_a_refresh(self, bluesky: Bluesky, api: Api) -> None:
        bad = api.acting_as(dataclasses.replace(api.access, access_token="nonsense"))
        with pytest.raises(TokenExpired):
            bluesky.publish(bad, a_post(key="bad-token.1"))


class TestPublish:
    def test_a_picture_arrives_with_its_description_and_ratio(
        self, bluesky: Bluesky, api: Api, storage: Storage
    ) -> None:
        picture = storage.picture(content=png(4, 3), width=4, height=3, alt="An owl on a roof")
        staged = bluesky.stage(api, a_post(media=[picture]), {})
        assert isinstance(staged, Staged)
        release = publish(bluesky, api, media=[picture], staged=staged.data, key="picture.1")
        (image,) = stored(api, release)["embed"]["images"]
        assert image["alt"] == "An owl on a roof"
        assert image["aspectRatio"] == {"width": 4, "height": 3}
        assert image["image"]["mimeType"] == "image/png"

    @pytest.mark.parametrize("size", [1_500_000, 6_000_000])
    def test_a_picture_that_is_too_large_arrives_as_its_smaller_copy(
        self, bluesky: Bluesky, api: Api, storage: Storage, size: int
    ) -> None:
        """Finding 1.10: this server takes blobs to 5 MiB, and refuses a record with a picture of more than 1,000,000 bytes."""
        pixels = png(4, 3)
        large = storage.picture(content=pixels.ljust(size, b"\x00"), width=4, height=3)
        spare = storage.picture("spare.png", pixels, width=4, height=3)
        picture = dataclasses.replace(large, spare=spare)
        staged = bluesky.stage(api, a_post(media=[picture]), {})
        assert isinstance(staged, Staged)
        key = f"large-{size}.1"
        release = publish(bluesky, api, media=[picture], staged=staged.data, key=key)
        (image,) = stored(api, release)["embed"]["images"]
        assert image["image"]["size"] == len(pixels)
        assert publish(bluesky, api, media=[picture], staged=staged.data, key=key) == release

    def test_languages_arrive(self, bluesky: Bluesky, api: Api) -> None:
        """Finding 4.6."""
        release = publish(bluesky, api, settings={"language": "en, pt-BR"}, key="languages.1")
        assert stored(api, release)["langs"] == ["en", "pt-BR"]

    def test_a_video_arrives(self, bluesky: Bluesky, api: Api, storage: Storage) -> None:
        video = storage.video(content=b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 5_000)
        staged = bluesky.stage(api, a_post(media=[video]), {})
        assert isinstance(staged, Staged)
        release = publish(bluesky, api, media=[video], staged=staged.data, key="video.1")
        assert stored(api, release)["embed"]["video"]["size"] == video.size_bytes

    def test_facets_mark_bytes(self, server: dict[str, Any], bluesky: Bluesky, api: Api) -> None:
        text = "Ünï 👩‍👧 @bob.test @nobody.test see example.org/a #owls."
        record = stored(api, publish(bluesky, api, text=text, key="facets.1"))
        marked = {}
        for facet in record["facets"]:
            (feature,) = facet["features"]
            piece = text.encode()[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode()
            marked[piece] = feature.get("did") or feature.get("uri") or feature.get("tag")
        assert marked == {
            "@bob.test": server["accounts"]["bob"]["did"],
            "example.org/a": "https://example.org/a",
            "#owls": "owls",
        }

    def test_a_thread_names_root_and_parent(self, bluesky: Bluesky, api: Api) -> None:
        root = publish(bluesky, api, text="One", key="root.1")
        second = bluesky.reply(api, a_post("Two", key="two.1"), to=ThreadPosition(root, root))
        third = bluesky.reply(api, a_post("Three", key="three.1"), to=ThreadPosition(root, second))
        reply = stored(api, third)["reply"]
        assert (reply["root"]["uri"], reply["parent"]["uri"]) == (root.id, second.id)

    def test_a_repeat_finds_what_the_first_try_made(self, bluesky: Bluesky, api: Api) -> None:
        first = publish(bluesky, api, key="twice.1")
        assert publish(bluesky, api, key="twice.1") == first

    def test_a_key_in_use_by_another_text_is_never_overwritten(
        self, bluesky: Bluesky, api: Api
    ) -> None:
        first = publish(bluesky, api, text="Mine", key="taken.1")
        with pytest.raises(ContentRejected):
            publish(bluesky, api, text="Not mine", key="taken.1")
        assert stored(api, first)["text"] == "Mine"

    def test_looks_up_what_is_there_and_nothing_else(self, bluesky: Bluesky, api: Api) -> None:
        release = publish(bluesky, api, key="found.1")
        now = api.now()
        assert [
            one.released for one in bluesky.look_up(api, a_post(key="found.1"), to=None, since=now)
        ] == [release]
        assert bluesky.look_up(api, a_post(key="never-sent.1"), to=None, since=now) == []

    def test_the_key_is_a_valid_record_key(self) -> None:
        assert len(record_key(a_post())) == 13

    def test_a_refusal_is_shown_in_the_server_s_words(self, bluesky: Bluesky, api: Api) -> None:
        with pytest.raises(ContentRejected, match="string too big") as refused:
            publish(bluesky, api, text="x" * 3_001, key="too-long.1")
        assert refused.value.evidence.status == 400
        assert "InvalidRequest" in refused.value.evidence.body

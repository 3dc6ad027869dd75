"""Does the sandbox behave as a Mastodon server does, forget nothing, and misbehave only when it is told to?"""

import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from PIL import Image

from local.sandbox import pictures, text
from local.sandbox.app import Sandbox, make_sandbox
from local.sandbox.faults import ConnectionDropped, Kind, Trait
from tests.fakes.in_process import InProcess

URL = "http://sandbox.test"
CALLBACK = "https://roost.test/integrations/social/mastodon-custom"
SCOPES = "profile read write:media write:statuses"
SPEC = Path(__file__).parents[3] / "shared/platform-specs/mastodon/openapi.json"

JSON = dict[str, Any]


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time_span: float) -> None:
        self.now += timedelta(**time_span)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def sandbox(tmp_path: Path, clock: SetClock) -> Iterator[Sandbox]:
    opened = make_sandbox(tmp_path, public_url=URL, clock=clock)
    yield opened
    opened.close()


def calling(sandbox: Sandbox) -> httpx.Client:
    return httpx.Client(base_url=URL, transport=InProcess(sandbox))


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with calling(sandbox) as opened:
        yield opened


@pytest.fixture
def ada(sandbox: Sandbox) -> dict[str, str]:
    """The headers of a request by ada."""
    return acting_as(sandbox, "ada")


def acting_as(sandbox: Sandbox, name: str, *, scopes: str = SCOPES) -> dict[str, str]:
    program = sandbox.ensure_client("Roost", redirect_uris=[CALLBACK], scopes=scopes.split())
    token = sandbox.issue_token(sandbox.ensure_account(name), program)
    return {"Authorization": f"Bearer {token}"}


def an_app(client: httpx.Client, **changes: object) -> JSON:
    fields = {"client_name": "Roost", "redirect_uris": [CALLBACK], "scopes": SCOPES, **changes}
    answer = client.post("/api/v1/apps", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def a_wish(app: JSON, **changes: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": app["client_id"],
        "redirect_uri": CALLBACK,
        "scope": SCOPES,
        "state": "s t&",
        **changes,
    }


def a_code(client: httpx.Client, app: JSON, **changes: str) -> str:
    answer = client.post(
        "/oauth/authorize", data=a_wish(app, decision="allow", account="ada", **changes)
    )
    assert answer.status_code == 302, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


def trade(client: httpx.Client, app: JSON, code: str, **changes: str) -> httpx.Response:
    fields = {
        "grant_type": "authorization_code",
        "client_id": app["client_id"],
        "client_secret": app["client_secret"],
        "redirect_uri": CALLBACK,
        "code": code,
        **changes,
    }
    return client.post("/oauth/token", data=fields)


def a_picture(kind: str = "PNG", size: tuple[int, int] = (80, 50)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (120, 80, 60)).save(out, kind)
    return out.getvalue()


def upload(
    client: httpx.Client, headers: dict[str, str], content: bytes | None = None, **fields: str
) -> httpx.Response:
    return client.post(
        "/api/v2/media", headers=headers, files={"file": ("a", content or a_picture())}, data=fields
    )


def a_status(client: httpx.Client, headers: dict[str, str], **fields: object) -> JSON:
    answer = client.post("/api/v1/statuses", headers=headers, json={"status": "Hello", **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def standing(client: httpx.Client) -> list[JSON]:
    return list(client.get("/_statuses").json()["statuses"])


class TestRegisterApp:
    def test_a_form_with_lines_of_addresses_registers(self, client: httpx.Client) -> None:
        answer = client.post(
            "/api/v1/apps",
            data={"client_name": "Roost", "redirect_uris": f"{CALLBACK}\nroost://back"},
        )
        assert answer.json()["redirect_uris"] == [CALLBACK, "roost://back"]
        assert answer.json()["scopes"] == ["read"]

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"client_name": " "}, "Validation failed: Application name can't be blank"),
            ({"redirect_uris": []}, "Validation failed: Redirect URI can't be blank"),
            (
                {"redirect_uris": ["/back"]},
                "Validation failed: Redirect URI must be an absolute URI.",
            ),
            (
                {"redirect_uris": ["javascript:alert(1)"]},
                "Validation failed: Redirect URI is forbidden by the server.",
            ),
            (
                {"scopes": "read everything"},
                "Validation failed: Scopes doesn't match configured on the server.",
            ),
        ],
    )
    def test_a_bad_field_is_named(
        self, client: httpx.Client, changes: dict[str, object], error: str
    ) -> None:
        answer = client.post(
            "/api/v1/apps", json={"client_name": "R", "redirect_uris": [CALLBACK], **changes}
        )
        assert (answer.status_code, answer.json()["error"]) == (422, error)

    def test_the_app_can_look_at_itself(self, client: httpx.Client) -> None:
        app = an_app(client)
        token = trade(client, app, "", grant_type="client_credentials").json()["access_token"]
        answer = client.get(
            "/api/v1/apps/verify_credentials", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.json()["name"] == "Roost"
        assert "client_secret" not in answer.json()


class TestAuthorize:
    def test_the_page_asks_who_and_keeps_the_request(
        self, client: httpx.Client, sandbox: Sandbox
    ) -> None:
        sandbox.ensure_account("grace")
        page = client.get("/oauth/authorize", params=a_wish(an_app(client, client_name="R<b>")))
        assert page.status_code == 200
        assert "R&lt;b&gt;</em> wants to post as" in page.text
        assert '<input type="radio" name="account" value="grace" checked>' in page.text
        assert 'name="state" value="s t&amp;"' in page.text
        assert 'name="new_account"' in page.text

    def test_a_program_approves_with_one_form(self, client: httpx.Client) -> None:
        answer = client.post(
            "/oauth/authorize", data=a_wish(an_app(client), decision="allow", account="Ada")
        )
        location = urlsplit(answer.headers["location"])
        assert f"{location.scheme}://{location.netloc}{location.path}" == CALLBACK
        assert parse_qs(location.query)["state"] == ["s t&"]
        assert client.get("/@ada").status_code == 200

    def test_the_name_of_a_new_account_wins_over_a_forgotten_choice(
        self, client: httpx.Client, sandbox: Sandbox
    ) -> None:
        client.post(
            "/oauth/authorize",
            data=a_wish(an_app(client), decision="allow", account="ada", new_account="zoe"),
        )
        assert client.get("/@zoe").status_code == 200
        assert client.get("/@ada").status_code == 404

    def test_a_name_that_cannot_be_is_asked_again(self, client: httpx.Client) -> None:
        page = client.post(
            "/oauth/authorize", data=a_wish(an_app(client), decision="allow", account="a b")
        )
        assert page.status_code == 422
        assert "A name has 1 to 30 letters" in page.text

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"decision": "deny"}, "access_denied"),
            ({"scope": "admin:read"}, "invalid_scope"),
            ({"response_type": "token"}, "unsupported_response_type"),
            (
                {"code_challenge": "x", "code_challenge_method": "plain"},
                "invalid_code_challenge_method",
            ),
        ],
    )
    def test_the_program_learns_why_not(
        self, client: httpx.Client, changes: dict[str, str], error: str
    ) -> None:
        wish = a_wish(an_app(client), **{"decision": "allow", "account": "ada", **changes})
        answer = client.post("/oauth/authorize", data=wish)
        told = parse_qs(urlsplit(answer.headers["location"]).query)
        assert told == {"error": [error], "state": ["s t&"]}

    @pytest.mark.parametrize(
        ("changes", "status"),
        [({"client_id": "unknown"}, 401), ({"redirect_uri": "https://evil.test/"}, 400)],
    )
    def test_nobody_is_sent_to_an_unknown_place(
        self, client: httpx.Client, changes: dict[str, str], status: int
    ) -> None:
        wish = a_wish(an_app(client), decision="allow", account="ada", **changes)
        answer = client.post("/oauth/authorize", data=wish)
        assert answer.status_code == status
        assert "location" not in answer.headers

    def test_another_sites_form_is_refused(self, client: httpx.Client) -> None:
        wish = a_wish(an_app(client), decision="allow", account="ada")
        answer = client.post("/oauth/authorize", data=wish, headers={"Origin": "https://evil.test"})
        assert answer.status_code == 403


class TestToken:
    def test_a_code_becomes_a_token_of_its_account(self, client: httpx.Client) -> None:
        app = an_app(client)
        answer = trade(client, app, a_code(client, app))
        assert answer.json()["scope"] == SCOPES
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        who = client.get("/api/v1/accounts/verify_credentials", headers=headers)
        assert who.json()["username"] == "ada"

    def test_a_code_is_good_once(self, client: httpx.Client) -> None:
        app = an_app(client)
        code = a_code(client, app)
        trade(client, app, code)
        again = trade(client, app, code)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")

    def test_a_code_is_good_for_ten_minutes(self, client: httpx.Client, clock: SetClock) -> None:
        app = an_app(client)
        code = a_code(client, app)
        clock.pass_by(minutes=10)
        assert trade(client, app, code).json()["error"] == "invalid_grant"

    def test_another_address_or_client_is_refused(self, client: httpx.Client) -> None:
        app, other = an_app(client), an_app(client)
        code = a_code(client, app)
        moved = trade(client, app, code, redirect_uri="https://elsewhere.test/")
        assert (moved.status_code, moved.json()["error"]) == (400, "invalid_grant")
        assert trade(client, other, code).json()["error"] == "invalid_grant"
        assert trade(client, app, code).status_code == 200

    def test_a_wrong_secret_is_refused(self, client: httpx.Client) -> None:
        app = an_app(client)
        answer = trade(client, app, a_code(client, app), client_secret="guess")
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    def test_the_client_may_say_who_it_is_in_a_header(self, client: httpx.Client) -> None:
        app = an_app(client)
        answer = client.post(
            "/oauth/token",
            auth=(app["client_id"], app["client_secret"]),
            json={"grant_type": "client_credentials"},
        )
        assert answer.json()["scope"] == "read"

    def test_the_verifier_must_belong_to_the_challenge(self, client: httpx.Client) -> None:
        app = an_app(client)
        digest = hashlib.sha256(b"verifier").digest()
        proof = {
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        code = a_code(client, app, **proof)
        assert trade(client, app, code).json()["error"] == "invalid_grant"
        assert trade(client, app, code, code_verifier="other").status_code == 400
        assert trade(client, app, code, code_verifier="verifier").status_code == 200

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"grant_type": ""}, "invalid_request"),
            ({"code": ""}, "invalid_request"),
            ({"grant_type": "client_credentials", "scope": "admin:read"}, "invalid_scope"),
        ],
    )
    def test_a_bad_request_is_named(
        self, client: httpx.Client, changes: dict[str, str], error: str
    ) -> None:
        answer = trade(client, an_app(client), **{"code": "x", **changes})
        assert (answer.status_code, answer.json()["error"]) == (400, error)

    def test_a_token_of_nobody_cannot_post(self, client: httpx.Client) -> None:
        app = an_app(client)
        answer = trade(
            client, app, "", grant_type="client_credentials", scope="read write:statuses"
        )
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        refused = client.post("/api/v1/statuses", headers=headers, json={"status": "x"})
        assert refused.status_code == 422
        assert refused.json() == {"error": "This method requires an authenticated user"}


class TestRevoke:
    def test_a_revoked_token_is_refused_with_its_own_words(
        self, client: httpx.Client, clock: SetClock
    ) -> None:
        app = an_app(client)
        token = trade(client, app, a_code(client, app)).json()["access_token"]
        keys = {name: app[name] for name in ("client_id", "client_secret")}
        assert client.post("/oauth/revoke", data={**keys, "token": token}).json() == {}
        who = client.get(
            "/api/v1/accounts/verify_credentials", headers={"Authorization": f"Bearer {token}"}
        )
        assert who.status_code == 401
        assert who.json() == {"error": "The access token was revoked"}

    def test_another_clients_token_is_not_its_to_revoke(self, client: httpx.Client) -> None:
        app, other = an_app(client), an_app(client)
        token = trade(client, app, a_code(client, app)).json()["access_token"]
        keys = {name: other[name] for name in ("client_id", "client_secret")}
        answer = client.post("/oauth/revoke", data={**keys, "token": token})
        assert (answer.status_code, answer.json()["error"]) == (403, "unauthorized_client")


class TestAuthorization:
    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer unknown"}])
    def test_no_token_and_an_unknown_one_are_the_same(
        self, client: httpx.Client, headers: dict[str, str]
    ) -> None:
        for answer in (
            client.get("/api/v1/accounts/verify_credentials", headers=headers),
            client.post("/api/v1/statuses", headers=headers, json={"status": "x"}),
            client.post("/api/v2/media", headers=headers, files={"file": a_picture()}),
        ):
            assert answer.status_code == 401
            assert answer.json() == {"error": "The access token is invalid"}

    def test_a_scope_that_was_not_granted(self, client: httpx.Client, sandbox: Sandbox) -> None:
        reader = acting_as(sandbox, "ada", scopes="read:accounts")
        assert client.get("/api/v1/accounts/verify_credentials", headers=reader).is_success
        answer = client.post("/api/v1/statuses", headers=reader, json={"status": "x"})
        assert answer.status_code == 403
        assert answer.json() == {"error": "This action is outside the authorized scopes"}


class TestMedia:
    def test_a_file_is_processed_before_it_has_an_address(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        answer = upload(client, ada, description="A brown field")
        file = answer.json()
        assert (answer.status_code, file["url"]) == (202, None)
        assert client.get(f"/api/v1/media/{file['id']}", headers=ada).status_code == 206
        assert client.get(urlsplit(file["preview_url"]).path).status_code == 200
        clock.pass_by(seconds=1)
        done = client.get(f"/api/v1/media/{file['id']}", headers=ada)
        assert done.status_code == 200
        assert done.json()["description"] == "A brown field"
        assert done.json()["meta"]["original"]["size"] == "80x50"
        assert client.get(urlsplit(done.json()["url"]).path).content == a_picture()

    def test_the_old_method_answers_when_it_is_done(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        answer = client.post("/api/v1/media", headers=ada, files={"file": a_picture()})
        assert answer.status_code == 200
        assert answer.json()["url"]

    def test_the_description_can_be_changed(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        path = f"/api/v1/media/{upload(client, ada, description='a').json()['id']}"
        assert client.put(path, headers=ada, json={"description": "b"}).json()["description"] == "b"
        kept = client.put(path, headers=ada, data={"focus": "-0.5,0.25"})
        assert kept.json()["description"] == "b"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
    def test_pictures_are_known_by_their_bytes(
        self, client: httpx.Client, ada: dict[str, str], kind: str
    ) -> None:
        assert upload(client, ada, a_picture(kind)).json()["type"] == "image"

    def test_a_film_is_a_video(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        film = b"\0\0\0\x18ftypmp42\0\0\0\0" + bytes(2000)
        file = upload(client, ada, film).json()
        clock.pass_by(seconds=1)
        done = client.get(f"/api/v1/media/{file['id']}", headers=ada).json()
        assert (done["type"], done["url"][-4:]) == ("video", ".mp4")
        part = client.get(urlsplit(done["url"]).path, headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")

    def test_what_is_no_picture_is_refused(self, client: httpx.Client, ada: dict[str, str]) -> None:
        answer = upload(client, ada, b"<svg></svg>")
        assert answer.status_code == 422
        assert answer.json() == {"error": "File type of uploaded media could not be verified"}

    def test_a_broken_picture_fails_while_it_is_processed(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        out = io.BytesIO()
        Image.effect_noise((300, 300), 80).save(out, "PNG")
        answer = upload(client, ada, out.getvalue()[:5000])
        assert answer.status_code == 202
        clock.pass_by(seconds=1)
        done = client.get(f"/api/v1/media/{answer.json()['id']}", headers=ada)
        assert done.status_code == 422
        assert done.json() == {"error": "Error processing thumbnail for uploaded media"}

    def test_a_picture_with_too_many_pixels_is_refused(
        self,
        client: httpx.Client,
        ada: dict[str, str],
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(pictures, "MAX_IMAGE_PIXELS", 80 * 50 - 1)
        answer = upload(client, ada)
        assert answer.json() == {"error": "80x50 images are not supported"}
        assert list(sandbox.network.media_directory.iterdir()) == []

    def test_a_file_that_is_too_large_is_refused(
        self, client: httpx.Client, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pictures, "MAX_IMAGE_BYTES", 100)
        assert upload(client, ada).status_code == 422

    def test_somebody_elses_file_is_not_there(
        self, client: httpx.Client, ada: dict[str, str], sandbox: Sandbox
    ) -> None:
        path = f"/api/v1/media/{upload(client, ada).json()['id']}"
        answer = client.get(path, headers=acting_as(sandbox, "grace"))
        assert (answer.status_code, answer.json()) == (404, {"error": "Record not found"})

    def test_a_posted_file_is_forgotten_here(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        media_id = upload(client, ada).json()["id"]
        clock.pass_by(seconds=1)
        a_status(client, ada, media_ids=[media_id])
        assert client.get(f"/api/v1/media/{media_id}", headers=ada).status_code == 404


class TestPostStatus:
    def test_json_and_form_post_the_same(self, client: httpx.Client, ada: dict[str, str]) -> None:
        first = a_status(client, ada, status="One", visibility="unlisted", sensitive=True)
        form = {
            "status": "Two",
            "in_reply_to_id": first["id"],
            "visibility": "unlisted",
            "sensitive": "true",
        }
        second = client.post("/api/v1/statuses", headers=ada, data=form).json()
        assert second["in_reply_to_id"] == first["id"]
        assert second["in_reply_to_account_id"] == first["account"]["id"]
        for status in (first, second):
            assert (status["visibility"], status["sensitive"]) == ("unlisted", True)
        assert first["url"] == f"{URL}/@ada/{first['id']}"
        assert client.get(urlsplit(first["url"]).path).status_code == 200

    def test_files_keep_the_order_they_were_asked_in(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        ids = [upload(client, ada).json()["id"] for _ in range(3)]
        clock.pass_by(seconds=1)
        wanted = [ids[2], ids[0], ids[1]]
        answer = client.post(
            "/api/v1/statuses", headers=ada, data={"status": "", "media_ids[]": wanted}
        )
        assert [file["id"] for file in answer.json()["media_attachments"]] == wanted

    def test_an_unfinished_file_is_refused_and_nothing_is_posted(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        media_id = upload(client, ada).json()["id"]
        answer = client.post(
            "/api/v1/statuses", headers=ada, json={"status": "x", "media_ids": [media_id]}
        )
        assert answer.status_code == 422
        assert answer.json() == {
            "error": "Cannot attach files that have not finished processing. Try again in a moment!"
        }
        assert standing(client) == []

    @pytest.mark.parametrize(
        ("fields", "status", "error"),
        [
            ({"status": "  "}, 422, "Validation failed: Text can't be blank"),
            ({}, 422, "Validation failed: Text can't be blank"),
            ({"status": None}, 422, "Validation failed: Text can't be blank"),
            (
                {"status": "x" * 501},
                422,
                "Validation failed: Text character limit of 500 exceeded",
            ),
            (
                {"status": "x", "media_ids": ["7"]},
                422,
                "Media 7 not found or already attached to another post",
            ),
            (
                {"status": "x", "media_ids": ["1", "2", "3", "4", "5"]},
                422,
                "Cannot attach more than 4 files",
            ),
            (
                {"status": "x", "in_reply_to_id": "7"},
                404,
                "The post you are trying to reply to does not appear to exist.",
            ),
            (
                {"status": "x", "visibility": "nobody"},
                422,
                "Validation failed: Visibility is not included in the list",
            ),
            (
                {"status": "x", "scheduled_at": "2027-01-01"},
                422,
                "Validation failed: scheduled_at is not supported by the sandbox",
            ),
        ],
    )
    def test_a_refusal_says_why(
        self,
        client: httpx.Client,
        ada: dict[str, str],
        fields: dict[str, object],
        status: int,
        error: str,
    ) -> None:
        answer = client.post("/api/v1/statuses", headers=ada, json=fields)
        assert (answer.status_code, answer.json()) == (status, {"error": error})
        assert standing(client) == []

    def test_a_film_must_be_alone(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        film = upload(client, ada, b"\0\0\0\x18ftypisom" + bytes(100)).json()["id"]
        picture = upload(client, ada).json()["id"]
        clock.pass_by(seconds=1)
        fields = {"status": "x", "media_ids": [film, picture]}
        answer = client.post("/api/v1/statuses", headers=ada, json=fields)
        assert answer.json() == {
            "error": "Cannot attach a video to a post that already contains images"
        }

    def test_a_body_that_is_no_json_is_refused(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        headers = {**ada, "Content-Type": "application/json"}
        assert client.post("/api/v1/statuses", headers=headers, content="{").status_code == 400
        assert client.post("/api/v1/statuses", headers=headers, content="[1]").status_code == 400
        half = client.post("/api/v1/statuses", headers=headers, content=r'{"status": "\ud800"}')
        assert half.status_code == 400
        deep = client.post("/api/v1/statuses", headers=headers, content="[" * 100_000)
        assert deep.status_code == 400


class TestIdempotencyKey:
    def test_the_same_key_returns_the_same_status(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        keyed = {**ada, "Idempotency-Key": "part-1"}
        first = a_status(client, keyed, status="One")
        clock.pass_by(minutes=59)
        again = a_status(client, keyed, status="Two")
        assert (again["id"], again["content"]) == (first["id"], "<p>One</p>")
        assert len(standing(client)) == 1

    def test_a_key_is_forgotten_after_an_hour(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        keyed = {**ada, "Idempotency-Key": "part-1"}
        first = a_status(client, keyed)
        clock.pass_by(hours=1)
        assert a_status(client, keyed)["id"] != first["id"]

    def test_accounts_do_not_share_keys(self, client: httpx.Client, sandbox: Sandbox) -> None:
        for name in ("ada", "grace"):
            a_status(client, {**acting_as(sandbox, name), "Idempotency-Key": "part-1"})
        assert [status["account"] for status in standing(client)] == ["ada", "grace"]

    def test_a_refused_status_leaves_no_key(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        keyed = {**ada, "Idempotency-Key": "part-1"}
        assert client.post("/api/v1/statuses", headers=keyed, json={}).status_code == 422
        assert a_status(client, keyed, status="Now")["content"] == "<p>Now</p>"

    def test_a_repeat_does_not_need_its_files_again(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        media_id = upload(client, ada).json()["id"]
        clock.pass_by(seconds=1)
        keyed = {**ada, "Idempotency-Key": "part-1"}
        first = a_status(client, keyed, media_ids=[media_id])
        assert a_status(client, keyed, media_ids=[media_id])["id"] == first["id"]

    def test_the_key_of_a_deleted_status_finds_nothing(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        keyed = {**ada, "Idempotency-Key": "part-1"}
        client.delete(f"/api/v1/statuses/{a_status(client, keyed)['id']}", headers=ada)
        assert (
            client.post("/api/v1/statuses", headers=keyed, json={"status": "x"}).status_code == 404
        )


class TestReadAndDeleteStatus:
    def test_deleting_returns_the_source_and_frees_the_answers(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        first = a_status(client, ada, status="Source & all")
        second = a_status(client, ada, in_reply_to_id=first["id"])
        gone = client.delete(f"/api/v1/statuses/{first['id']}", headers=ada).json()
        assert gone["text"] == "Source & all"
        assert client.get(f"/api/v1/statuses/{first['id']}").status_code == 404
        assert client.get(f"/@ada/{first['id']}").status_code == 404
        assert client.get(f"/api/v1/statuses/{second['id']}").json()["in_reply_to_id"] is None
        deleted = client.get("/_statuses?deleted=true").json()["statuses"]
        assert [bool(status["deleted_at"]) for status in deleted] == [True, False]

    def test_only_its_author_deletes_it(
        self, client: httpx.Client, ada: dict[str, str], sandbox: Sandbox
    ) -> None:
        path = f"/api/v1/statuses/{a_status(client, ada)['id']}"
        assert client.delete(path, headers=acting_as(sandbox, "grace")).status_code == 404
        assert client.get(path).status_code == 200

    def test_a_private_status_is_its_authors_only(
        self, client: httpx.Client, ada: dict[str, str], sandbox: Sandbox
    ) -> None:
        path = f"/api/v1/statuses/{a_status(client, ada, visibility='private')['id']}"
        assert client.get(path, headers=ada).status_code == 200
        assert client.get(path).status_code == 404
        assert client.get(path, headers=acting_as(sandbox, "grace")).status_code == 404

    def test_the_context_is_the_whole_thread(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        ids = [a_status(client, ada)["id"]]
        for _ in range(3):
            ids.append(a_status(client, ada, in_reply_to_id=ids[-1])["id"])
        context = client.get(f"/api/v1/statuses/{ids[1]}/context").json()
        assert [status["id"] for status in context["ancestors"]] == ids[:1]
        assert [status["id"] for status in context["descendants"]] == ids[2:]


class TestListAccountStatuses:
    def test_pages_go_both_ways(self, client: httpx.Client, ada: dict[str, str]) -> None:
        ids = [a_status(client, ada, status=str(n))["id"] for n in range(6)]
        account = client.get("/api/v1/accounts/lookup?acct=ada").json()["id"]
        path = f"/api/v1/accounts/{account}/statuses"

        def listed(**query: object) -> list[int]:
            found = client.get(path, params={name: str(value) for name, value in query.items()})
            return [ids.index(status["id"]) for status in found.json()]

        assert listed() == [5, 4, 3, 2, 1, 0]
        assert listed(limit=2) == [5, 4]
        assert listed(limit=2, max_id=ids[4]) == [3, 2]
        assert listed(since_id=ids[3]) == [5, 4]
        assert listed(min_id=ids[1], limit=2) == [3, 2]
        link = client.get(path, params={"limit": 2}).headers["Link"]
        assert f'<{URL}{path}?limit=2&max_id={ids[4]}>; rel="next"' in link

    def test_filters(
        self, client: httpx.Client, ada: dict[str, str], sandbox: Sandbox, clock: SetClock
    ) -> None:
        grace = acting_as(sandbox, "grace")
        start = a_status(client, ada)
        thread = a_status(client, ada, in_reply_to_id=start["id"])
        reply = a_status(client, ada, in_reply_to_id=a_status(client, grace)["id"])
        private = a_status(client, ada, visibility="private")
        media_id = upload(client, ada).json()["id"]
        clock.pass_by(seconds=1)
        picture = a_status(client, ada, media_ids=[media_id])
        path = f"/api/v1/accounts/{start['account']['id']}/statuses"

        def listed(headers: dict[str, str] | None = None, **query: str) -> set[str]:
            found = client.get(path, headers=headers, params=query)
            return {status["id"] for status in found.json()}

        everything = {status["id"] for status in (start, thread, reply, private, picture)}
        assert listed(ada) == everything
        assert listed() == everything - {private["id"]}
        assert listed(ada, exclude_replies="true") == everything - {reply["id"]}
        assert listed(only_media="true") == {picture["id"]}


class TestSearch:
    def test_accounts_are_found_by_part_of_their_name(
        self, client: httpx.Client, ada: dict[str, str], sandbox: Sandbox
    ) -> None:
        sandbox.ensure_account("grace_hopper")
        found = client.get("/api/v2/search?q=@hopp&type=accounts", headers=ada).json()
        assert [account["username"] for account in found["accounts"]] == ["grace_hopper"]
        assert client.get("/api/v2/search?q=hopp").status_code == 401
        typed = client.get("/api/v1/accounts/search/?q=grace&limit=1", headers=ada).json()
        assert [account["username"] for account in typed] == ["grace_hopper"]


class TestText:
    @pytest.mark.parametrize(
        ("written", "counted"),
        [
            ("abc", 3),
            ("👩‍👩‍👧‍👦é", 2),
            ("see https://example.com/" + "x" * 300 + ".", 4 + 23 + 1),
            ("http://a.io and https://b.io", 23 + 5 + 23),
            ("hi @ada@far.example.org!", 8),
        ],
    )
    def test_length_is_mastodons(self, written: str, counted: int) -> None:
        assert text.length(written) == counted

    def test_html_escapes_and_links(self) -> None:
        html = text.to_html(
            "<b> & @ada @nobody #Käse\nnext\n\nhttps://x.io/?a=1&b", public_url=URL, names={"ada"}
        )
        assert html.startswith("<p>&lt;b&gt; &amp; <a href=")
        assert f'href="{URL}/@ada"' in html
        assert "@nobody <a" in html
        assert f'href="{URL}/tags/käse"' in html
        assert "<br />next</p><p><a " in html
        assert 'href="https://x.io/?a=1&amp;b"' in html


class TestTraits:
    """Findings 1.1 to 4.3: the sandbox can be a server that is not the reference server."""

    def become(self, client: httpx.Client, trait: str) -> None:
        answer = client.post("/_faults", json={"trait": trait})
        assert (answer.status_code, answer.json()) == (201, {"faults": [], "traits": [trait]})

    def test_keeps_no_keys_and_says_so(self, client: httpx.Client, ada: dict[str, str]) -> None:
        self.become(client, "no_keys")
        for _ in range(2):
            client.post(
                "/api/v1/statuses", headers=ada | {"Idempotency-Key": "k"}, json={"status": "x"}
            )
        assert len(standing(client)) == 2
        assert client.get("/api/v2/instance").json()["version"].startswith("0.20.0+git-")

    def test_knows_no_fine_scopes(self, client: httpx.Client) -> None:
        self.become(client, "coarse_scopes")
        app = {"client_name": "x", "redirect_uris": CALLBACK}
        assert client.post("/api/v1/apps", json=app | {"scopes": "read:accounts"}).is_error
        assert client.post("/api/v1/apps", json=app | {"scopes": "read write"}).is_success

    def test_has_other_addresses(self, client: httpx.Client, ada: dict[str, str]) -> None:
        self.become(client, "odd_addresses")
        status = a_status(client, ada)
        assert status["url"].endswith(f"/@ada/statuses/{status['id']}")
        assert client.get(urlsplit(status["url"]).path).is_success

    def test_has_the_first_document_only(self, client: httpx.Client) -> None:
        self.become(client, "v1_only")
        assert client.get("/api/v2/instance").status_code == 404
        document = client.get("/api/v1/instance").json()
        assert document["max_toot_chars"] == 500
        assert "configuration" not in document

    def test_packs_every_answer(self, client: httpx.Client, ada: dict[str, str]) -> None:
        self.become(client, "compressed")
        answer = client.get("/api/v1/accounts/verify_credentials", headers=ada)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.json()["username"] == "ada"

    def test_never_answers_what_it_carries_out(self, sandbox: Sandbox) -> None:
        faults = sandbox.network.faults
        faults.become(Trait.SLOW)
        fault = faults.take(Kind.STATUSES, "ada")
        assert fault is not None
        assert fault.action.carries_out
        assert faults.take(Kind.READ, "ada") is None
        faults.clear()
        assert faults.take(Kind.STATUSES, "ada") is None

    def test_an_unknown_trait_is_refused(self, client: httpx.Client) -> None:
        assert client.post("/_faults", json={"trait": "kind"}).status_code == 422


class TestFaults:
    @pytest.mark.parametrize(
        ("action", "status", "error"),
        [
            ("500", 500, "Internal Server Error"),
            ("503", 503, "There was a temporary problem serving your request, please try again"),
            ("429", 429, "Too many requests"),
            ("401", 401, "The access token is invalid"),
        ],
    )
    def test_an_answer_instead_of_the_deed_as_often_as_asked(
        self, client: httpx.Client, ada: dict[str, str], action: str, status: int, error: str
    ) -> None:
        fault = {"kind": "statuses", "action": action, "count": 2, "retry_after": 7}
        assert client.post("/_faults", json=fault).status_code == 201
        assert client.get("/api/v1/accounts/verify_credentials", headers=ada).is_success
        for _ in range(2):
            answer = client.post("/api/v1/statuses", headers=ada, json={"status": "x"})
            assert (answer.status_code, answer.json()["error"]) == (status, error)
            assert answer.headers.get("Retry-After") == ("7" if action in ("429", "503") else None)
        assert standing(client) == []
        a_status(client, ada)

    def test_invalid_grant(self, client: httpx.Client) -> None:
        client.post("/_faults", json={"kind": "token", "action": "invalid_grant"})
        app = an_app(client)
        code = a_code(client, app)
        refused = trade(client, app, code)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        assert trade(client, app, code).status_code == 200

    def test_one_account_only(
        self, client: httpx.Client, ada: dict[str, str], sandbox: Sandbox
    ) -> None:
        grace = acting_as(sandbox, "grace")
        client.post("/_faults", json={"kind": "any", "action": "500", "account": "grace"})
        a_status(client, ada)
        for expected in (500, 200):
            answer = client.post("/api/v1/statuses", headers=grace, json={"status": "x"})
            assert answer.status_code == expected

    def test_one_account_only_when_its_code_is_traded(self, client: httpx.Client) -> None:
        client.post("/_faults", json={"kind": "token", "action": "503", "account": "grace"})
        client.post("/_faults", json={"kind": "token", "action": "500", "account": "ada"})
        app = an_app(client)
        assert trade(client, app, a_code(client, app)).status_code == 500

    @pytest.mark.parametrize("action", ["drop_after_accept", "500_after_accept"])
    def test_the_deed_without_its_answer(
        self, client: httpx.Client, ada: dict[str, str], action: str
    ) -> None:
        client.post("/_faults", json={"kind": "statuses", "action": action})
        keyed = {**ada, "Idempotency-Key": "part-1"}
        if action == "drop_after_accept":
            with pytest.raises(ConnectionDropped):
                client.post("/api/v1/statuses", headers=keyed, json={"status": "x"})
        else:
            answer = client.post("/api/v1/statuses", headers=keyed, json={"status": "x"})
            assert answer.status_code == 500
        assert len(standing(client)) == 1
        assert a_status(client, keyed)["id"] == standing(client)[0]["id"]
        assert len(standing(client)) == 1

    def test_they_are_listed_in_order_and_cleared(self, client: httpx.Client) -> None:
        for kind in ("media", "processing"):
            client.post("/_faults", json={"kind": kind, "action": "timeout", "seconds": 1})
        listed = client.get("/_faults").json()["faults"]
        assert [(fault["kind"], fault["remaining"]) for fault in listed] == [
            ("media", 1),
            ("processing", 1),
        ]
        client.delete("/_faults")
        assert client.get("/_faults").json() == {"faults": []}

    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "statuses"},
            {"kind": "weather", "action": "500"},
            {"kind": "any", "action": "418"},
            {"kind": "any", "action": "500", "count": 0},
            {"kind": "any", "action": "500", "cuont": 1},
        ],
    )
    def test_a_misspelt_fault_is_refused(self, client: httpx.Client, fault: JSON) -> None:
        assert client.post("/_faults", json=fault).status_code == 422
        assert client.get("/_faults").json() == {"faults": []}


class TestLog:
    def test_requests_are_counted_in_order_with_what_they_got(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        client.get("/@ada")
        client.post("/_faults", json={"kind": "statuses", "action": "drop_before"})
        with pytest.raises(ConnectionDropped):
            client.post("/api/v1/statuses", headers=ada, json={"status": "x"})
        a_status(client, {**ada, "Idempotency-Key": "part-1"})
        client.get("/api/v1/nothing")
        client.post("/api/v1/statuses", headers={"Content-Type": "application/json"}, content="{")
        log = client.get("/_log").json()["requests"]
        assert [(entry["method"], entry["path"], entry["status"]) for entry in log] == [
            ("POST", "/api/v1/statuses", None),
            ("POST", "/api/v1/statuses", 200),
            ("GET", "/api/v1/nothing", 404),
            ("POST", "/api/v1/statuses", 400),
        ]
        assert log[0]["fault"] == "drop_before"
        assert log[1] == {
            "time": "2026-11-22T09:00:00.000Z",
            "method": "POST",
            "path": "/api/v1/statuses",
            "account": "ada",
            "idempotency_key": "part-1",
            "fault": None,
            "status": 200,
        }


class TestPages:
    def test_an_account_shows_its_threads_newest_first(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        media_id = upload(client, ada, description='A "field" <1>').json()["id"]
        clock.pass_by(seconds=1)
        start = a_status(client, ada, status="Start <script>", media_ids=[media_id])
        other = a_status(client, ada, status="Another")
        reply = a_status(client, ada, status="Second part", in_reply_to_id=start["id"])
        page = client.get("/@ada").text
        assert 'class="content" dir="auto"' in page  # Hebrew begins at the right
        order = [page.index(f'id="status-{status["id"]}"') for status in (other, start, reply)]
        assert order == sorted(order)
        assert page.count('class="thread"') == 2
        assert "<script>" not in page.replace("<script src=", "")
        assert 'alt="A &quot;field&quot; &lt;1&gt;"' in page
        assert f'src="/media/{media_id}.png"' in page
        assert '<time datetime="2026-11-22T09:00:01.000Z">2026-11-22 09:00:01 UTC</time>' in page

    def test_a_status_is_shown_within_its_thread_even_when_it_is_private(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        start = a_status(client, ada, status="Start")
        second = a_status(
            client, ada, status="Second", in_reply_to_id=start["id"], visibility="private"
        )
        page = client.get(urlsplit(second["url"]).path).text
        assert "Start" in page
        assert "followers only" in page
        assert f'class="post focused" id="status-{second["id"]}"' in page
        assert client.get(f"/@grace/{second['id']}").status_code == 404

    def test_home_lists_accounts_and_posts(self, client: httpx.Client, ada: dict[str, str]) -> None:
        a_status(client, ada, status="Good #morning")
        page = client.get("/")
        assert "@ada" in page.text
        assert "#morning" in page.text
        assert "Good" in client.get("/tags/morning").text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]

    def test_nothing_on_a_page_comes_from_elsewhere(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        a_status(client, ada)
        page = client.get("/@ada").text
        sources = [piece.partition('"')[0] for piece in page.split('src="')[1:]]
        sources += [piece.partition('"')[0] for piece in page.split('href="')[1:]]
        assert all(source.startswith("/") for source in sources)
        for source in sources:
            assert client.get(source).status_code == 200, source

    @pytest.mark.parametrize(
        "path",
        [
            "/@nobody",
            "/nothing",
            "/@ada/x",
            "/@ada/99999999999999999999",
            "/media/..%2Fsandbox.sqlite3",
            "/media/x.png",
            "/assets/x",
        ],
    )
    def test_what_is_not_there(self, client: httpx.Client, path: str) -> None:
        answer = client.get(path)
        assert answer.status_code == 404
        assert "Nothing here" in answer.text


class TestEnsure:
    def test_a_second_start_finds_everything(self, tmp_path: Path) -> None:
        first = make_sandbox(tmp_path, public_url=URL)
        ada = first.ensure_account("ada")
        program = first.ensure_client("Roost", redirect_uris=[CALLBACK])
        token = first.issue_token(ada, program)
        first.close()
        second = make_sandbox(tmp_path, public_url=URL)
        assert second.ensure_account("ada") == ada
        assert second.ensure_client("Roost", redirect_uris=[CALLBACK]) == program
        moved = second.ensure_client("Roost", redirect_uris=[f"{CALLBACK}/moved"])
        assert moved.client_id != program.client_id
        with calling(second) as client:
            a_status(client, {"Authorization": f"Bearer {token}"})
        second.close()

    def test_ids_grow_though_the_clock_stands(self, sandbox: Sandbox) -> None:
        ids = [sandbox.network.database.new_id() for _ in range(100)]
        assert ids == sorted(set(ids))


@dataclass
class Running:
    """A sandbox in a process of its own."""

    url: str
    process: "subprocess.Popen[str]"

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)


@contextmanager
def running(home: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "local.sandbox", "--home", str(home), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        assert process.stdout is not None
        yield Running(process.stdout.readline().split()[1], process)
    finally:
        process.kill()
        process.wait(timeout=10)
        assert process.stdout is not None
        process.stdout.close()


def a_token(client: httpx.Client, name: str) -> dict[str, str]:
    """Connect as a program does, without a browser."""
    app = client.post(
        "/api/v1/apps",
        json={"client_name": "R", "redirect_uris": [CALLBACK], "scopes": SCOPES},
    ).json()
    back = client.post(
        "/oauth/authorize", data=a_wish(app, decision="allow", account=name)
    ).headers["location"]
    fields = {
        "grant_type": "authorization_code",
        "client_id": app["client_id"],
        "client_secret": app["client_secret"],
        "redirect_uri": CALLBACK,
        "code": parse_qs(urlsplit(back).query)["code"][0],
    }
    token = client.post("/oauth/token", data=fields).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


class TestRealServer:
    def test_what_was_answered_survives_kill_9(self, tmp_path: Path) -> None:
        with running(tmp_path) as first, httpx.Client(base_url=first.url) as client:
            ada = a_token(client, "ada")
            media = client.post("/api/v1/media", headers=ada, files={"file": a_picture()}).json()
            keyed = {**ada, "Idempotency-Key": "part-1"}
            posted = client.post(
                "/api/v1/statuses",
                headers=keyed,
                json={"status": "Last words", "media_ids": [media["id"]]},
            ).json()
            first.kill()
        with running(tmp_path) as second, httpx.Client(base_url=second.url) as client:
            again = client.post("/api/v1/statuses", headers=keyed, json={"status": "x"}).json()
            assert again["id"] == posted["id"]
            assert again["content"] == "<p>Last words</p>"
            file = again["media_attachments"][0]
            assert client.get(file["url"]).content == a_picture()
            log = client.get("/_log").json()["requests"]
            assert [entry["path"] for entry in log].count("/api/v1/statuses") == 2

    def test_connections_close_answers_wait_and_one_key_makes_one_status(
        self, tmp_path: Path
    ) -> None:
        with running(tmp_path) as server, httpx.Client(base_url=server.url) as client:
            ada = a_token(client, "ada")

            client.post("/_faults", json={"kind": "statuses", "action": "drop_before"})
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                client.post("/api/v1/statuses", headers=ada, json={"status": "never"})
            assert standing(client) == []

            client.post("/_faults", json={"kind": "statuses", "action": "drop_after_accept"})
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                client.post("/api/v1/statuses", headers=ada, json={"status": "dropped"})
            assert [status["text"] for status in standing(client)] == ["dropped"]

            client.post("/_faults", json={"kind": "statuses", "action": "timeout", "seconds": 60})
            with pytest.raises(httpx.ReadTimeout):
                client.post("/api/v1/statuses", headers=ada, json={"status": "late"}, timeout=0.3)
            assert [status["text"] for status in standing(client)] == ["dropped", "late"]

            client.post("/_faults", json={"kind": "statuses", "action": "timeout", "seconds": 0.4})
            began = time.monotonic()
            held = client.post("/api/v1/statuses", headers=ada, json={"status": "held"})
            assert held.status_code == 200
            assert time.monotonic() - began >= 0.4

            assert len(at_once(server.url, {**ada, "Idempotency-Key": "part-1"})) == 1
            assert len(standing(client)) == 4


def at_once(url: str, headers: dict[str, str]) -> set[str]:
    """Post the same eight times at the same moment; the ids that came back."""
    gate = threading.Barrier(8)

    def post(_: int) -> str:
        with httpx.Client(base_url=url, headers=headers) as client:
            client.get("/_faults")
            gate.wait()
            return str(client.post("/api/v1/statuses", json={"status": "once"}).json()["id"])

    with ThreadPoolExecutor(8) as pool:
        return set(pool.map(post, range(8)))


@cache
def published_spec() -> OpenAPI:
    return OpenAPI.from_dict(json.loads(SPEC.read_text()))


def check(answer: httpx.Response, path: str, *, body: object = None) -> None:
    """Hold an answer against Mastodon's published description; `path` is the description's."""
    request = MockRequest(
        "https://mastodon.example",
        answer.request.method.lower(),
        path,
        path_pattern=path,
    )
    data = answer.content if body is None else json.dumps(body).encode()
    published_spec().validate_response(
        request, MockResponse(data, answer.status_code, content_type="application/json")
    )


@pytest.mark.skipif(not SPEC.exists(), reason="Mastodon's published description is not here")
class TestPublishedDescription:
    def test_answers_are_what_mastodon_publishes(
        self, client: httpx.Client, ada: dict[str, str], clock: SetClock
    ) -> None:
        check(
            client.post(
                "/api/v1/apps",
                json={"client_name": "R", "redirect_uris": [CALLBACK], "scopes": SCOPES},
            ),
            "/api/v1/apps",
        )
        app = an_app(client)
        check(trade(client, app, a_code(client, app)), "/oauth/token")
        check(trade(client, app, "unknown"), "/oauth/token")
        check(trade(client, app, "x", client_secret="wrong"), "/oauth/token")
        for path in ("/api/v1/instance", "/api/v2/instance"):
            check(client.get(path), path)
        metadata = "/.well-known/oauth-authorization-server"
        check(client.get(metadata), metadata)
        who = "/api/v1/accounts/verify_credentials"
        check(client.get(who, headers=ada), who)
        check(client.get(who), who)

        uploaded = upload(client, ada, description="d", focus="0.1,-0.2")
        check(uploaded, "/api/v2/media")
        check(upload(client, ada, b"no picture"), "/api/v2/media")
        clock.pass_by(seconds=1)
        media_id = uploaded.json()["id"]
        check(client.get(f"/api/v1/media/{media_id}", headers=ada), "/api/v1/media/{id}")
        check(
            client.put(f"/api/v1/media/{media_id}", headers=ada, json={"description": "e"}),
            "/api/v1/media/{id}",
        )
        check(client.get("/api/v1/media/1", headers=ada), "/api/v1/media/{id}")

        posted = client.post(
            "/api/v1/statuses",
            headers=ada,
            json={"status": "@ada #tag https://example.com", "media_ids": [media_id]},
        )
        check(posted, "/api/v1/statuses")
        check(client.post("/api/v1/statuses", headers=ada, json={}), "/api/v1/statuses")
        status_id, account_id = posted.json()["id"], posted.json()["account"]["id"]
        a_status(client, ada, in_reply_to_id=status_id)
        check(client.get(f"/api/v1/statuses/{status_id}"), "/api/v1/statuses/{id}")
        check(client.get(f"/api/v1/statuses/{status_id}/context"), "/api/v1/statuses/{id}/context")
        check(client.get(f"/api/v1/accounts/{account_id}"), "/api/v1/accounts/{id}")
        check(
            client.get(f"/api/v1/accounts/{account_id}/statuses"), "/api/v1/accounts/{id}/statuses"
        )
        check(client.get("/api/v2/search?q=ada", headers=ada), "/api/v2/search")
        searched = client.get("/api/v1/accounts/search?q=ada", headers=ada)
        check(searched, "/api/v1/accounts/search")
        check(client.get("/api/v1/accounts/lookup?acct=ada"), "/api/v1/accounts/lookup")

        # The description demands `content`; servers, as recorded beside it, send `text` in its place.
        deleted = client.delete(f"/api/v1/statuses/{status_id}", headers=ada)
        assert "content" not in deleted.json()
        check(deleted, "/api/v1/statuses/{id}", body={**deleted.json(), "content": ""})

    def test_faults_answer_as_mastodon_publishes(
        self, client: httpx.Client, ada: dict[str, str]
    ) -> None:
        for action in ("503", "429", "401"):
            client.post("/_faults", json={"kind": "statuses", "action": action})
            answer = client.post("/api/v1/statuses", headers=ada, json={"status": "x"})
            check(answer, "/api/v1/statuses")

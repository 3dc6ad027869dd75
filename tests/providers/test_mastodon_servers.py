"""Servers that speak Mastodon's API and are not Mastodon: which they are, what they promise, and what they take."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx

from shared.core import clock
from shared.providers import rules
from shared.providers.base import DraftPart, MediaInfo
from shared.providers.families.mastodon_api import instance
from shared.providers.families.mastodon_api.software import (
    KEEPS_KEYS,
    Software,
    promise_of,
    software_of,
)
from shared.providers.platforms.mastodon import Mastodon, MastodonCustom
from shared.providers.spec import Idempotency, IdempotencyForm
from shared.providers.variants import needed_variant
from tests.providers.builders import NOON, a_post, an_access, an_api

HOST = "https://mastodon.social"
LIMITS = {"statuses": {"max_characters": 5000, "characters_reserved_per_url": 23}}


def kept(document: Mapping[str, Any]) -> dict[str, Any]:
    return instance.kept(document, read_at=NOON)


def with_media(**limits: Any) -> dict[str, Any]:
    document = {"version": "4.5.0", "configuration": {**LIMITS, "media_attachments": limits}}
    return kept(document)


def codes(account: Mapping[str, Any], *media: MediaInfo, text: str = "x") -> list[str]:
    found = rules.check(Mastodon(), [DraftPart(text, media)], {}, account=account)
    return [one.code for one in found]


class TestSoftware:
    @pytest.mark.parametrize(
        ("document", "name"),
        [
            ({"version": "4.5.0"}, "mastodon"),
            ({"version": "4.3.0-nightly.2024-04-18"}, "mastodon"),
            ({"version": "4.7.0-alpha.2+pr-39999-68e5caf"}, "mastodon"),
            ({"version": "3.5.3rc1"}, "mastodon"),
            ({"version": "4.3.0+glitch"}, "mastodon"),
            ({"version": "4.0.2+hometown-1.1.1"}, "mastodon"),
            ({"version": "2.7.2 (compatible; Pleroma 2.5)"}, "pleroma"),
            ({"version": "4.2.0 (compatible; Pixelfed 0.12)"}, "pixelfed"),
            ({"version": "3.0.0 (compatible; Sharkey 2024.11.2; like Akkoma)"}, "sharkey"),
            ({"version": "2.8.0 (compatible; Friendica 2024.12)"}, "friendica"),
            ({"version": "0.20.0+git-1a2b3c4"}, ""),
            (
                {
                    "version": "0.20.0+git-1a2b3c4",
                    "source_url": "https://codeberg.org/superseriousbusiness/gotosocial",
                },
                "gotosocial",
            ),
            ({"version": "takahe/0.11.0"}, "takahe"),
            (
                {"version": "4.2.0", "software": {"name": "Iceshrimp.NET", "version": "2"}},
                "iceshrimp.net",
            ),
            ({"version": "4.2.0", "pleroma": {"metadata": {}}}, "pleroma"),
            ({"version": "4.2.0+mine"}, ""),
            ({"version": "2024.5.0"}, ""),
            ({"version": "4.2.0 (something)"}, ""),
            ({"version": None}, ""),
            ({"version": ["4.2.0"]}, ""),
            ({}, ""),
        ],
    )
    def test_is_named_and_mastodon_only_by_its_version(
        self, document: Mapping[str, Any], name: str
    ) -> None:
        """Finding 1.1: every server was taken for Mastodon, and believed to keep keys."""
        assert software_of(document).name == name

    def test_what_is_kept_is_short(self) -> None:
        long = software_of({"version": f"4.2.0 (compatible; {'x' * 900} {'y' * 900})"})
        assert max(len(long.name), len(long.version)) <= 100


class TestPromise:
    @pytest.mark.parametrize(
        ("software", "keeps"),
        [
            (Software("mastodon", "4.5.0"), True),
            (Software("mastodon", "4.3.0+glitch"), True),
            (Software("mastodon", "2.3.0"), True),
            (Software("mastodon", "2.2.9"), False),
            (Software("mastodon", ""), False),
            (Software("pleroma", "2.7.2"), False),
            (Software("pixelfed", "0.12"), False),
            (Software("gotosocial", "0.20.0"), False),
            (Software("", "4.5.0"), False),
        ],
    )
    def test_is_made_by_software_that_is_listed(self, software: Software, keeps: bool) -> None:
        """Finding 1.1: a promise holds for the software that makes it."""
        expected = IdempotencyForm.HEADER if keeps else IdempotencyForm.NONE
        assert promise_of(software).form is expected

    def test_names_its_source(self) -> None:
        """Finding 1.2: a claim names where it is written and when that was read."""
        assert all("https://" in one.source and "read 20" in one.source for one in KEEPS_KEYS)

    def test_lapses_when_the_server_was_not_asked_for_a_day(self) -> None:
        account = kept({"version": "4.5.0"})
        fresh = MastodonCustom().promise(account, at=NOON + timedelta(hours=24))
        assert (fresh.form, fresh.lifetime) == (IdempotencyForm.HEADER, timedelta(hours=1))
        late = NOON + timedelta(hours=24, seconds=1)
        assert MastodonCustom().promise(account, at=late) == Idempotency()
        assert MastodonCustom().promise({"maxCharacters": 500}, at=NOON) == Idempotency()


class TestReadServer:
    """What is asked of a server, and what is kept of its answers."""

    def read(
        self, platform: respx.MockRouter, *, v2: httpx.Response, v1: httpx.Response | None = None
    ) -> Mapping[str, Any]:
        platform.get(f"{HOST}/api/v2/instance").mock(v2)
        platform.get(f"{HOST}/.well-known/nodeinfo").respond(404)
        if v1 is not None:
            platform.get(f"{HOST}/api/v1/instance").mock(v1)
        return Mastodon().read_server(an_api(Mastodon())) or {}

    def test_the_first_version_is_read_where_there_is_no_second(
        self, platform: respx.MockRouter
    ) -> None:
        """Finding 4.1: `max_toot_chars: 5000` in v1 was taken for 500."""
        v1 = httpx.Response(
            200, json={"version": "2.7.2 (compatible; Pleroma 2.5)", "max_toot_chars": 5000}
        )
        account = self.read(platform, v2=httpx.Response(404), v1=v1)
        assert Mastodon().text_rules(account).max_length == 5000
        assert account["software"] == "pleroma"

    @pytest.mark.parametrize("configuration", [None, {}, {"statuses": None}, [], {"statuses": []}])
    def test_a_second_version_without_limits_is_filled_from_the_first(
        self, platform: respx.MockRouter, configuration: Any
    ) -> None:
        """Finding 4.1: `configuration: null` was an AttributeError."""
        v2 = httpx.Response(200, json={"version": "4.5.0", "configuration": configuration})
        v1 = httpx.Response(200, json={"version": "4.4.0", "max_toot_chars": 700})
        account = self.read(platform, v2=v2, v1=v1)
        assert Mastodon().text_rules(account).max_length == 700
        assert account["softwareVersion"] == "4.5.0"

    @pytest.mark.parametrize("longest", [0, -1, True, "5000", 5000.5, None])
    def test_a_limit_that_is_no_positive_number_is_not_said(
        self, platform: respx.MockRouter, longest: Any
    ) -> None:
        """Finding 4.1: `max_characters: 0` refused every text with "at most 0"."""
        document = {"version": "4.5.0", "configuration": {"statuses": {"max_characters": longest}}}
        answer = httpx.Response(200, json=document)
        account = self.read(platform, v2=answer, v1=answer)
        assert Mastodon().text_rules(account).max_length == 500

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(404),
            httpx.Response(502, text="<html>"),
            httpx.Response(200, text="<html>"),
            httpx.Response(200, json=[]),
            httpx.Response(301, headers={"location": "/elsewhere"}),
            httpx.ReadTimeout("silence"),
        ],
    )
    def test_a_server_that_does_not_answer_properly_stays_unknown(
        self, platform: respx.MockRouter, answer: httpx.Response | httpx.HTTPError
    ) -> None:
        platform.get(f"{HOST}/api/v2/instance").mock(side_effect=[answer])
        platform.get(f"{HOST}/api/v1/instance").mock(side_effect=[answer])
        assert Mastodon().read_server(an_api(Mastodon())) is None

    def test_what_is_kept_is_bounded_and_known_as_read_now(
        self, platform: respx.MockRouter
    ) -> None:
        types = [f"x/{number}{'y' * 500}" for number in range(5_000)]
        media = {"supported_mime_types": types}
        document = {
            "version": "4.5.0" * 900,
            "configuration": {**LIMITS, "media_attachments": media},
        }
        account = self.read(platform, v2=httpx.Response(200, json=document))
        assert len(json.dumps(account)) < 20_000
        assert Mastodon().knows_server(account, at=clock.now())


class TestLinks:
    LINK = "x" * 476 + " https://example.org/" + "y" * 100

    def test_count_in_full_where_the_software_is_not_mastodon(self) -> None:
        """Finding 4.2e: a text that was too long there was accepted, and refused when it was due."""
        statuses = {"statuses": {"max_characters": 500, "characters_reserved_per_url": 25}}
        elsewhere = kept({"version": "0.20.0+git-1a2b3c4", "configuration": statuses})
        assert codes(elsewhere, text=self.LINK) == ["too_long"]
        mastodon = kept(
            {"version": "4.5.0", "configuration": {"statuses": {"max_characters": 500}}}
        )
        assert codes(mastodon, text=self.LINK) == []

    def test_count_23_on_a_channel_whose_server_was_never_asked(self) -> None:
        assert codes({"maxCharacters": 500}, text=self.LINK) == []


class TestPlainText:
    @pytest.mark.parametrize(
        ("document", "sent"),
        [
            ({"version": "4.5.0"}, None),
            (
                {
                    "version": "0.20.0+git-1a2b3c4",
                    "configuration": {
                        "statuses": {"supported_mime_types": ["text/plain", "text/markdown"]}
                    },
                },
                "text/plain",
            ),
            (
                {
                    "version": "2.7.2 (compatible; Pleroma 2.5)",
                    "pleroma": {"metadata": {"post_formats": ["text/plain", "text/bbcode"]}},
                },
                "text/plain",
            ),
            ({"version": "4.5.0", "pleroma": {"metadata": None}}, None),
        ],
    )
    def test_is_named_where_the_server_knows_forms_of_text(
        self, platform: respx.MockRouter, document: Mapping[str, Any], sent: str | None
    ) -> None:
        """Finding 4.2e: a member's default of Markdown made markup of plain text."""
        route = platform.post(f"{HOST}/api/v1/statuses").respond(json={"id": "1"})
        api = an_api(Mastodon(), access=an_access(settings=kept(document)))
        Mastodon().publish(api, a_post("*owls*"))
        assert json.loads(route.calls.last.request.content).get("content_type") == sent


class TestMedia:
    PICTURE = MediaInfo("image/jpeg", 9_000_000, 4_000, 3_000)
    VIDEO = MediaInfo("video/mp4", 50_000_000, 1_920, 1_080, 10_000)

    @pytest.mark.parametrize(
        "limits",
        [
            {"video_size_limit": 0},
            {"supported_mime_types": ["image/jpeg", "image/png", "image/webp"]},
        ],
    )
    def test_a_server_without_videos_refuses_them_while_composing(
        self, limits: Mapping[str, Any]
    ) -> None:
        """Finding 4.2d: composing accepted, and the post failed after five tries without the cause."""
        assert codes(with_media(**limits), self.VIDEO) == ["too_many_media"]
        assert codes(with_media(**limits), self.PICTURE) == []

    @pytest.mark.parametrize(
        ("limits", "media", "code"),
        [
            ({"video_size_limit": 40_000_000}, VIDEO, "too_large"),
            ({"video_matrix_limit": 2_073_599}, VIDEO, "too_many_pixels"),
            (
                {"image_size_limit": 900},
                MediaInfo("image/gif", 1_000, 9, 9, moves=True),
                "moving_picture",
            ),
            (
                {"description_limit": 3},
                MediaInfo("image/png", 1, 1, 1, alt="owls"),
                "alt_too_long",
            ),
        ],
    )
    def test_its_smaller_limits_hold(
        self, limits: Mapping[str, Any], media: MediaInfo, code: str
    ) -> None:
        """Finding 4.2d: only our own table was looked at."""
        assert codes(with_media(**limits), media) == [code]
        assert codes(with_media(), media) == []

    def test_its_number_of_files_holds(self) -> None:
        statuses = {"statuses": {"max_characters": 500, "max_media_attachments": 6}}
        account = kept({"version": "0.20.0", "configuration": statuses})
        assert codes(account, *[self.PICTURE] * 6) == []
        assert codes(account, *[self.PICTURE] * 7) == ["too_many_media"]

    @pytest.mark.parametrize(
        ("limits", "name"),
        [
            ({"image_size_limit": 8_000_000}, "4000x3000-8000000.jpg"),
            ({"image_matrix_limit": 3_000_000}, "2000x1500-16777216.jpg"),
            ({"supported_mime_types": ["image/png", "video/mp4"]}, "4000x3000-16777216.png"),
        ],
    )
    def test_a_smaller_copy_of_a_picture_is_made_for_it(
        self, limits: Mapping[str, Any], name: str
    ) -> None:
        """Finding 4.2d: a picture over a server's own limits was refused, though a copy would fit."""
        account = with_media(**limits)
        assert codes(account, self.PICTURE) == []
        plan = needed_variant(self.PICTURE, Mastodon().media_rules(account, {}).images)
        assert plan is not None
        assert plan.name == name

    def test_limits_of_nothing_say_nothing(self) -> None:
        account = with_media(
            image_size_limit=0,
            image_matrix_limit=None,
            supported_mime_types="all",
            description_limit=0,
        )
        assert codes(account, self.PICTURE) == []
        assert codes(account, self.VIDEO) == []

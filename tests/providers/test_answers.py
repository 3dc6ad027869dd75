"""Does an answer that a hostile server made up end in the error that says what to do next?"""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx

from shared.providers.answers import MAX_ANSWER_DEPTH, is_readable, read_json
from shared.providers.errors import (
    ContentRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
)
from shared.providers.http import reason_in
from shared.providers.oauth import seconds
from shared.providers.platforms.mastodon import Mastodon
from tests.providers.builders import an_api

URL = "https://mastodon.social/api/v1/statuses"
DEEP = b'{"error":' * 5_000 + b"1" + b"}" * 5_000
TOKEN_URL = "https://mastodon.social/oauth/token"


class TestDepth:
    @pytest.mark.parametrize(
        ("status", "error"),
        [(200, OutcomeUnknown), (422, ContentRejected), (400, ContentRejected)],
    )
    def test_a_deep_refusal_stays_a_refusal(
        self, platform: respx.MockRouter, status: int, error: type[ProviderError]
    ) -> None:
        """A deep 422 was taken for a doubt, and the post was sent four times."""
        platform.post(URL).respond(status, content=DEEP)
        api = an_api(Mastodon())
        with pytest.raises(error):
            api.read(api.request("POST", "/api/v1/statuses", irrevocable=True), "id")
        assert api.sent is (error is OutcomeUnknown)

    def test_a_deep_list_is_unreadable(self, platform: respx.MockRouter) -> None:
        platform.get(URL).respond(content=b"[" * 5_000 + b"]" * 5_000)
        api = an_api(Mastodon())
        with pytest.raises(PlatformUnavailable):
            api.read_list(api.request("GET", "/api/v1/statuses"))

    def test_the_limit_itself_is_read(self) -> None:
        at_limit = b"[" * MAX_ANSWER_DEPTH + b"]" * MAX_ANSWER_DEPTH
        assert read_json(httpx.Response(200, content=at_limit))
        with pytest.raises(ValueError, match="nested"):
            read_json(httpx.Response(200, content=b"[" + at_limit + b"]"))

    def test_a_deep_answer_has_few_words(self) -> None:
        assert len(reason_in(httpx.Response(422, content=DEEP))) <= 304


class TestTexts:
    def test_half_of_a_surrogate_pair_is_replaced(self) -> None:
        read = read_json(
            httpx.Response(200, content=b'{"a":["x\\ud800"],"\\udfff":"\xed\xa0\x80"}')
        )
        assert read["a"] == ["x\ufffd"]
        assert "\ufffd" in read
        repr(read).encode()

    def test_a_whole_pair_is_kept(self) -> None:
        assert read_json(httpx.Response(200, content=b'"\\ud83d\\ude00"')) == "\U0001f600"


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("id", "109", True),
            ("id", 109, True),
            ("id", ["x"], False),
            ("id", True, False),
            ("id", float("nan"), False),
            ("id", 1.5, False),
            ("id", "", False),
            ("id", "a\ud800", False),
            ("access_token", "abc.DEF-1~+/=", True),
            ("access_token", {"a": 1}, False),
            ("access_token", "ü\ufffd", False),
            ("access_token", "a\r\nb", False),
            ("access_token", 12, False),
            ("username", {"a": 1}, False),
            ("blob", {"a": 1}, True),
            ("blob", {}, False),
        ],
    )
    def test_of_a_required_field(self, name: str, value: Any, expected: bool) -> None:
        """An id that was a list became `['x']@host`."""
        assert is_readable(name, value) is expected

    @pytest.mark.parametrize("odd", [["x"], True, {"a": 1}, 1.5])
    def test_an_account_without_a_usable_id_is_refused(
        self, platform: respx.MockRouter, odd: Any
    ) -> None:
        platform.get("https://mastodon.social/api/v1/accounts/verify_credentials").respond(
            json={"id": odd, "username": "ada"}
        )
        with pytest.raises(PlatformUnavailable):
            Mastodon().account(an_api(Mastodon()))

    @pytest.mark.parametrize(
        "changes",
        [{"access_token": {"a": 1}}, {"access_token": "ü\ud800"}, {"refresh_token": ["x"]}],
    )
    def test_a_token_that_no_header_holds_is_refused(
        self, platform: respx.MockRouter, changes: dict[str, Any]
    ) -> None:
        """It was stored, and the next request failed while its header was encoded."""
        content = json.dumps({"access_token": "a", **changes})
        platform.post(TOKEN_URL).respond(content=content)
        with pytest.raises(PlatformUnavailable):
            Mastodon().ask_for_tokens(an_api(Mastodon()), {})

    @pytest.mark.parametrize("found", [[{}], [{"acct": 1}], [{"acct": None}, {}]])
    def test_a_found_account_without_a_handle_is_left_out(
        self, platform: respx.MockRouter, found: list[dict[str, Any]]
    ) -> None:
        """`[{}]` was an error nobody expected."""
        platform.get("https://mastodon.social/api/v1/accounts/search").respond(
            json=[*found, {"acct": "ada"}]
        )
        [mention] = Mastodon().find_mentions(an_api(Mastodon()), "a")
        assert mention.id == "ada"


class TestLifetime:
    @pytest.mark.parametrize("value", [10**30, str(10**30), 10**4_000, 10**11])
    def test_a_far_end_is_a_date(self, value: Any) -> None:
        """`expires_in: 10**30` could not be added to a date."""
        assert seconds(value) == timedelta(days=3_650)

    @pytest.mark.parametrize("value", [None, 0, "0", True, "²", "-5", 1.5, [], {}])
    def test_what_is_no_number_of_seconds_is_none(self, value: Any) -> None:
        assert seconds(value) is None

    def test_a_usual_one(self) -> None:
        assert seconds("3600") == seconds(3600) == timedelta(hours=1)

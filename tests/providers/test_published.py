"""Whether the platforms' published descriptions can be used to judge a request; skipped, saying so, where they are absent."""

import httpx
import pytest

from tests.providers.published import judge, judge_lexicon, needs_descriptions


@needs_descriptions
class TestJudge:
    def test_a_right_request_passes(self) -> None:
        judge(_status({"status": "hello", "visibility": "public"}), "mastodon/openapi.json")

    @pytest.mark.parametrize("body", [{"status": "hello", "visibility": "nobody"}, {"status": 7}])
    def test_a_wrong_one_is_refused(self, body: dict[str, object]) -> None:
        with pytest.raises(AssertionError):
            judge(_status(body), "mastodon/openapi.json")

    def test_a_wrong_record_is_refused(self) -> None:
        record = {
            "$type": "app.bsky.feed.post",
            "text": "hello",
            "createdAt": "2026-11-22T00:00:00Z",
        }
        judge_lexicon(record, "app.bsky.feed.post")
        with pytest.raises(AssertionError):
            judge_lexicon(record | {"text": 7}, "app.bsky.feed.post")


def _status(body: dict[str, object]) -> httpx.Request:
    return httpx.Request("POST", "https://mastodon.example/api/v1/statuses", json=body)

"""Whether the platforms' published descriptions can be used to judge a request; skipped, saying so, where they are absent."""

import json
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.providers import not_judged, published
from tests.providers.published import (
    ABSENT,
    NOT_DESCRIBED,
    judge,
    judge_lexicon,
    needs_descriptions,
)


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


class TestCounts:
    """What is not judged is counted with its reason; nothing passes in silence."""

    @pytest.fixture
    def counts(self, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        monkeypatch.setattr(not_judged, "counts", Counter())
        return not_judged.counts

    def test_every_call_is_counted_where_there_are_no_descriptions(
        self, counts: Counter[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(published, "FOLDER", tmp_path / "absent")
        judge(_status({"status": 7}), "mastodon/openapi.json")
        judge(_status({"status": 7}), "mastodon/openapi.json")
        judge_lexicon({}, "app.bsky.feed.post")
        assert not_judged.summary(counts) == [
            f"2 not judged, mastodon/openapi.json: {ABSENT}",
            f"1 not judged, app.bsky.feed.post: {ABSENT}",
        ]

    @needs_descriptions
    def test_what_is_judged_is_not_counted(self, counts: Counter[str]) -> None:
        judge(_status({"status": "hello", "visibility": "public"}), "mastodon/openapi.json")
        assert not counts

    def test_a_body_that_is_not_described_is_counted(
        self, counts: Counter[str], tmp_path: Path
    ) -> None:
        operation = {"responses": {"200": {"description": "done"}}}
        document = {
            "openapi": "3.0.0",
            "info": {"title": "a", "version": "1"},
            "paths": {"/api/v1/statuses": {"post": operation}},
        }
        description = tmp_path / "openapi.json"
        description.write_text(json.dumps(document))
        judge(_status({"status": 7}), description)
        assert list(counts) == [f"body of POST /api/v1/statuses: {NOT_DESCRIBED}"]


def _status(body: dict[str, object]) -> httpx.Request:
    return httpx.Request("POST", "https://mastodon.example/api/v1/statuses", json=body)

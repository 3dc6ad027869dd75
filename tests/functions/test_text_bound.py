"""How long a composed text may be on each wire, and whether one is empty, judged before its markup is read."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from functions.public_api.app import app
from shared.channels.models import Channel
from shared.organizations.models import Member
from shared.posts.schemas import SURELY_SHORT
from shared.providers.registry import longest_text, provider, specs
from tests.gateway import Gateway, by_key

pytestmark = pytest.mark.usefixtures("queues")

BLANK = ["\u200b", "<p>\u2800</p>", "\u3164", "<p>&#8203;&nbsp;</p>"]


def own(channel: Channel, content: str, kind: str = "draft") -> dict[str, Any]:
    part = {"content": content}
    return {"type": kind, "posts": [{"integration": {"id": str(channel.id)}, "value": [part]}]}


def public(channel: Channel, content: str) -> dict[str, Any]:
    more = {"date": "2030-01-01T10:00:00.000Z", "shortLink": False, "tags": []}
    return own(channel, content) | more


class TestBound:
    """Finding 2.3: a bound on text of 20 times the longest platform's, judged before anything reads it."""

    def test_it_follows_the_tables(self) -> None:
        longest = max(rules.max_length for spec in specs() for rules in [spec.text])
        modes = [one.text.max_length for spec in specs() for one in spec.text_modes]
        assert longest_text() == 20 * max(longest, *modes)
        assert longest_text() > SURELY_SHORT

    def test_an_article_is_one_of_the_modes(self) -> None:
        x = provider("x")
        article = {"post_type": "article"}
        assert x.part_rules({}, article, position=0).max_length == x.spec.longest_text == 100_000
        assert x.part_rules({}, article, position=1).max_length == 280
        assert x.part_rules({}, {}, position=0).max_length == 280

    @pytest.fixture(autouse=True)
    def _smaller(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the bound smaller where requests are judged: bodies of two megabytes would be slow to send."""
        monkeypatch.setattr("shared.posts.schemas.longest_text", lambda: 20_000)
        monkeypatch.setattr("shared.core.text.forms.markup.write", _must_not_be_read)

    def test_on_our_own_wire(self, channel: Channel, caller: Gateway) -> None:
        answer = caller.post("/posts", own(channel, "x" * 20_001))
        [problem] = answer.json["errors"]
        assert (answer.status, problem["code"]) == (422, "too_long")
        assert problem["path"] == "posts.0.value.0.content"
        assert problem["message"] == "This must have at most 20,000 characters."
        answer = caller.post("/posts/valid", own(channel, "x" * 20_001, "schedule"))
        assert answer.status == 422

    def test_on_the_public_one(self, session: Session, member: Member, channel: Channel) -> None:
        program = by_key(app, session, member)
        answer = program.post("/public/v1/posts", public(channel, "x" * 20_001))
        assert answer.status == 400
        assert "20,000 characters" in answer.text


def _must_not_be_read(*_: object, **__: object) -> str:
    raise AssertionError("the text was read before its length was judged")


class TestEmpty:
    @pytest.mark.parametrize("content", BLANK)
    def test_on_our_own_wire(self, channel: Channel, caller: Gateway, content: str) -> None:
        """A text of zero-width or blank characters alone counted as one."""
        body = {**own(channel, content, "schedule"), "date": "2026-12-24T10:00:00Z"}
        [post] = caller.post("/posts/valid", body).json["posts"]
        assert post["emptyContent"]

    @pytest.mark.parametrize("content", BLANK)
    def test_on_the_public_one(
        self, session: Session, member: Member, channel: Channel, content: str
    ) -> None:
        program = by_key(app, session, member)
        answer = program.post("/public/v1/posts", public(channel, content))
        assert answer.status == 400
        assert "This part is empty. Write some text or add a file." in answer.text

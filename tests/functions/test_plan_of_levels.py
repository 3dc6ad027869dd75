"""Channels, webhooks and files under a plan: what is more than it includes is refused, with the plan that would do.

Seats are in `test_invitations.py`; many requests at once in `tests/shared/billing/test_levels_at_once.py`.
"""

from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.automation.app import app as automation
from functions.channels.app import app as channels
from functions.media.app import app as media
from functions.public_api.app import app as public
from shared.organizations.models import Member, Organization
from tests.builders import a_channel, a_media
from tests.conftest import Configure
from tests.functions.test_webhooks import webhooks_queue
from tests.gateway import Answer, Gateway, as_member, by_key
from tests.shared.media.storage import make_storage

__all__ = ["webhooks_queue"]  # a fixture
GIGABYTE = 10**9


@pytest.fixture(autouse=True)
def _standard(
    session: Session, organization: Organization, webhooks_queue: str, configure: Configure
) -> None:
    """STANDARD includes 5 channels, 2 webhooks and 5 GB."""
    make_storage(configure, BILLING="on")
    organization.plan = "standard"
    session.flush()


def refusal(answer: Answer) -> dict[str, Any]:
    assert answer.status == 402, answer.text
    names = ("section", "action", "limit", "used", "plan", "neededPlan")
    return {name: answer.json[name] for name in names}


class TestChannels:
    FULL: ClassVar[dict[str, Any]] = {
        "section": "channels", "action": "create", "limit": 5, "used": 5, "plan": "STANDARD",
        "neededPlan": "TEAM",
    }  # fmt: skip

    @pytest.fixture
    def caller(self, session: Session, organization: Organization, member: Member) -> Gateway:
        for _ in range(4):
            a_channel(session, organization)
        return as_member(channels, session, member)

    def test_one_more_is_not_even_started(
        self, session: Session, organization: Organization, member: Member, caller: Gateway
    ) -> None:
        assert caller.get("/integrations/social/bluesky").status == 200
        channel = a_channel(session, organization)
        answer = caller.get("/integrations/social/bluesky")
        assert refusal(answer) == self.FULL
        assert answer.json["url"].endswith("/billing")
        fields = {"code": "{}", "timezone": "UTC"}
        assert refusal(caller.post("/integrations/social/bluesky/connect", fields)) == self.FULL
        program = by_key(public, session, member)
        assert program.get("/public/v1/social/x").status == 402
        # To connect one again adds none.
        again = caller.get("/integrations/social/mastodon", query={"refresh": str(channel.id)})
        assert again.status != 402, again.text

    def test_enabling_one_takes_a_place(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        one, other = (a_channel(session, organization, disabled=True) for _ in range(2))
        assert caller.post("/integrations/enable", {"id": str(one.id)}).status == 200
        answer = caller.post("/integrations/enable", {"id": str(other.id)})
        assert refusal(answer) == self.FULL
        # Again, it raises nothing.
        assert caller.post("/integrations/enable", {"id": str(one.id)}).status == 200
        assert caller.post("/integrations/disable", {"id": str(one.id)}).status == 200
        assert caller.post("/integrations/enable", {"id": str(other.id)}).status == 200

    def test_what_the_plan_disabled_is_listed_as_disabled(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        a_channel(session, organization, name="off", disabled=True, disabled_by="plan")
        listed = caller.get("/integrations/list").json["integrations"]
        assert [one["name"] for one in listed if one["disabled"]] == ["off"]


class TestWebhooks:
    def test_the_third_is_refused(self, session: Session, member: Member) -> None:
        caller = as_member(automation, session, member)

        def add(name: str) -> Answer:
            body = {"name": name, "url": "https://hooks.example.org/roost", "integrations": []}
            return caller.post("/webhooks", body)

        made = [add("one"), add("two")]
        assert [one.status for one in made] == [201, 201]
        assert refusal(add("three")) == {
            "section": "webhooks", "action": "create", "limit": 2, "used": 2,
            "plan": "STANDARD", "neededPlan": "TEAM",
        }  # fmt: skip
        assert caller.delete(f"/webhooks/{made[0].json['id']}").status == 200
        assert add("three").status == 201


class TestStorage:
    @pytest.fixture
    def caller(self, session: Session, member: Member) -> Gateway:
        return as_member(media, session, member)

    def test_a_file_that_does_not_fit_is_refused(
        self, session: Session, organization: Organization, caller: Gateway
    ) -> None:
        a_media(session, organization, size_bytes=4 * GIGABYTE)
        assert caller.get("/media/storage").json == {"used": 4 * GIGABYTE, "limit": 5 * GIGABYTE}
        answer = caller.post("/media", {"name": "a.mp4", "size": 2 * GIGABYTE})
        assert refusal(answer) == {
            "section": "storage", "action": "create", "limit": 5 * GIGABYTE,
            "used": 4 * GIGABYTE, "plan": "STANDARD", "neededPlan": "TEAM",
        }  # fmt: skip
        assert "stores 4.00 GB of its 5.00 GB" in answer.json["detail"]
        assert "choose the plan TEAM" in answer.json["detail"]
        assert caller.post("/media", {"name": "a.mp4", "size": GIGABYTE}).status == 201

    def test_the_smaller_of_the_plan_and_the_server_counts(
        self, organization: Organization, caller: Gateway, configure: Configure
    ) -> None:
        configure(MEDIA_QUOTA_BYTES=GIGABYTE)
        answer = caller.post("/media", {"name": "a.mp4", "size": 2 * GIGABYTE})
        assert (answer.status, answer.json["code"]) == (402, "storage_full")
        assert "section" not in answer.json
        assert caller.get("/media/storage").json["limit"] == GIGABYTE
        configure(MEDIA_QUOTA_BYTES=50 * GIGABYTE)
        assert caller.get("/media/storage").json["limit"] == 5 * GIGABYTE

    def test_where_plans_do_not_bind_nothing_is_refused(
        self, session: Session, organization: Organization, caller: Gateway, configure: Configure
    ) -> None:
        configure(BILLING="off", MEDIA_QUOTA_BYTES=0)
        session.execute(text("update organizations set plan = 'free'"))
        assert caller.post("/media", {"name": "a.mp4", "size": 2 * GIGABYTE}).status == 201
        assert caller.get("/media/storage").json["limit"] is None

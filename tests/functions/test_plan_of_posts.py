"""Posts under a plan: every way of queueing one is counted once, and the count is given back while the post is not sent."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from functions.mcp.app import app as mcp
from functions.public_api.app import app as public
from shared.billing.models import Usage
from shared.channels.models import Channel
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_channel, a_post
from tests.conftest import Configure
from tests.counting import count_statements
from tests.functions.test_posts import body, entry, soon
from tests.gateway import Answer, Gateway, by_key

pytestmark = pytest.mark.usefixtures("queues")


@pytest.fixture
def organization(organization: Organization, session: Session) -> Organization:
    """An organization on the plan STANDARD, which includes 400 posts a month."""
    organization.plan = "standard"
    session.flush()
    return organization


@pytest.fixture(autouse=True)
def _billing(configure: Configure, queues: None) -> None:
    configure(BILLING="on")


def use(session: Session, organization: Organization, used: int) -> None:
    """Say how many posts the organization has used in this month."""
    session.execute(delete(Usage))
    month = organization.created_at.astimezone(UTC).date()
    session.add(
        Usage(
            organization_id=organization.id,
            section="posts_per_month",
            period_start=month,
            used=used,
        )
    )
    session.flush()


def used(session: Session) -> int:
    session.expire_all()
    return sum(session.scalars(select(Usage.used)))


def counted(session: Session) -> list[date | None]:
    session.expire_all()
    roots = select(Post).where(Post.position == 0).order_by(Post.created_at, Post.id)
    return [post.counted_period for post in session.scalars(roots)]


Way = Callable[[Gateway, Post], Answer]


def draft_of(session: Session, channel: Channel, **more: Any) -> Post:
    return a_post(session, channel, state=PostState.DRAFT, **more)


def edit(caller: Gateway, post: Post) -> Answer:
    return caller.put(f"/posts/{post.id}", {"type": "schedule", "date": soon()})


def replace(caller: Gateway, post: Post) -> Answer:
    one: dict[str, Any] = {
        "integration": {"id": str(post.channel_id)},
        "value": [{"id": str(post.id), "content": "New", "image": []}],
    }
    return caller.post("/posts", body(one))


def queue(caller: Gateway, post: Post) -> Answer:
    return caller.put(f"/posts/{post.id}/status", {"status": "schedule"})


def copy(caller: Gateway, post: Post) -> Answer:
    return caller.post(f"/posts/{post.id}/duplicate", {"date": soon()})


def queue_in_public(caller: Gateway, post: Post) -> Answer:
    return caller.put(f"/public/v1/posts/{post.id}/status", {"status": "schedule"})


def edit_in_public(caller: Gateway, post: Post) -> Answer:
    change = {"type": "schedule", "date": soon()}
    return caller.put(f"/public/v1/posts/{post.id}", change)


def resend(caller: Gateway, post: Post) -> Answer:
    return caller.post(f"/posts/{post.id}/resend", {})


def move(caller: Gateway, post: Post) -> Answer:
    return caller.put(f"/posts/{post.id}/date", {"date": soon(), "action": "schedule"})


OF_DRAFTS: dict[str, Way] = {"edit": edit, "replace": replace, "queue": queue, "copy": copy}
IN_PUBLIC: dict[str, Way] = {"queue": queue_in_public, "edit": edit_in_public}
OF_FAILED: dict[str, Way] = {
    "resend": resend, "move": move, "edit": edit, "replace": replace, "queue": queue
}  # fmt: skip


class TestCount:
    def test_each_post_counts_once_whatever_its_length(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        other = a_channel(session, organization)
        answer = caller.post("/posts", body(entry(channel, "1", "2", "3"), entry(other, "1")))
        assert answer.status == 201
        assert used(session) == 2
        month = organization.created_at.astimezone(UTC).date()
        assert counted(session) == [month, month]
        parts = select(Post.counted_period).where(Post.position > 0)
        assert set(session.scalars(parts)) == {None}

    def test_drafts_do_not_count(self, session: Session, channel: Channel, caller: Gateway) -> None:
        assert caller.post("/posts", body(entry(channel), type="draft")).status == 201
        assert (used(session), counted(session)) == (0, [None])

    @pytest.mark.parametrize("way", OF_DRAFTS.values(), ids=OF_DRAFTS)
    def test_every_way_of_queueing_a_draft_counts(
        self, session: Session, channel: Channel, caller: Gateway, way: Way
    ) -> None:
        answer = way(caller, draft_of(session, channel))
        assert answer.status in {200, 201}, answer.text
        assert used(session) == 1

    @pytest.mark.parametrize("way", IN_PUBLIC.values(), ids=IN_PUBLIC)
    def test_so_does_every_way_of_the_public_api(
        self, session: Session, channel: Channel, member: Member, way: Way
    ) -> None:
        answer = way(by_key(public, session, member), draft_of(session, channel))
        assert answer.status == 200, answer.text
        assert used(session) == 1

    def test_and_composing_there_and_by_tool(
        self, session: Session, channel: Channel, member: Member
    ) -> None:
        program = by_key(public, session, member)
        one = {"type": "schedule", "date": soon(), "shortLink": False, "tags": []}
        assert program.post("/public/v1/posts", one | {"posts": [entry(channel)]}).status == 201
        assert used(session) == 1
        call = {
            "name": "integrationSchedulePostTool",
            "arguments": {
                "socialPost": [
                    {
                        "integrationId": str(channel.id), "isPremium": False, "date": soon(),
                        "shortLink": False, "type": "schedule", "settings": [],
                        "postsAndComments": [{"content": "Hello", "attachments": []}],
                    }
                ]
            },
        }  # fmt: skip
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        answer = by_key(mcp, session, member).post("/mcp", request)
        assert answer.status == 200, answer.text
        assert used(session) == 2, answer.text

    @pytest.mark.parametrize("way", OF_FAILED.values(), ids=OF_FAILED)
    def test_a_failed_post_is_counted_if_it_was_not(
        self, session: Session, channel: Channel, caller: Gateway, way: Way
    ) -> None:
        post = a_post(session, channel, state=PostState.FAILED, publish_at=later())
        assert way(caller, post).status in {200, 201}
        assert used(session) == 1

    @pytest.mark.parametrize("way", OF_FAILED.values(), ids=OF_FAILED)
    def test_and_not_a_second_time(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        caller: Gateway,
        way: Way,
    ) -> None:
        use(session, organization, 400)
        month = organization.created_at.astimezone(UTC).date()
        post = a_post(
            session,
            channel,
            state=PostState.FAILED,
            publish_at=later(),
            counted_period=month,
        )
        assert way(caller, post).status in {200, 201}
        assert (used(session), counted(session)) == (400, [month])

    def test_moving_or_editing_a_queued_post_counts_nothing(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = caller.post("/posts", body(entry(channel))).json
        path = f"/posts/{created['postId']}"
        assert caller.put(f"{path}/date", {"date": soon(9)}).status == 200
        assert caller.put(path, {"value": [{"content": "A", "image": []}]}).status == 200
        assert used(session) == 1

    def test_a_post_counts_in_the_month_in_which_it_is_queued(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        organization.created_at = datetime.now(UTC) - timedelta(days=45)
        session.flush()
        assert caller.post("/posts", body(entry(channel))).status == 201
        [period] = counted(session)
        assert period is not None
        assert period.day == organization.created_at.day or period.day >= 28
        assert period > organization.created_at.date()


def later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


class TestGiveBack:
    @pytest.mark.parametrize("state", [PostState.QUEUED, PostState.FAILED])
    def test_a_deleted_post_gives_its_count_back_to_its_month(
        self, session: Session, channel: Channel, caller: Gateway, state: PostState
    ) -> None:
        post = counted_post(session, channel, state)
        assert caller.delete(f"/posts/{post.id}").status == 200
        assert (used(session), counted(session)) == (4, [None])

    def test_an_unconfirmed_one_may_be_out_and_keeps_it(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        post = counted_post(session, channel, PostState.UNCONFIRMED)
        assert caller.delete(f"/posts/{post.id}").status == 200
        assert (used(session), counted(session)) == (5, [OLD])

    @pytest.mark.parametrize("state", [PostState.QUEUED, PostState.FAILED])
    def test_so_does_one_that_becomes_a_draft(
        self, session: Session, channel: Channel, caller: Gateway, state: PostState
    ) -> None:
        post = counted_post(session, channel, state, publish_at=later())
        assert caller.put(f"/posts/{post.id}/status", {"status": "draft"}).status == 200
        assert (used(session), counted(session)) == (4, [None])

    def test_a_group_and_a_channel_give_back_all_of_theirs(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        first = counted_post(session, channel, PostState.QUEUED)
        a_post(session, a_channel(session, organization), group_id=first.group_id)
        period = first.counted_period
        a_post(
            session,
            a_channel(session, organization),
            group_id=first.group_id,
            counted_period=period,
        )
        assert caller.delete(f"/posts/group/{first.group_id}").status == 200
        assert used(session) == 3

    def test_count_and_return_alternate(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = caller.post("/posts", body(entry(channel), date=soon(60))).json
        path = f"/posts/{created['postId']}"
        for status, expected in [("draft", 0), ("draft", 0), ("schedule", 1), ("schedule", 1)] * 2:
            assert caller.put(f"{path}/status", {"status": status}).status == 200
            assert used(session) == expected
        assert caller.delete(path).status == 200
        assert caller.delete(path).status == 404
        assert used(session) == 0

    def test_it_never_falls_below_zero(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        post = counted_post(session, channel, PostState.QUEUED)
        session.execute(text("update usage set used = 0"))
        assert caller.delete(f"/posts/{post.id}").status == 200
        assert used(session) == 0

    def test_it_is_given_back_where_plans_no_longer_bind(
        self, session: Session, channel: Channel, caller: Gateway, configure: Configure
    ) -> None:
        post = counted_post(session, channel, PostState.QUEUED)
        configure(BILLING="off")
        assert caller.delete(f"/posts/{post.id}").status == 200
        assert used(session) == 4


OLD = date(2026, 1, 15)


def counted_post(session: Session, channel: Channel, state: PostState, **more: Any) -> Post:
    """Add a post that is counted in an older month, of which five are used."""
    session.add(
        Usage(
            organization_id=channel.organization_id,
            section="posts_per_month",
            period_start=OLD,
            used=5,
        )
    )
    return a_post(session, channel, state=state, counted_period=OLD, **more)


class TestRefusal:
    @pytest.mark.parametrize("way", OF_DRAFTS.values(), ids=OF_DRAFTS)
    def test_every_way_is_refused_when_all_are_used(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        caller: Gateway,
        way: Way,
    ) -> None:
        use(session, organization, 400)
        answer = way(caller, draft_of(session, channel))
        assert answer.status == 402, answer.text
        assert (used(session), counted(session)) == (400, [None])

    @pytest.mark.parametrize("way", OF_FAILED.values(), ids=OF_FAILED)
    def test_so_is_every_way_of_a_failed_one(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        caller: Gateway,
        way: Way,
    ) -> None:
        use(session, organization, 400)
        post = a_post(session, channel, state=PostState.FAILED, publish_at=later())
        assert way(caller, post).status == 402
        assert used(session) == 400

    def test_the_problem_says_what_would_do(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        use(session, organization, 399)
        other = a_channel(session, organization)
        answer = caller.post("/posts", body(entry(channel), entry(other)))
        assert answer.status == 402
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json == {
            "type": "about:blank",
            "title": "Payment Required",
            "status": 402,
            "detail": "Your plan (STANDARD) includes 400 posts a month. 399 are used, and this "
            "needs 2 more. Choose the plan TEAM or a larger one.",
            "code": "plan_limit",
            "section": "posts_per_month",
            "action": "create",
            "limit": 400,
            "used": 399,
            "plan": "STANDARD",
            "neededPlan": "TEAM",
            "url": "http://127.0.0.1:3000/app/billing",
        }
        assert session.scalars(select(Post)).all() == []
        assert caller.post("/posts", body(entry(channel))).status == 201
        assert used(session) == 400

    def test_the_public_api_keeps_its_form(
        self, session: Session, organization: Organization, channel: Channel, member: Member
    ) -> None:
        use(session, organization, 400)
        one = {"type": "now", "date": soon(), "shortLink": False, "tags": []}
        answer = by_key(public, session, member).post(
            "/public/v1/posts", one | {"posts": [entry(channel)]}
        )
        assert answer.status == 402
        assert set(answer.json) == {"statusCode", "message", "msg", "url"}
        assert answer.json["statusCode"] == 402
        assert answer.json["url"] == "http://127.0.0.1:3000/app/billing"
        assert answer.json["message"].startswith("Your plan (STANDARD) includes 400 posts a month.")

    @pytest.mark.parametrize(
        ("plan", "limits", "used_up", "status"),
        [
            ("free", {}, 0, 402),
            ("standard", {}, 399, 201),
            ("standard", {}, 400, 402),
            ("standard", {}, 401, 402),
            ("standard", {"posts_per_month": 10}, 409, 201),
            ("standard", {"posts_per_month": 10}, 410, 402),
            ("free", {"given": "ultimate"}, 400, 201),
            ("team", {}, 400, 201),
            ("team", {}, 1_000_000, 402),
        ],
    )
    def test_below_at_and_over_the_limit(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        caller: Gateway,
        plan: str,
        limits: dict[str, Any],
        used_up: int,
        status: int,
    ) -> None:
        organization.plan, organization.limits = plan, limits
        use(session, organization, used_up)
        assert caller.post("/posts", body(entry(channel))).status == status

    def test_another_month_and_another_organization_do_not_matter(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        use(session, organization, 400)
        session.execute(text("update usage set period_start = period_start - 31"))
        assert caller.post("/posts", body(entry(channel))).status == 201

    def test_drafts_are_never_refused(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        use(session, organization, 400)
        assert caller.post("/posts", body(entry(channel), type="draft")).status == 201

    def test_a_wrong_field_is_told_first(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        use(session, organization, 400)
        assert caller.post("/posts", body(entry(channel, "x" * 501))).status == 422


class TestWithoutBilling:
    def test_nothing_is_refused_or_counted(
        self,
        session: Session,
        organization: Organization,
        channel: Channel,
        caller: Gateway,
        configure: Configure,
    ) -> None:
        configure(BILLING="off")
        organization.plan = "free"
        session.flush()
        first, second = body(entry(channel)), body(entry(channel, "Else"))
        with count_statements() as cost:
            assert caller.post("/posts", first).status == 201
        without = cost.statements
        assert (used(session), counted(session)) == (0, [None])
        configure(BILLING="on")
        organization.plan = "standard"
        session.flush()
        with count_statements() as cost:
            assert caller.post("/posts", second).status == 201
        assert cost.statements == without + 1
        assert used(session) == 1

"""Posts that wait for approval: every way of queueing one passes the same gate, with the right of its author."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, object_session

from functions.identity.app import app as identity
from functions.mcp.app import app as mcp
from functions.organizations.app import app as organizations
from functions.posts.app import app
from functions.public_api.app import app as public
from shared.channels.models import Channel
from shared.organizations.models import ApiKey, Approval, ApprovedBy, Member, Organization, Role
from shared.posts.lifecycle import PostState, Review
from shared.posts.models import Post, PostReview
from tests.builders import a_channel, a_customer, a_member, a_post
from tests.counting import count_statements
from tests.functions.test_plan_of_posts import (
    IN_PUBLIC,
    OF_DRAFTS,
    OF_FAILED,
    Way,
    draft_of,
    edit,
    later,
    move,
    resend,
)
from tests.functions.test_posts import body, compose, entry, soon
from tests.gateway import Answer, Gateway, as_member, by_grant, by_key

pytestmark = pytest.mark.usefixtures("queues")


@pytest.fixture
def writer(session: Session, organization: Organization) -> Member:
    """A member whose posts wait for approval."""
    return a_member(session, organization, role=Role.MEMBER, needs_approval=True)


@pytest.fixture
def asking(session: Session, writer: Member) -> Gateway:
    return as_member(app, session, writer)


def require(organization: Organization, by: ApprovedBy = ApprovedBy.TEAM) -> None:
    organization.approval, organization.approved_by = Approval.REQUIRED, by
    (object_session(organization) or pytest.fail("it is not stored")).flush()


def root(session: Session, post: Post | None = None) -> Post:
    """Return the newest post, or read one again."""
    session.expire_all()
    if post is not None:
        return session.get_one(Post, post.id)
    newest = select(Post).where(Post.position == 0).order_by(Post.created_at.desc(), Post.id.desc())
    return session.scalars(newest.limit(1)).one()


def status_of(session: Session, post: Post | None = None) -> tuple[PostState, Review]:
    found = root(session, post)
    return found.state, found.review


def steps(session: Session, post: Post) -> list[tuple[str, str | None]]:
    rows = select(PostReview).where(PostReview.root_id == post.id, PostReview.voided_at.is_(None))
    return sorted((row.step.value, row.outcome) for row in session.scalars(rows))


WAITS = (PostState.DRAFT, Review.REQUESTED)
QUEUED = (PostState.QUEUED, Review.NONE)
CLEARED = (PostState.QUEUED, Review.APPROVED)


class TestGate:
    def test_composing_says_that_the_post_waits(
        self, session: Session, channel: Channel, asking: Gateway
    ) -> None:
        [created] = compose(asking, entry(channel, "1", "2"))
        assert (created["state"], created["review"]) == ("DRAFT", "requested")
        parts = session.execute(select(Post.state, Post.review, Post.due_at)).all()
        assert set(parts) == {(*WAITS, None)}
        assert steps(session, root(session)) == [("team", None)]
        stored = asking.get(f"/posts/{created['postId']}").json
        assert (stored["state"], stored["review"]) == ("DRAFT", "requested")

    def test_and_others_are_queued_as_before(
        self, session: Session, channel: Channel, caller: Gateway
    ) -> None:
        [created] = compose(caller, entry(channel))
        assert (created["state"], created["review"]) == ("QUEUE", "none")
        assert status_of(session) == QUEUED

    @pytest.mark.parametrize("way", OF_DRAFTS.values(), ids=OF_DRAFTS)
    def test_every_way_of_queueing_a_draft_waits(
        self, session: Session, channel: Channel, asking: Gateway, way: Way
    ) -> None:
        answer = way(asking, draft_of(session, channel))
        assert answer.status in {200, 201}, answer.text
        assert status_of(session) == WAITS

    @pytest.mark.parametrize("way", OF_FAILED.values(), ids=OF_FAILED)
    def test_every_way_of_queueing_a_failed_post_but_resending_waits(
        self, session: Session, channel: Channel, asking: Gateway, way: Way
    ) -> None:
        post = a_post(session, channel, state=PostState.FAILED, publish_at=later())
        assert way(asking, post).status in {200, 201}
        assert status_of(session, post) == (QUEUED if way is resend else WAITS)

    @pytest.mark.parametrize("way", IN_PUBLIC.values(), ids=IN_PUBLIC)
    def test_so_do_the_ways_of_the_public_api(
        self, session: Session, channel: Channel, member: Member, way: Way
    ) -> None:
        program = by_key(public, session, member, scopes=("read", "propose"))
        post = draft_of(session, channel)
        assert way(program, post).status == 200
        assert status_of(session, post) == WAITS

    def test_and_composing_there_and_by_tool(
        self, session: Session, channel: Channel, member: Member
    ) -> None:
        program = by_key(public, session, member, scopes=("propose",))
        one = {"type": "schedule", "date": soon(), "shortLink": False, "tags": []}
        answer = program.post("/public/v1/posts", one | {"posts": [entry(channel)]})
        assert answer.status == 201
        assert status_of(session) == WAITS
        social = {
            "integrationId": str(channel.id), "isPremium": False, "date": soon(), "shortLink": False,
            "type": "schedule", "settings": [],
            "postsAndComments": [{"content": "Hello", "attachments": []}],
        }  # fmt: skip
        call = {"name": "integrationSchedulePostTool", "arguments": {"socialPost": [social]}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        agent = by_grant(mcp, session, member, scopes=("mcp:propose",))
        assert agent.post("/mcp", request).status == 200
        assert session.scalars(select(Post.review)).all() == [Review.REQUESTED] * 2

    @pytest.mark.parametrize("way", [edit, move], ids=["edit", "move"])
    def test_changing_a_queued_post_takes_it_back(
        self, session: Session, channel: Channel, asking: Gateway, way: Way
    ) -> None:
        post = a_post(session, channel)
        assert way(asking, post).status == 200
        assert status_of(session, post) == WAITS
        assert root(session, post).due_at is None

    def test_keys_and_consents_approve_nothing(
        self, session: Session, organization: Organization, channel: Channel, member: Member
    ) -> None:
        require(organization)
        for program in (by_key(app, session, member), by_grant(app, session, member)):
            compose(program, entry(channel))
            assert status_of(session) == WAITS

    def test_somebody_who_may_approve_approves_by_scheduling(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        require(organization)
        compose(caller, entry(channel))
        assert status_of(session) == CLEARED
        assert steps(session, root(session)) == [("team", "approved")]

    def test_but_not_for_the_client(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        require(organization, ApprovedBy.TEAM_THEN_CLIENT)
        compose(caller, entry(channel))
        assert status_of(session) == WAITS
        assert steps(session, root(session)) == [("client", None), ("team", "approved")]

    def test_the_rule_of_a_customer_comes_first(
        self, session: Session, organization: Organization, channel: Channel
    ) -> None:
        require(organization)
        customer = a_customer(session, organization)
        customer.approval, customer.approved_by = Approval.NONE, ApprovedBy.TEAM
        theirs = a_channel(session, organization, customer_id=customer.id)
        ordinary = as_member(app, session, a_member(session, organization, role=Role.MEMBER))
        created = compose(ordinary, entry(channel), entry(theirs))
        assert [one["review"] for one in created] == ["requested", "none"]

    def test_a_draft_leaves_the_review(
        self, session: Session, channel: Channel, asking: Gateway
    ) -> None:
        [created] = compose(asking, entry(channel))
        path = f"/posts/{created['postId']}/status"
        answer = asking.put(path, {"status": "draft"})
        assert (answer.json["state"], answer.json["review"]) == ("DRAFT", "none")
        assert steps(session, root(session)) == [("team", "withdrawn")]

    def test_what_may_be_published_cannot_wait(
        self, session: Session, channel: Channel, asking: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.UNCONFIRMED, publish_at=later())
        answer = asking.put(f"/posts/{post.id}", {"type": "update", "content": "New"})
        assert (answer.status, answer.json["code"]) == (409, "may_be_published")

    def test_a_failed_post_that_was_changed_is_not_resent(
        self, session: Session, channel: Channel, asking: Gateway, caller: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.FAILED, publish_at=later())
        assert asking.put(f"/posts/{post.id}", {"content": "New"}).status == 200
        assert status_of(session, post) == (PostState.FAILED, Review.REQUESTED)
        for sender in (asking, caller):
            answer = sender.post(f"/posts/{post.id}/resend", {})
            assert (answer.status, answer.json["code"]) == (409, "not_approved")

    def test_a_platform_refuses_what_waits_like_what_is_queued(
        self, channel: Channel, asking: Gateway
    ) -> None:
        assert asking.post("/posts", body(entry(channel, "x" * 501))).status == 422

    def test_it_takes_two_statements_more(
        self, channel: Channel, caller: Gateway, asking: Gateway
    ) -> None:
        with count_statements() as today:
            compose(caller, entry(channel))
        with count_statements() as waiting:
            compose(asking, entry(channel))
        assert waiting.statements <= today.statements + 2

    def test_the_database_refuses_a_queued_post_in_review(
        self, session: Session, channel: Channel
    ) -> None:
        post = draft_of(session, channel, review=Review.REQUESTED)
        queue = text("update posts set state = 'queued' where id = :id")
        with pytest.raises(Exception, match="queued_is_approved"), session.begin_nested():
            session.execute(queue, {"id": post.id})


class TestScopes:
    @pytest.mark.parametrize(
        ("method", "path", "code"),
        [
            ("POST", "/posts/{id}/resend", "key_proposes_only"),
            ("DELETE", "/posts/{id}", "key_proposes_only"),
            ("POST", "/posts/{id}/confirm", "key_proposes_only"),
        ],
    )
    def test_what_cannot_wait_cannot_be_proposed(
        self,
        session: Session,
        channel: Channel,
        member: Member,
        method: str,
        path: str,
        code: str,
    ) -> None:
        post = a_post(session, channel)
        for program in (
            by_key(app, session, member, scopes=("read", "propose")),
            by_grant(app, session, member, scopes=("mcp:read", "mcp:propose")),
        ):
            answer = program.call(method, path.format(id=post.id), {})
            assert (answer.status, answer.json["code"]) == (403, code)

    def test_a_key_that_reads_proposes_nothing(
        self, session: Session, channel: Channel, member: Member
    ) -> None:
        program = by_key(app, session, member, scopes=("read",))
        answer = program.post("/posts", body(entry(channel)))
        assert (answer.status, answer.json["code"]) == (403, "key_reads_only")

    def test_a_key_that_writes_waits_for_nobody(
        self, session: Session, channel: Channel, member: Member
    ) -> None:
        compose(by_key(app, session, member, scopes=("propose", "write")), entry(channel))
        assert status_of(session) == QUEUED

    def test_a_member_who_needs_approval_gets_no_key_that_writes(
        self, session: Session, organization: Organization
    ) -> None:
        admin = a_member(session, organization, role=Role.ADMIN, needs_approval=True)
        key = ApiKey(
            organization_id=organization.id, name="n8n", key_hash=b"1", hint="1", scopes=["propose"]
        )
        session.add(key)
        session.flush()
        caller = as_member(identity, session, admin)
        for method, path, sent in (
            ("POST", "", {"scopes": ["write"]}),
            ("PUT", f"/{key.id}", {"scopes": ["read", "write"]}),
            ("POST", f"/{key.id}/rotate", {}),
        ):
            answer = caller.call(method, f"/user/api-key{path}", sent)
            assert (answer.status, answer.json["code"]) == (403, "key_would_skip_approval")
        made = caller.post("/user/api-key", {"scopes": ["propose"]})
        assert (made.status, made.json["scopes"]) == (201, ["propose"])


class TestRules:
    @pytest.fixture
    def admin(self, session: Session, member: Member) -> Gateway:
        return as_member(organizations, session, member)

    def test_are_set_for_the_organization_and_its_customers(
        self, session: Session, organization: Organization, admin: Gateway
    ) -> None:
        customer = a_customer(session, organization)
        off: dict[str, Any] = {"approval": "none", "approvedBy": "team"}
        assert admin.get("/settings/approval").json == {**off, "customers": []}
        rule = {"approval": "required", "approvedBy": "team_then_client"}
        assert admin.put("/settings/approval", rule).json == rule
        assert admin.put(f"/settings/approval/{customer.id}", {"approval": "none"}).json == off
        theirs = {"id": str(customer.id), "name": customer.name, **off}
        assert admin.get("/settings/approval").json == {**rule, "customers": [theirs]}
        answer = admin.delete(f"/settings/approval/{customer.id}")
        assert answer.json == {**rule, "customers": []}

    def test_of_unknown_customers_are_refused(
        self, organization: Organization, admin: Gateway
    ) -> None:
        for method in ("PUT", "DELETE"):
            path = f"/settings/approval/{organization.id}"
            assert admin.call(method, path, {"approval": "none"}).status == 404

    def test_no_key_switches_them_off(self, session: Session, member: Member) -> None:
        program = by_key(organizations, session, member)
        answer = program.put("/settings/approval", {"approval": "none"})
        assert (answer.status, answer.json["code"]) == (403, "person_needed")


class TestDecisions:
    @pytest.fixture
    def waiting(self, session: Session, channel: Channel, asking: Gateway) -> Post:
        """A post of two parts that waits for the team."""
        compose(asking, entry(channel, "1", "2"), date=soon(8))
        return root(session)

    @pytest.fixture
    def client(self, session: Session, organization: Organization) -> Gateway:
        viewer = a_member(session, organization, role=Role.VIEWER, may_approve=True)
        return as_member(app, session, viewer)

    def test_an_approval_queues_the_post_and_arms_it(
        self, session: Session, waiting: Post, caller: Gateway
    ) -> None:
        answer = decide(caller, waiting, note="Well done")
        assert (answer.status, answer.json["review"]) == (200, "approved"), answer.text
        assert status_of(session, waiting) == CLEARED
        stored = root(session, waiting)
        assert (stored.due_at, stored.armed_revision) == (stored.publish_at, stored.revision)
        assert steps(session, waiting) == [("team", "approved")]

    def test_history_shows_the_request_and_the_decision(
        self, waiting: Post, asking: Gateway, caller: Gateway
    ) -> None:
        decide(caller, waiting, "decline", note="Too loud")
        request = {"action": "request", "note": "Softer now"}
        assert asking.post(f"/posts/{waiting.id}/review", request).status == 200
        decide(caller, waiting, revision=2)
        events = caller.get(f"/posts/{waiting.id}/history").json["history"]
        listed = [
            (one["action"], one["changes"].get("note"), one["changes"].get("review"))
            for one in reversed(events)
        ]
        assert listed == [
            ("composed", None, ["none", "requested"]),
            ("declined", [None, "Too loud"], ["requested", "declined"]),
            ("review_requested", [None, "Softer now"], ["declined", "requested"]),
            ("approved", None, ["requested", "approved"]),
        ]
        assert [one["revision"] for one in reversed(events)] == [1, 1, 2, 3]

    def test_a_decision_names_the_revision_that_was_seen(
        self, session: Session, waiting: Post, asking: Gateway, caller: Gateway
    ) -> None:
        asking.put(f"/posts/{waiting.id}", {"content": "Other"})
        answer = decide(caller, waiting, revision=1)
        assert (answer.status, answer.json["code"]) == (409, "post_changed")
        answer = caller.post(f"/posts/{waiting.id}/review", {"action": "approve"})
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "revision")
        assert status_of(session, waiting) == WAITS

    def test_a_second_decision_is_refused_with_the_first(
        self, waiting: Post, caller: Gateway
    ) -> None:
        decide(caller, waiting, "decline")
        answer = decide(caller, waiting)
        assert (answer.status, answer.json["code"]) == (409, "already_decided")
        assert "declined" in answer.json["detail"]

    def test_nobody_decides_without_the_right(
        self, waiting: Post, asking: Gateway, client: Gateway
    ) -> None:
        for somebody in (asking, client):
            answer = decide(somebody, waiting)
            assert (answer.status, answer.json["code"]) == (403, "may_not_decide")

    def test_no_key_decides(self, session: Session, waiting: Post, member: Member) -> None:
        assert decide(by_key(app, session, member), waiting).json["code"] == "person_needed"

    def test_the_client_decides_after_the_team(
        self,
        session: Session,
        organization: Organization,
        waiting: Post,
        caller: Gateway,
        client: Gateway,
    ) -> None:
        require(organization, ApprovedBy.TEAM_THEN_CLIENT)  # stricter than when it was requested
        first = decide(caller, waiting)
        assert (first.json["review"], first.json["waitsFor"]) == ("requested", "client")
        assert status_of(session, waiting) == WAITS
        assert decide(caller, waiting).json["code"] == "may_not_decide"
        assert decide(client, waiting).status == 200
        assert status_of(session, waiting) == CLEARED

    def test_a_change_after_the_approval_voids_it(
        self, session: Session, waiting: Post, caller: Gateway, asking: Gateway
    ) -> None:
        decide(caller, waiting)
        assert asking.put(f"/posts/{waiting.id}", {"content": "Other"}).status == 200
        assert status_of(session, waiting) == WAITS
        assert steps(session, waiting) == [("team", None)]

    def test_but_not_one_by_somebody_who_may_approve(
        self, session: Session, waiting: Post, caller: Gateway
    ) -> None:
        decide(caller, waiting)
        assert caller.put(f"/posts/{waiting.id}", {"content": "Other"}).status == 200
        assert status_of(session, waiting) == CLEARED

    def test_an_overdue_post_needs_a_new_time(
        self, session: Session, waiting: Post, caller: Gateway
    ) -> None:
        late = text("update posts set publish_at = now() - interval '1 minute'")
        session.execute(late)
        answer = decide(caller, waiting)
        assert (answer.status, answer.json["code"]) == (409, "review_is_overdue")
        assert status_of(session, waiting) == WAITS
        assert decide(caller, waiting, date=soon(30)).status == 200
        assert status_of(session, waiting) == CLEARED

    def test_a_request_can_be_withdrawn(
        self, session: Session, waiting: Post, asking: Gateway
    ) -> None:
        withdraw = {"action": "withdraw"}
        answer = asking.post(f"/posts/{waiting.id}/review", withdraw)
        assert answer.json["review"] == "none"
        assert steps(session, waiting) == [("team", "withdrawn")]
        answer = asking.post(f"/posts/{waiting.id}/review", withdraw)
        assert (answer.status, answer.json["code"]) == (409, "not_in_review")

    def test_asking_is_optional_unless_it_is_off(
        self, session: Session, organization: Organization, channel: Channel, caller: Gateway
    ) -> None:
        post = a_post(session, channel, state=PostState.DRAFT, publish_at=later())
        ask = {"action": "request"}
        answer = caller.post(f"/posts/{post.id}/review", ask)
        assert (answer.status, answer.json["code"]) == (409, "approval_is_off")
        organization.approval = Approval.OPTIONAL
        session.flush()
        assert caller.post(f"/posts/{post.id}/review", ask).json["review"] == "requested"

    def test_posts_of_a_group_get_one_answer_each(
        self, session: Session, organization: Organization, asking: Gateway, caller: Gateway
    ) -> None:
        channels = [a_channel(session, organization) for _ in range(3)]
        created = compose(asking, *map(entry, channels), date=soon(60))
        first, second, third = (one["postId"] for one in created)
        decide(caller, session.get_one(Post, UUID(second)), "decline")
        posts = [{"id": first, "revision": 1}, {"id": second, "revision": 1},
                 {"id": third, "revision": 7}]  # fmt: skip
        path = f"/posts/group/{created[0]['group']}/review"
        answer = caller.post(path, {"action": "approve", "posts": posts})
        assert answer.status == 200, answer.text
        assert [(one["status"], one["code"]) for one in answer.json["posts"]] == [
            (200, None), (409, "already_decided"), (409, "post_changed"),
        ]  # fmt: skip
        states = select(Post.review).order_by(Post.created_at, Post.id)
        session.expire_all()
        assert session.scalars(states).all() == ["approved", "declined", "requested"]

    def test_what_waits_is_listed_for_those_who_see_it(
        self, session: Session, organization: Organization, waiting: Post, caller: Gateway
    ) -> None:
        [listed] = caller.get("/posts/reviews").json["reviews"]
        assert (listed["id"], listed["step"], listed["isYours"]) == (str(waiting.id), "team", True)
        customer = a_customer(session, organization)
        limited = a_member(session, organization, role=Role.VIEWER, customers=[customer.id])
        assert as_member(app, session, limited).get("/posts/reviews").json == {"reviews": []}

    def test_decisions_are_recorded_in_the_audit_log(
        self, session: Session, waiting: Post, caller: Gateway
    ) -> None:
        decide(caller, waiting, "decline")
        log = text("select action from audit_events where subject_id = :id order by at, id")
        actions = session.execute(log, {"id": waiting.id}).scalars().all()
        assert actions == ["post.composed", "post.declined"]


def decide(
    caller: Gateway, post: Post, action: str = "approve", *, revision: int = 1, **more: Any
) -> Answer:
    sent = {"action": action, "revision": revision, **more}
    return caller.post(f"/posts/{post.id}/review", sent)

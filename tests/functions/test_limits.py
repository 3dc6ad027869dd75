"""Is every route limited, by whom calls are counted, and can an address be made up?"""

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from functions.organizations.app import app as organizations
from shared.channels.models import Channel
from shared.organizations.models import Member, Organization
from shared.posts.models import Post
from tests.builders import PASSWORD, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway, as_member, by_key, put_app_secret


@pytest.fixture(autouse=True)
def _aws(aws: None) -> None:
    put_app_secret()


class TestDefaults:
    def test_reads_of_a_principal(
        self, session: DbSession, member: Member, configure: Configure
    ) -> None:
        """Finding 7.17: reads without a rate of their own are counted by principal, without SQL."""
        configure(RATE_LIMITS='{"reads": 2}')
        gateway = as_member(organizations, session, member)
        with count_statements() as cost:
            answers = [gateway.get("/customers").status for _ in range(2)]
        assert (answers, cost.statements) == ([200, 200], 4)
        refused = gateway.get("/customers")
        assert (refused.status, refused.json["code"]) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0
        assert by_key(organizations, session, member).get("/customers").status == 200
        assert not session.scalar(text("select count(*) from rate_limits"))

    def test_writes_of_a_principal(
        self, session: DbSession, member: Member, configure: Configure
    ) -> None:
        """Finding 7.17: 34 writes had no limit; the statement that identifies the caller counts them."""
        configure(RATE_LIMITS='{"writes": 1}')
        gateway = as_member(organizations, session, member)
        with count_statements() as cost:
            assert gateway.post("/customers", {"name": "One"}).status == 201
        (counting,) = [sql for sql in cost.sql if "rate_limits" in sql]
        assert "login as" in counting
        assert gateway.post("/customers", {"name": "Two"}).status == 429
        program = by_key(organizations, session, member)
        assert program.post("/customers", {"name": "Two"}).status == 201

    def test_public_reads_of_an_address(self, session: DbSession, configure: Configure) -> None:
        configure(RATE_LIMITS='{"reads_by_address": 1}')
        assert Gateway(app).get("/auth/can-register").status == 200
        assert Gateway(app).get("/auth/can-register").status == 429
        assert Gateway(app, address="198.51.100.1").get("/auth/can-register").status == 200


class TestRenew:
    def test_is_counted_by_session_and_not_by_address(
        self, session: DbSession, configure: Configure
    ) -> None:
        """Finding 2.7: an office of 90 behind one address locked itself out by renewing."""
        configure(RATE_LIMITS='{"renew": 1}')
        browsers = [Gateway(app) for _ in range(3)]
        for browser in browsers:
            user = a_user(session)
            a_member(session, an_organization(session), user)
            browser.post("/auth/login", {"email": user.email, "password": PASSWORD})
        assert [browser.post("/auth/renew").status for browser in browsers] == [200, 200, 200]
        assert browsers[0].post("/auth/renew").status == 429


class TestAddress:
    @pytest.mark.parametrize("proxies", [0, 1])
    def test_cannot_be_made_up(
        self, session: DbSession, configure: Configure, proxies: int
    ) -> None:
        """Finding 8.16: a forged `X-Forwarded-For` got around the limits of addresses."""
        configure(RATE_LIMITS='{"sign_in": 1}', TRUSTED_PROXIES=proxies)
        answers = []
        for number in range(2):
            # What a client sends stands first; CloudFront and API Gateway each append who asked them.
            real = ["203.0.113.7", "130.176.0.1"][: proxies + 1]
            hops = ", ".join([f"198.51.100.{number}", *real])
            gateway = Gateway(app, address=real[-1])
            body = {"email": "a@b.example", "password": "x"}
            answer = gateway.post("/auth/login", body, headers={"x-forwarded-for": hops})
            answers.append(answer.status)
        assert answers == [401, 429]

    def test_of_a_viewer_is_the_one_that_the_proxy_saw(
        self, session: DbSession, configure: Configure
    ) -> None:
        """Finding 8.16: behind CloudFront, two people are not one."""
        configure(RATE_LIMITS='{"sign_in": 1}', TRUSTED_PROXIES=1)
        for viewer in ("203.0.113.7", "203.0.113.8"):
            gateway = Gateway(app, address="130.176.0.1")
            hops = {"x-forwarded-for": f"{viewer}, 130.176.0.1"}
            body = {"email": "a@b.example", "password": "x"}
            assert gateway.post("/auth/login", body, headers=hops).status == 401


class TestDeletedPosts:
    def test_hold_no_slot(
        self,
        session: DbSession,
        caller: Gateway,
        channel: Channel,
        organization: Organization,
    ) -> None:
        """Finding 8.16: find-slot counted deleted posts, and no test noticed."""
        path = f"/posts/find-slot/{channel.id}"
        free = caller.get(path).json["date"]
        body = {
            "type": "schedule", "date": free, "tags": [],
            "posts": [{"integration": {"id": str(channel.id)}, "value": [{"content": "x", "image": []}]}],
        }  # fmt: skip
        (made,) = caller.post("/posts", body).json
        assert caller.get(path).json["date"] != free
        assert caller.delete(f"/posts/{made['postId']}").status == 200
        assert caller.get(path).json["date"] == free
        deleted = select(func.count()).select_from(Post).where(Post.deleted_at.is_not(None))
        assert session.scalar(deleted) == 1

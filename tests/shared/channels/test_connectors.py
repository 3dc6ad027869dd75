"""Connecting a channel ends with the right to it: the role, and the session, key or grant that began it.

Finding 2.1, sibling: a key or grant that was revoked, or could only read, still finished what it had begun.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import respx
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from shared.access.connector import connector_of
from shared.access.context import Credentials, identify
from shared.access.policy import POLICY, complete
from shared.audit.entries import Actor
from shared.channels import connect
from shared.channels.connect import NewConnection, finish, start
from shared.channels.connectors import Connector, find_reach
from shared.channels.errors import MayNotConnect, NotStarted
from shared.channels.models import Channel, OAuthState
from shared.core.ids import new_id
from shared.core.reach import Reach
from shared.organizations.models import Member, Role
from tests.builders import a_member, a_user, an_organization
from tests.gateway import by_grant, by_key, in_place_of, put_app_secret
from tests.shared.channels.builders import a_connector
from tests.shared.channels.platforms import BLUESKY_FIELDS, bluesky, linkedin, mastodon

STARTS = complete("GET", POLICY["GET /integrations/social/{provider}"])
KINDS = ("session", "impersonator", "key", "grant")
OF_THE_MEMBER = {
    "left": "delete from members where user_id = :user_id",
    "disabled": "update members set disabled = true where user_id = :user_id",
    "demoted": "update members set role = 'viewer' where user_id = :user_id",
}
OF_THE_PROOF = {
    "session": {
        "signed out": "update sessions set revoked_at = now() where id = :session_id",
        "expired": "update sessions set expires_at = now() where id = :session_id",
        "deleted": "delete from sessions where id = :session_id",
        "user deleted": "update users set deleted_at = now() where id = :user_id",
    },
    "impersonator": {
        "signed out": "update sessions set revoked_at = now() where id = :session_id",
        "no super admin": "update users set is_super_admin = false where id = :impersonated_by",
        "deleted": "update users set deleted_at = now() where id = :impersonated_by",
        "ended": "update impersonations set ended_at = now() where session_id = :session_id",
        "over": "update impersonations set ends_at = now() where session_id = :session_id",
    },
    "key": {
        "revoked": "update api_keys set revoked_at = now() where id = :api_key_id",
        "expired": "update api_keys set expires_at = now() where id = :api_key_id",
        "read-only": "update api_keys set scopes = '{read}' where id = :api_key_id",
        "deleted": "delete from api_keys where id = :api_key_id",
    },
    "grant": {
        "revoked": "update oauth_grants set revoked_at = now() where id = :grant_id",
        "read-only": "update oauth_grants set scopes = '{mcp:read}' where id = :grant_id",
        "unused": "update oauth_grants set last_used_at = now() - interval '91 days' where id = :grant_id",
        "app deleted": "update oauth_apps set deleted_at = now()",
        "deleted": "delete from oauth_grants where id = :grant_id",
    },
}
ENDINGS = [
    pytest.param(kind, sql, id=f"{kind} {name}")
    for kind in KINDS
    for name, sql in (OF_THE_PROOF[kind] | OF_THE_MEMBER).items()
]


@pytest.fixture(autouse=True)
def _app_secret(sealing: None) -> None:
    put_app_secret()


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session), role=Role.EDITOR)


def connector(session: Session, member: Member, kind: str) -> Connector:
    """Start as each kind of caller does, by what the guard says of them."""
    if kind == "session":
        return a_connector(member)
    if kind == "impersonator":
        credentials = _impersonating(session, member)
    else:
        caller = (by_key if kind == "key" else by_grant)(None, session, member)
        credentials = Credentials(api_key=caller.headers["authorization"])
    made = connector_of(identify(session, credentials, STARTS).member)
    proofs = (made.session_id, made.api_key_id, made.grant_id)
    assert sum(proof is not None for proof in proofs) == 1
    return made


def _impersonating(session: Session, member: Member) -> Credentials:
    headers = in_place_of(None, session, member).headers
    return Credentials(access_token=headers["auth"], impersonate=headers["impersonate"])


def begin(who: Connector, slug: str) -> str:
    url = start(who, slug, NewConnection(zone="UTC"))
    return parse_qs(urlsplit(url).query)["state"][0]


def end(session: Session, who: Connector, sql: str) -> None:
    known = {"organization_id": who.organization_id, **who.columns()}
    session.execute(text(sql), {name: known[name] for name in known if f":{name}" in sql})


def ends_during(route: respx.Route, ending: Callable[[], None]) -> None:
    """Let something end while the platform is asked for the token."""
    answer = route.return_value
    assert answer is not None

    def late(_: httpx.Request) -> httpx.Response:
        ending()
        return answer

    route.mock(side_effect=late)


def channels(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Channel)) or 0


class TestRightToFinish:
    @pytest.mark.parametrize("slug", ["mastodon", "bluesky"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_each_kind_of_caller_finishes_what_it_began(
        self, session: Session, member: Member, respx_mock: respx.MockRouter, kind: str, slug: str
    ) -> None:
        mastodon(respx_mock)
        bluesky(respx_mock)
        state = begin(connector(session, member, kind), slug)
        code = json.dumps(BLUESKY_FIELDS) if slug == "bluesky" else "a-code"
        assert finish(slug, state, code).channel.provider == slug

    @pytest.mark.parametrize(("kind", "sql"), ENDINGS)
    def test_nothing_is_asked_once_the_right_is_over(
        self, session: Session, member: Member, respx_mock: respx.MockRouter, kind: str, sql: str
    ) -> None:
        """Finding 2.1: revoked, read-only, expired or demoted since the start."""
        mastodon(respx_mock)
        who = connector(session, member, kind)
        state = begin(who, "mastodon")
        end(session, who, sql)
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code")
        assert not respx_mock.calls
        assert channels(session) == 0

    @pytest.mark.parametrize("slug", ["mastodon", "bluesky"])
    @pytest.mark.parametrize(("kind", "sql"), ENDINGS)
    def test_nothing_is_stored_when_it_ends_while_the_platform_is_asked(
        self,
        session: Session,
        member: Member,
        respx_mock: respx.MockRouter,
        kind: str,
        sql: str,
        slug: str,
    ) -> None:
        """Finding 2.1: the seconds of the exchange are time enough to remove somebody."""
        route = mastodon(respx_mock) if slug == "mastodon" else bluesky(respx_mock)
        who = connector(session, member, kind)
        state = begin(who, slug)
        ends_during(route, lambda: end(session, who, sql))
        code = json.dumps(BLUESKY_FIELDS) if slug == "bluesky" else "a-code"
        with pytest.raises(NotStarted):
            finish(slug, state, code)
        assert route.called
        assert channels(session) == 0

    @pytest.mark.parametrize(("kind", "sql"), ENDINGS)
    def test_the_caller_who_finishes_is_judged_when_it_is_stored(
        self, session: Session, member: Member, respx_mock: respx.MockRouter, kind: str, sql: str
    ) -> None:
        route = mastodon(respx_mock)
        colleague = Member(
            id=new_id(),
            organization_id=member.organization_id,
            user_id=a_user(session).id,
            role=Role.EDITOR,
        )
        session.add(colleague)
        session.flush()
        state = begin(a_connector(colleague), "mastodon")
        caller = connector(session, member, kind)
        ends_during(route, lambda: end(session, caller, sql))
        with pytest.raises(MayNotConnect):
            finish("mastodon", state, "a-code", caller=caller)
        assert channels(session) == 0

    def test_a_state_from_before_proofs_were_kept_does_not_hold(
        self, session: Session, member: Member
    ) -> None:
        who = a_connector(member)
        state = begin(who, "mastodon")
        session.execute(update(OAuthState).values(session_id=None))
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code")

    def test_a_proof_of_another_organization_or_member_is_none(
        self, session: Session, member: Member
    ) -> None:
        other = a_member(session, an_organization(session), role=Role.EDITOR)
        for kind in ("session", "key", "grant"):  # a super admin may act as either member
            theirs = connector(session, other, kind).columns() | {"user_id": member.user_id}
            who = Connector(Reach(member.organization_id), **theirs)
            assert find_reach(session, who) is None, kind

    def test_a_grant_whose_access_token_is_being_refreshed_still_finishes(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        mastodon(respx_mock)
        state = begin(connector(session, member, "grant"), "mastodon")
        session.execute(text("update oauth_grants set token_ends_at = now()"))
        assert finish("mastodon", state, "a-code").channel.name == "Ada L."


class TestOtherWays:
    @pytest.mark.parametrize(("kind", "sql"), ENDINGS)
    def test_a_form_without_a_start(
        self, session: Session, member: Member, respx_mock: respx.MockRouter, kind: str, sql: str
    ) -> None:
        who = connector(session, member, kind)
        route = bluesky(respx_mock)
        ends_during(route, lambda: end(session, who, sql))
        with pytest.raises(MayNotConnect):
            connect.connect_by_form(who, "bluesky", json.dumps(BLUESKY_FIELDS), zone="UTC")
        assert channels(session) == 0

    @pytest.mark.parametrize("by_state", [True, False])
    @pytest.mark.parametrize(("kind", "sql"), ENDINGS)
    def test_a_page_is_not_chosen(
        self,
        session: Session,
        member: Member,
        respx_mock: respx.MockRouter,
        kind: str,
        sql: str,
        by_state: bool,
    ) -> None:
        """The right to choose a page is the right to connect, of whoever began."""
        linkedin(respx_mock)
        who = connector(session, member, kind)
        finished = finish("linkedin-page", begin(who, "linkedin-page"), "a-code")
        state, channel_id = finished.page_state or "", finished.channel.id
        end(session, who, sql)
        choose: Any = (
            (lambda: connect.choose_page_by_state("linkedin-page", state, "11", visitor=Actor()))
            if by_state
            else (lambda: connect.choose_page(who, channel_id, "11"))
        )
        with pytest.raises(NotStarted if by_state else MayNotConnect):
            choose()
        session.expire_all()
        assert session.get_one(Channel, channel_id).needs_page

"""A walk over every route with ids of another organization: to a stranger, what is theirs is not there."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import boto3
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.orm import Session

from local.docs.openapi import apps
from shared.access.policy import Who, rule_for
from shared.apps.models import OAuthApp, OAuthGrant
from shared.core.crypto import hash_secret
from shared.core.ids import new_id
from shared.media.models import MediaState
from shared.notifications.models import Notification, NotificationKind
from shared.organizations.models import (
    ApiKey,
    Invitation,
    Member,
    Organization,
    OwnershipOffer,
    Role,
)
from shared.posts.lifecycle import PostState
from shared.posts.models import Tag
from shared.web.routing import Route
from shared.webhooks.models import DeliveryState, Webhook, WebhookDelivery
from tests.builders import (
    a_channel,
    a_customer,
    a_media,
    a_member,
    a_post,
    a_user,
    an_organization,
)
from tests.gateway import Gateway, as_member, by_key

APPS = apps()
SECRET = "Nobody else may read this"


def routes() -> Iterator[tuple[FastAPI, str, str]]:
    """Every route of every function: application, method, path."""
    for app in APPS:
        for route in app.router.routes:
            if isinstance(route, Route):
                for method in sorted(route.methods or ()):
                    yield app, method, route.path


WITH_ID = [
    pytest.param(app, method, path, id=f"{method} {path}")
    for app, method, path in routes()
    if re.search(r"\{(?!(provider|api_key)\})", path)  # those name nobody's things
]
LISTS = [
    pytest.param(app, path, id=path)
    for app, method, path in routes()
    if method == "GET" and "{" not in path and path != "/health/ready"  # asks queues and storage
]

# Bodies that would be accepted if the id were the caller's own.
BODIES: dict[str, Any] = {
    "POST /public/v1/integration-trigger/{channel_id}": {"methodName": "company"},
    "PUT /settings/approval/{customer_id}": {"approval": "none"},
    "POST /user/factors/{factor_id}/confirm": {"code": "123456"},
    "POST /posts/{post_id}/review": {"action": "approve", "revision": 1},
    "POST /posts/group/{group_id}/review": {
        "action": "approve",
        "posts": [{"id": str(new_id()), "revision": 1}],
    },
    "PUT /customers/{customer_id}": {"name": "Mine now"},
    "PUT /settings/team/{user_id}": {"role": "VIEWER"},
    "PUT /integrations/{channel_id}/customer": {"customerId": None},
    "POST /integrations/{channel_id}/nickname": {"name": "Mine now"},
    "POST /integrations/{channel_id}/settings": {"additionalSettings": "[]"},
    "POST /integrations/{channel_id}/time": {"time": [{"time": 60}]},
    "POST /integrations/provider/{channel_id}/connect": {"pageId": "1"},
    "PUT /media/{media_id}": {"alt": "mine"},
    "POST /media/{media_id}/complete": {"parts": [{"number": 1, "etag": '"e"'}]},
    "POST /media/{media_id}/parts": {"numbers": [1]},
    "PUT /posts/tags/{tag_id}": {"name": "mine", "color": "#ffffff"},
    "PUT /posts/{post_id}": {"value": [{"content": "mine", "image": []}]},
    "PUT /posts/{post_id}/date": {"date": "2030-01-01T10:00:00Z"},
    "PUT /posts/{post_id}/status": {"status": "draft"},
    "POST /posts/{post_id}/confirm": {"releaseUrl": "https://mastodon.social/@ada/1"},
    "POST /posts/{post_id}/resend": {},
    "POST /posts/{post_id}/duplicate": {},
    "PUT /webhooks/{webhook_id}": {"name": "mine"},
    "PUT /public/v1/posts/{post_id}": {"value": [{"content": "mine"}]},
    "PUT /public/v1/posts/{post_id}/settings": {"settings": {"visibility": "public"}},
    "PUT /public/v1/posts/{post_id}/status": {"status": "draft"},
    "PUT /public/v1/posts/{post_id}/release-id": {"releaseId": "1"},
}


# Where the contract has another status for what is not there than 404.
NOT_THERE = {
    # Its state, which the browser's cookie has, comes before the id.
    "GET /auth/company/{connection_id}/callback": 403,
    # For super admins alone, to whom the rows of all organizations are open.
    "DELETE /admin/people/{user_id}/sessions": 403,
    "DELETE /announcements/{announcement_id}": 403,
    "PUT /public/v1/posts/{post_id}/status": 400,
    "DELETE /public/v1/posts/group/{group_id}": 200,  # it answers with the id that was sent
}
# What the public API's contract has for an unknown id instead of a 404.
NOTHING = {
    "GET /public/v1/analytics/post/{post_id}": "[]",
    "GET /public/v1/posts/{post_id}/missing": "[]",
}


class Theirs:
    """One of everything, in an organization that the caller does not belong to, unless it is given.

    What belongs to a customer has the name `secret`, and so has everything else unless `shared` is given.
    """

    def __init__(
        self,
        session: Session,
        *,
        secret: str = SECRET,
        organization: Organization | None = None,
        shared: str | None = None,
    ) -> None:
        self.secret = secret
        shared = self._shared = shared or secret
        unique = hash_secret(secret)
        self.organization: Organization = organization or an_organization(session, name=secret)
        # An organization has one app; one that registered itself has none.
        self._maker = None if organization else self.organization.id
        self.member = a_member(session, self.organization)
        customer = a_customer(session, self.organization, name=secret)
        channel = a_channel(
            session, self.organization, name=secret, username="secret", customer_id=customer.id
        )
        post = a_post(
            session, channel, state=PostState.UNCONFIRMED, content=f"<p>{secret}</p>", due_at=None
        )
        of_customer = {"customers": [customer.id], "name": secret}
        media = a_media(session, self.organization, alt=secret, **of_customer)
        uploading = a_media(
            session,
            self.organization,
            state=MediaState.UPLOADING,
            upload_id="upload",
            **of_customer,
        )
        tag = Tag(id=new_id(), organization_id=self.organization.id, name=shared, color="#000000")
        key = ApiKey(
            id=new_id(),
            organization_id=self.organization.id,
            name=shared,
            key_hash=unique,
            hint="h",
        )
        told = Notification(
            id=new_id(), organization_id=self.organization.id, kind=NotificationKind.INFO,
            title=secret, content=secret, customer_id=customer.id,
        )  # fmt: skip
        session.add_all([tag, key, told])
        session.flush()
        self.ids: dict[str, UUID] = {
            "channel_id": channel.id,
            "customer_id": customer.id,
            "user_id": self.member.user_id,
            **self._offered_seats(session),
            "post_id": post.id,
            "group_id": post.group_id,
            "media_id": media.id,
            "tag_id": tag.id,
            "key_id": key.id,
            "session_id": new_id(),
            "login_id": new_id(),
            "factor_id": new_id(),
            "device_id": new_id(),
            "recovery_id": new_id(),
            **self._webhook(session),
            "grant_id": self._grant(session).id,
            "name": new_id(),  # of a document
            "issuer": new_id(),
            "file": new_id(),
            "announcement_id": new_id(),
            "connection_id": new_id(),
            "domain_id": new_id(),
            "queue": new_id(),
        }
        self.uploading = uploading.id
        self.channel, self.post, self.media = channel.id, post.id, media.id

    def _offered_seats(self, session: Session) -> dict[str, UUID]:
        later = datetime.now(UTC) + timedelta(days=7)
        invitation = Invitation(
            id=new_id(), organization_id=self.organization.id, invited_by=self.member.user_id,
            email=f"{hash_secret(self.secret).hex()}@example.org", role=Role.EDITOR,
            token_hash=hash_secret(self.secret), expires_at=later,
        )  # fmt: skip
        offer = OwnershipOffer(
            id=new_id(), organization_id=self.organization.id, offered_by=self.member.user_id,
            offered_to=self.member.user_id, expires_at=later,
        )  # fmt: skip
        session.add_all([invitation, offer])
        session.flush()
        return {"invitation_id": invitation.id, "offer_id": offer.id}

    def _grant(self, session: Session) -> OAuthGrant:
        secret, name = self.secret, self._shared
        program = OAuthApp(
            id=new_id(), organization_id=self._maker, client_id=name, name=name,
            description=name, redirect_uris=["https://secret.example/"],
        )  # fmt: skip
        session.add(program)
        session.flush()
        grant = OAuthGrant(
            id=new_id(), app_id=program.id, organization_id=self.organization.id,
            user_id=self.member.user_id, token_hash=hash_secret(secret), scopes=["mcp:read"],
        )  # fmt: skip
        session.add(grant)
        session.flush()
        return grant

    def _webhook(self, session: Session) -> dict[str, UUID]:
        secret = self.secret
        webhook = Webhook(
            id=new_id(), organization_id=self.organization.id, name=secret, secret=b"s",
            url="https://secret.example/",
        )  # fmt: skip
        session.add(webhook)
        session.flush()
        delivery = WebhookDelivery(
            id=new_id(), organization_id=self.organization.id, webhook_id=webhook.id,
            event="post.published", event_id=new_id(), body=[{"content": secret}],
            state=DeliveryState.FAILED,
        )  # fmt: skip
        session.add(delivery)
        session.flush()
        return {"webhook_id": webhook.id, "delivery_id": delivery.id}

    def path(self, template: str, **others: str) -> str:
        ids: dict[str, UUID | str] = {**self.ids, **others}
        if template.startswith("/media/") and template.endswith(("/complete", "/parts", "/upload")):
            ids["media_id"] = self.uploading
        return re.sub(r"\{(\w+)\}", lambda match: str(ids[match[1]]), template)


@pytest.fixture
def theirs(session: Session) -> Theirs:
    return Theirs(session)


@pytest.fixture
def owner(session: Session, aws: None) -> Member:
    """The owner of another organization, on a server without keys of platforms."""
    boto3.client("secretsmanager").create_secret(Name="roost/providers", SecretString="{}")
    return a_member(session, an_organization(session), role=Role.OWNER)


@pytest.fixture
def stranger(session: Session, owner: Member) -> dict[str, str]:
    """The headers of that owner's session."""
    return dict(as_member(None, session, owner).headers)


@pytest.fixture
def program(session: Session, owner: Member) -> dict[str, str]:
    """The headers of a program with a key of that organization."""
    return dict(by_key(None, session, owner).headers)


def everything(session: Session, organization: Organization) -> list[Any]:
    """Return all rows of an organization, to see that nothing changed."""
    tables = (
        "customers",
        "channels",
        "posts",
        "media",
        "tags",
        "api_keys",
        "notifications",
        "members",
        "webhooks",
        "webhook_deliveries",
        "oauth_apps",
        "oauth_grants",
        "invitations",
        "ownership_offers",
    )
    return [
        session.execute(
            text(f"select * from {table} where organization_id = :id order by id"),
            {"id": organization.id},
        ).all()
        for table in tables
    ]


@pytest.mark.parametrize(("app", "method", "path"), WITH_ID)
def test_an_id_of_another_organization_is_not_found(
    app: FastAPI,
    method: str,
    path: str,
    session: Session,
    theirs: Theirs,
    stranger: dict[str, str],
    program: dict[str, str],
) -> None:
    before = everything(session, theirs.organization)
    body = BODIES.get(f"{method} {path}", {} if method in {"POST", "PUT"} else None)
    headers = program if rule_for(method, path).program else stranger
    answer = Gateway(app, dict(headers)).call(method, theirs.path(path), body)
    if found_nothing := NOTHING.get(f"{method} {path}"):
        assert (answer.status, answer.text) == (200, found_nothing)
    else:
        assert answer.status == NOT_THERE.get(f"{method} {path}", 404), answer.text
    assert SECRET not in answer.text
    assert everything(session, theirs.organization) == before


@pytest.mark.parametrize(("app", "path"), LISTS)
def test_no_list_shows_what_is_anothers(
    app: FastAPI, path: str, theirs: Theirs, stranger: dict[str, str], program: dict[str, str]
) -> None:
    headers = program if rule_for("GET", path).program else stranger
    query = {"startDate": "2026-11-01T00:00:00Z", "endDate": "2026-12-01T00:00:00Z"}
    in_time = path in {"/posts", "/public/v1/posts"}
    answer = Gateway(app, dict(headers)).get(path, query=query if in_time else None)
    assert answer.status < 500, answer.text
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("app", "path"),
    [one for one in LISTS if rule_for("GET", str(one.id)).who is not Who.PUBLIC],
)
def test_no_list_counts_what_is_anothers(
    app: FastAPI, path: str, session: Session, stranger: dict[str, str], program: dict[str, str]
) -> None:
    """A number tells of them too: a list answers the same before and after another organization has one of everything."""
    headers = program if rule_for("GET", path).program else stranger
    query = {"startDate": "2026-11-01T00:00:00Z", "endDate": "2026-12-01T00:00:00Z"}

    def answer() -> str:
        found = Gateway(app, dict(headers)).get(path, query=query if "/posts" in path else None)
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "", found.text)

    session.execute(text("update users set last_read_notifications_at = now() - interval '1 day'"))
    answer()  # some lists note that they were looked at
    before = answer()
    Theirs(session)
    assert answer() == before


def test_a_tag_of_another_organization_is_not_put_on_a_post(
    session: Session, owner: Member, stranger: dict[str, str]
) -> None:
    """Tags are named by their labels, and two organizations may have the same."""
    mine, others = owner.organization_id, an_organization(session).id
    for organization_id in (mine, others):
        session.add(
            Tag(id=new_id(), organization_id=organization_id, name="Launch", color="#000000")
        )
    channel = a_channel(session, session.get_one(Organization, mine))
    tags = [{"value": "Launch", "label": "Launch"}]
    body = {
        "type": "draft", "date": "2030-01-01T10:00:00Z", "tags": tags,
        "posts": [{"integration": {"id": str(channel.id)}, "value": [{"content": "x", "image": []}]}],
    }  # fmt: skip
    app = {(method, path): app for app, method, path in routes()}["POST", "/posts"]
    made = Gateway(app, dict(stranger)).post("/posts", body)
    assert made.status == 201, made.text
    owners = session.execute(
        text("select tags.organization_id from post_tags join tags on tags.id = post_tags.tag_id")
    ).scalars()
    assert list(owners) == [mine]


def in_bodies(theirs: Theirs) -> list[tuple[str, str, Any]]:
    """Requests that name another organization's things in their bodies."""
    channel, media, post = str(theirs.channel), str(theirs.media), str(theirs.post)
    one = [{"content": "hello", "image": []}]
    draft = {"type": "draft", "date": "2030-01-01T10:00:00Z", "tags": []}
    with_media = [{"content": "hello", "image": [{"id": media}]}]
    return [
        ("POST", "/integrations/disable", {"id": channel}),
        ("POST", "/integrations/enable", {"id": channel}),
        ("DELETE", "/integrations", {"id": channel}),
        ("POST", "/integrations/mentions", {"id": channel, "name": "mention", "data": {"query": "a"}}),
        ("POST", "/media/information", {"id": media, "alt": "mine"}),
        ("POST", "/posts", {**draft, "posts": [{"integration": {"id": channel}, "value": one}]}),
        ("POST", "/posts/valid", {**draft, "posts": [{"integration": {"id": channel}, "value": one}]}),
        ("POST", "/posts", {**draft, "type": "update", "posts": [
            {"integration": {"id": channel}, "value": [{**one[0], "id": post}]}]}),
        ("POST", "/posts/valid", {**draft, "posts": [{"integration": {"id": channel}, "value": with_media}]}),
        ("POST", "/user/change-org", {"id": str(theirs.organization.id)}),
        ("PUT", "/webhooks", {"id": str(theirs.ids["webhook_id"]), "name": "mine"}),
        ("POST", "/webhooks", {"name": "mine", "url": "https://hooks.example/", "integrations": [{"id": channel}]}),
    ]  # fmt: skip


def test_ids_in_bodies_reach_nothing(
    session: Session, theirs: Theirs, stranger: dict[str, str]
) -> None:
    owners = {(method, path): app for app, method, path in routes()}
    before = everything(session, theirs.organization)
    for method, path, body in in_bodies(theirs):
        answer = Gateway(owners[method, path], dict(stranger)).call(method, path, body)
        if path == "/posts/valid":
            assert answer.status in {200, 201, 404, 422}, (path, answer.text)
        else:
            assert answer.status in {403, 404, 422}, (path, answer.status, answer.text)
        assert SECRET not in answer.text, path
    assert everything(session, theirs.organization) == before


def test_media_of_another_organization_cannot_be_posted(
    session: Session, theirs: Theirs, aws: None
) -> None:
    organization = an_organization(session)
    channel = a_channel(session, organization)
    gateway = as_member(
        {(method, path): app for app, method, path in routes()}["POST", "/posts"],
        session,
        a_member(session, organization, a_user(session)),
    )
    body = {
        "type": "draft", "date": "2030-01-01T10:00:00Z", "tags": [],
        "posts": [{"integration": {"id": str(channel.id)},
                   "value": [{"content": "x", "image": [{"id": str(theirs.media)}]}]}],
    }  # fmt: skip
    answer = gateway.post("/posts", body)
    assert answer.status == 422, answer.text
    assert "image" in answer.text

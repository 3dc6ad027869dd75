"""Rows for tests: each builder fills in whatever a test does not care about, adds it to the session and flushes.

organization = an_organization(session)
channel = a_channel(session, organization)
root = a_post(session, channel, state=PostState.DRAFT)
reply = a_post(session, channel, parent=root)
"""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from shared.audit.entries import Actor
from shared.channels.models import Channel, Customer
from shared.core import clock
from shared.core.ids import OrganizationId, SessionId, UserId, new_id
from shared.identity.models import Session as LoginSession
from shared.identity.models import User
from shared.media.models import Media, MediaState
from shared.organizations.models import Impersonation, Member, Organization, Role
from shared.posts.lifecycle import PostState
from shared.posts.models import Post

# "a password" as shared/identity/passwords.py hashes it, at the lowest cost: hashing one in every test would be most of its time.
PASSWORD = "a password"
PASSWORD_HASH = "$2b$04$XvUmuSZh7aZ/32bazsaDQ.7yY9nq3YuPAhXE41zl3TCJLIMvHBv6W"


def an_organization(session: Session, *, name: str = "Roost Ltd", **columns: Any) -> Organization:
    organization = Organization(id=new_id(), name=name, **columns)
    session.add(organization)
    session.flush()
    return organization


def an_actor(organization_id: OrganizationId) -> Actor:
    """Somebody in an organization, for the audit log."""
    return Actor(organization_id=organization_id)


def a_user(session: Session, *, email: str | None = None, **columns: Any) -> User:
    user = User(
        id=new_id(),
        email=email or f"{new_id()}@example.org",
        **{"password_hash": PASSWORD_HASH, "name": "Ada", "activated_at": datetime.now(UTC)}
        | columns,
    )
    session.add(user)
    session.flush()
    return user


def a_member(
    session: Session,
    organization: Organization,
    user: User | None = None,
    *,
    role: Role = Role.OWNER,
    **columns: Any,
) -> Member:
    user = user or a_user(session)
    member = Member(
        id=new_id(), organization_id=organization.id, user_id=user.id, role=role, **columns
    )
    session.add(member)
    session.flush()
    return member


def an_operator(session: Session) -> Member:
    """Add a super admin, with an organization of their own."""
    return a_member(session, an_organization(session), a_user(session, is_super_admin=True))


def an_impersonation(
    session: Session, operator: UserId, session_id: SessionId, member: Member, **columns: Any
) -> Impersonation:
    """Let a super admin act as a member, in one of their sessions, for an hour from now."""
    values = {"reason": "A test", "ends_at": clock.now() + timedelta(hours=1)}
    made = Impersonation(
        id=new_id(), operator_id=operator, session_id=session_id, member_id=member.id,
        organization_id=member.organization_id, user_id=member.user_id, **values | columns,
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def a_session(session: Session, user_id: UserId, **columns: Any) -> SessionId:
    """Add a session that was opened just now, and return its id."""
    session_id = SessionId(new_id())
    values = {"renew_hash": session_id.bytes, "expires_at": clock.now() + timedelta(days=1)}
    session.add(LoginSession(id=session_id, user_id=user_id, **values | columns))
    session.flush()
    return session_id


def a_customer(
    session: Session, organization: Organization, *, name: str = "Engines & Co"
) -> Customer:
    customer = Customer(id=new_id(), organization_id=organization.id, name=name)
    session.add(customer)
    session.flush()
    return customer


def a_channel(
    session: Session,
    organization: Organization,
    *,
    provider: str = "mastodon",
    sealed_token: bytes = b"sealed",
    **columns: Any,
) -> Channel:
    values = {
        "id": new_id(),
        "organization_id": organization.id,
        "provider": provider,
        "remote_id": str(uuid.uuid4()),
        "name": "Ada",
        "username": "ada",
        "access_token": sealed_token,
        "posting_times": [{"time": 560}, {"time": 850}, {"time": 1140}],
    }
    channel = Channel(**values | columns)
    session.add(channel)
    session.flush()
    return channel


def a_post(
    session: Session,
    channel: Channel,
    *,
    state: PostState = PostState.QUEUED,
    parent: Post | None = None,
    publish_at: datetime | None = None,
    content: str = "<p>Hello</p>",
    **columns: Any,
) -> Post:
    """Add a root, or with `parent` the part that answers it. A queued root is due at its time; a reply is due never."""
    when = publish_at or (parent.publish_at if parent else datetime.now(UTC) + timedelta(hours=1))
    key = new_id()
    values: dict[str, Any] = {
        "id": key,
        "organization_id": channel.organization_id,
        "channel_id": channel.id,
        "group_id": parent.group_id if parent else new_id(),
        "root_id": parent.root_id if parent else key,
        "parent_id": parent.id if parent else None,
        "position": parent.position + 1 if parent else 0,
        "state": state,
        "content": content,
        "content_hash": hashlib.sha256(content.encode()).hexdigest(),
        "publish_at": when,
        "due_at": when if state is PostState.QUEUED and parent is None else None,
        "published_at": when if state is PostState.PUBLISHED else None,
    }
    post = Post(**values | columns)
    with any_state(session):
        session.add(post)
        session.flush()
    return post


@contextmanager
def any_state(session: Session | Connection) -> Iterator[None]:
    """Let parts be stored in states in which no part begins."""
    session.execute(text("select set_config('tests.any_state', 'on', true)"))
    yield
    session.execute(text("select set_config('tests.any_state', 'off', true)"))


def a_media(session: Session, organization: Organization, **columns: Any) -> Media:
    key = new_id()
    values = {
        "id": key,
        "organization_id": organization.id,
        "state": MediaState.READY,
        "key": f"{organization.id}/{key}/picture.png",
        "name": "picture.png",
        "original_name": "picture.png",
        "content_type": "image/png",
        "size_bytes": 1_000,
        "width": 100,
        "height": 50,
        "variants_made": True,
        "examined": True,
    }
    media = Media(**values | columns)
    session.add(media)
    session.flush()
    return media

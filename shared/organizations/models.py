"""The tables of organizations, members, invitations, company logins, API keys, rate limits and idempotency keys."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from shared.core.crypto import Purpose
from shared.core.ids import (
    ApiKeyId,
    ConnectionId,
    CustomerId,
    DomainId,
    ImpersonationId,
    InvitationId,
    MemberId,
    OfferId,
    OrganizationId,
    RecoveryId,
    SessionId,
    UserId,
    new_id,
)
from shared.db.base import Base, SoftDelete, Timestamps
from shared.db.types import Sealed, text_enum


class Role(StrEnum):
    """A member's role, from most to least permissions."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    MEMBER = "member"
    VIEWER = "viewer"


class ShortLink(StrEnum):
    """Whether links in posts are shortened."""

    ASK = "ask"
    YES = "yes"
    NO = "no"


class Approval(StrEnum):
    """Whether posts wait for approval before they are queued."""

    NONE = "none"  # only those of members who need approval
    OPTIONAL = "optional"  # and those for which an author requests it
    REQUIRED = "required"  # all whose author may not approve


class ApprovedBy(StrEnum):
    """Who approves posts, one after the other."""

    TEAM = "team"
    CLIENT = "client"
    TEAM_THEN_CLIENT = "team_then_client"


class Organization(Timestamps, SoftDelete, Base):
    """A tenant. `shortlink` is a choice that clients keep here. Nothing is published after `plan_ends_at`; None means that the plan has no end.

    `approval` and `approved_by` are the rule for posts of channels whose customer has none of its own. `limits` overrides what
    the plan allows. From `requires_mfa_from` on, members need a second factor. With `mails_impersonations`, the owners get an
    email when a super admin begins to act as a member.
    """

    __tablename__ = "organizations"

    id: Mapped[OrganizationId] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    timezone: Mapped[str] = mapped_column(default="UTC")
    plan: Mapped[str] = mapped_column(default="ultimate")
    plan_ends_at: Mapped[datetime | None]
    is_trialing: Mapped[bool] = mapped_column(default=False)
    allow_trial: Mapped[bool] = mapped_column(default=True)
    limits: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    requires_mfa_from: Mapped[datetime | None]
    shortlink: Mapped[ShortLink] = mapped_column(
        text_enum(ShortLink), default=ShortLink.ASK, server_default=text("'ask'")
    )
    mails_impersonations: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    approval: Mapped[Approval] = mapped_column(
        text_enum(Approval), default=Approval.NONE, server_default=text("'none'")
    )
    approved_by: Mapped[ApprovedBy] = mapped_column(
        text_enum(ApprovedBy), default=ApprovedBy.TEAM, server_default=text("'team'")
    )


class Member(Timestamps, Base):
    """A user in an organization.

    What a member with `needs_approval` schedules waits until somebody approves it; one with `may_approve` decides. `customers`
    are the only ones whose channels and posts the member sees; None means all of the organization. A seat with `recovery_id` is
    closed since the person recovered their account without their second factor; with `recovery_objected_by`, an admin keeps the
    seat of an only owner closed.
    """

    __tablename__ = "members"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_id"),
        Index("ix_members_user_id", "user_id"),
        Index(
            "ix_members_recovery_id",
            "recovery_id",
            postgresql_where=text("recovery_id is not null"),
        ),
    )

    id: Mapped[MemberId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[Role] = mapped_column(text_enum(Role))
    disabled: Mapped[bool] = mapped_column(default=False)
    needs_approval: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    may_approve: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    customers: Mapped[list[CustomerId] | None] = mapped_column(ARRAY(Uuid()))
    recovery_id: Mapped[RecoveryId | None]
    recovery_objected_by: Mapped[UserId | None]


class Invitation(Timestamps, Base):
    """A seat that waits for somebody: for the person whose proven address is `email`, or if `is_open` for anybody who has the link.

    Only the SHA-256 hash of the link's token is stored. What `invited_by` may not give at the time of joining is not given.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index("ix_invitations_organization_id", "organization_id"),
        Index("ix_invitations_expires_at", "expires_at"),
        Index(
            "uq_invitations_pending",
            "organization_id",
            "email",
            unique=True,
            postgresql_where=text("not is_open and used_at is null and revoked_at is null"),
        ),
        CheckConstraint("is_open or email is not null", name="bound_or_open"),
        CheckConstraint("role <> 'owner'", name="no_owner"),
    )

    id: Mapped[InvitationId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    invited_by: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str | None]
    is_open: Mapped[bool] = mapped_column(default=False)
    role: Mapped[Role] = mapped_column(text_enum(Role))
    needs_approval: Mapped[bool] = mapped_column(default=False)
    may_approve: Mapped[bool] = mapped_column(default=False)
    customers: Mapped[list[CustomerId] | None] = mapped_column(ARRAY(Uuid()))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    revoked_at: Mapped[datetime | None]


class OwnershipOffer(Base):
    """An owner's offer to a member to own the organization, instead of the owner if `steps_down`. An owner has one at a time."""

    __tablename__ = "ownership_offers"
    __table_args__ = (
        UniqueConstraint("organization_id", "offered_by"),
        Index("ix_ownership_offers_expires_at", "expires_at"),
    )

    id: Mapped[OfferId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    offered_by: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    offered_to: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    steps_down: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]


class Impersonation(Base):
    """A super admin who acts as a member, in one session, until `ends_at` or, if that is earlier, `ended_at`.

    `reason` is what the super admin gave. Sessions and memberships are deleted earlier than these rows, so their ids are not
    foreign keys.
    """

    __tablename__ = "impersonations"
    __table_args__ = (
        Index("ix_impersonations_session_id", "session_id", "member_id"),
        Index("ix_impersonations_operator_id", "operator_id"),
        Index("ix_impersonations_organization_id", "organization_id", "started_at"),
        Index("ix_impersonations_user_id", "user_id"),
        Index("ix_impersonations_ends_at", "ends_at"),
    )

    id: Mapped[ImpersonationId] = mapped_column(primary_key=True, default=new_id)
    operator_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    session_id: Mapped[SessionId]
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    member_id: Mapped[MemberId]
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    reason: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class CompanyLogin(Timestamps, Base):
    """An organization's own login: one OpenID client at the issuer that its members sign in with.

    It speaks only for addresses of the organization's proven domains, and only inside the organization. Newcomers get `role` and
    `customers`. With `required`, members' sessions must come through it, except those of an owner with a second factor.
    """

    __tablename__ = "company_logins"
    __table_args__ = (UniqueConstraint("organization_id"),)

    id: Mapped[ConnectionId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    issuer: Mapped[str]
    client_id: Mapped[str]
    client_secret: Mapped[bytes | None] = mapped_column(Sealed(Purpose.COMPANY_LOGIN))
    role: Mapped[Role] = mapped_column(text_enum(Role), server_default=text("'member'"))
    customers: Mapped[list[CustomerId] | None] = mapped_column(ARRAY(Uuid()))
    required: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class CompanyDomain(Base):
    """A domain that an organization says is its own, and proves by a TXT record with `token`.

    It counts from `proven_at` on, for one organization alone. `missing_since`: the record was not there when it was last asked for.
    """

    __tablename__ = "company_domains"
    __table_args__ = (
        UniqueConstraint("organization_id", "domain"),
        Index(
            "uq_company_domains_proven",
            "domain",
            unique=True,
            postgresql_where=text("proven_at is not null"),
        ),
        Index(
            "ix_company_domains_checked_at",
            "checked_at",
            postgresql_where=text("proven_at is not null"),
        ),
    )

    id: Mapped[DomainId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    domain: Mapped[str]
    token: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    proven_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    missing_since: Mapped[datetime | None]


class CompanyIdentity(Base):
    """A person at a company login, found by the subject of its ID tokens, never by address."""

    __tablename__ = "company_identities"
    __table_args__ = (Index("ix_company_identities_user_id", "user_id"),)

    connection_id: Mapped[ConnectionId] = mapped_column(
        ForeignKey("company_logins.id", ondelete="CASCADE"), primary_key=True
    )
    subject: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    last_used_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class ApiKey(Timestamps, Base):
    """An API key of an organization. Only its SHA-256 hash is stored; `hint` is its last four characters.

    After a rotation the previous key works until `previous_ends_at`. `customers` limits it like a member.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("key_hash"),
        UniqueConstraint("previous_hash"),
        Index("ix_api_keys_organization_id", "organization_id"),
        Index("ix_api_keys_created_by", "created_by"),
    )

    id: Mapped[ApiKeyId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    created_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{read,write}'"))
    customers: Mapped[list[CustomerId] | None] = mapped_column(ARRAY(Uuid()))
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_ends_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class RateLimit(Base):
    """The number of calls in a window. The table is unlogged: a crash of the database empties it, which is acceptable.

    A fixed window has its start and its `count`. A rolling one has an element for each part of the window (a minute of an
    hour) with calls: the time of the newest call in `calls`, oldest part first, and the number of calls in `counts`, where a
    missing number is 1. `window_started_at` is the time of the last call, refused or not. `count` is the number of calls, or
    one more than the limit if the last call was refused.
    """

    __tablename__ = "rate_limits"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    key: Mapped[str] = mapped_column(primary_key=True)
    window_started_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    count: Mapped[int] = mapped_column(default=1)
    calls: Mapped[list[datetime]] = mapped_column(
        ARRAY(DateTime(timezone=True)), server_default=text("'{}'")
    )
    counts: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{}'"))


class IdempotencyKey(Base):
    """The response to a request with an `Idempotency-Key`, repeated when the same key is sent again."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_expires_at", "expires_at"),)

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None]
    response: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]


class DeletionKind(StrEnum):
    """What was deleted."""

    ACCOUNT = "account"
    ORGANIZATION = "organization"


class Deletion(Base):
    """A deleted account or organization, which can come back until it is erased after `erase_at`.

    The subject is named without a foreign key, because the two rows are removed together, last of all. `with_account` is the
    account with which an organization was deleted, and comes back. From `erasing_at` on, nothing comes back.

    `return_hash` and `reminder_hash` are the SHA-256 hashes of the secrets in the two mailed links that bring it back.
    """

    __tablename__ = "deletions"
    __table_args__ = (
        Index("ix_deletions_erase_at", "erase_at"),
        Index("ix_deletions_with_account", "with_account"),
        UniqueConstraint("return_hash"),
        UniqueConstraint("reminder_hash"),
    )

    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[DeletionKind] = mapped_column(text_enum(DeletionKind))
    with_account: Mapped[UserId | None]
    return_hash: Mapped[bytes] = mapped_column(LargeBinary)
    reminder_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    deleted_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    erase_at: Mapped[datetime]
    reminded_at: Mapped[datetime | None]
    erasing_at: Mapped[datetime | None]

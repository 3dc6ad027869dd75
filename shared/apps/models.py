"""The tables of third-party apps: apps, authorization codes, grants, and waiting devices."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from shared.core.ids import AppId, CustomerId, GrantId, OrganizationId, UserId, new_id
from shared.db.base import Base, SoftDelete, Timestamps


class OAuthApp(Timestamps, SoftDelete, Base):
    """An app that can ask members for consent.

    `organization_id` is None for one that registered itself (RFC 7591); unused ones are deleted. `secret_hash` is None for a
    public client. `scopes` is the maximum that it can get; None means all scopes. `refreshes`: it registered for refresh
    tokens, so its access tokens end after an hour. `client_id` begins with `pca_`, or `pcd_` if it registered itself.
    """

    __tablename__ = "oauth_apps"
    __table_args__ = (
        UniqueConstraint("client_id"),
        Index(
            "uq_oauth_apps_organization_id",
            "organization_id",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
    )

    id: Mapped[AppId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    client_id: Mapped[str]
    secret_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="", server_default=text("''"))
    picture_url: Mapped[str | None]
    redirect_uris: Mapped[list[str]] = mapped_column(ARRAY(Text))
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    refreshes: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    last_used_at: Mapped[datetime | None]


class OAuthCode(Base):
    """An authorization code, which can be exchanged once. Only its hash is stored.

    `token_hash` is the hash of the issued token, which is revoked if the code is used a second time.
    """

    __tablename__ = "oauth_codes"
    __table_args__ = (Index("ix_oauth_codes_expires_at", "expires_at"),)

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    app_id: Mapped[AppId] = mapped_column(ForeignKey("oauth_apps.id", ondelete="CASCADE"))
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    redirect_uri: Mapped[str]
    code_challenge: Mapped[str | None]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary)


class OAuthGrant(Timestamps, Base):
    """A member's consent to an app in one organization.

    There is one for each app, member, organization and `device`: a new token replaces the previous one. Only its SHA-256 hash
    is stored. A token ends if it is not used for `UNUSED_LIFE`, and at `token_ends_at` if the app refreshes it. A refresh
    token has two parts: `family_hash` is the hash of the part that stays, which identifies an old refresh token, and
    `refresh_hash` that of the whole. `customers` limits it like a member. `device` is the user code of a device, so that each computer has its own token; '' for
    other apps.
    """

    __tablename__ = "oauth_grants"
    __table_args__ = (
        UniqueConstraint("app_id", "user_id", "organization_id", "device"),
        UniqueConstraint("token_hash"),
        UniqueConstraint("family_hash"),
        Index("ix_oauth_grants_organization_id", "organization_id"),
        Index("ix_oauth_grants_user_id", "user_id"),
        Index(
            "ix_oauth_grants_revoked_at",
            "revoked_at",
            postgresql_where=text("revoked_at is not null"),
        ),
    )

    id: Mapped[GrantId] = mapped_column(primary_key=True, default=new_id)
    app_id: Mapped[AppId] = mapped_column(ForeignKey("oauth_apps.id", ondelete="CASCADE"))
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    device: Mapped[str] = mapped_column(default="", server_default=text("''"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    token_ends_at: Mapped[datetime | None]
    family_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    refresh_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    customers: Mapped[list[CustomerId] | None] = mapped_column(ARRAY(Uuid()))
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class DeviceCode(Base):
    """A device that waits until a member types its `user_code` in a browser."""

    __tablename__ = "device_codes"
    __table_args__ = (
        UniqueConstraint("user_code"),
        Index("ix_device_codes_expires_at", "expires_at"),
    )

    device_code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_code: Mapped[str]
    app_id: Mapped[AppId] = mapped_column(ForeignKey("oauth_apps.id", ondelete="CASCADE"))
    organization_id: Mapped[OrganizationId | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    user_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    last_asked_at: Mapped[datetime | None]
    approved_at: Mapped[datetime | None]
    denied_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]

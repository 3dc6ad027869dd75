"""The tables of customers, channels, pending connections, paused platforms and reports."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.crypto import Purpose
from shared.core.ids import (
    ApiKeyId,
    ChannelId,
    CustomerId,
    GrantId,
    OrganizationId,
    SessionId,
    UserId,
    new_id,
)
from shared.db.base import Base, SoftDelete, Timestamps
from shared.db.types import Sealed, text_enum
from shared.organizations.models import Approval, ApprovedBy

DISABLED_BY_PLAN = "plan"
"""The mark of a channel that is disabled because the plan includes fewer. It is enabled again when the plan allows it."""


class Customer(Timestamps, Base):
    """A client for whom an organization posts; channels are grouped by customer.

    `approval` and `approved_by` are its rule for posts; both are null where the organization's holds.
    """

    __tablename__ = "customers"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[CustomerId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    approval: Mapped[Approval | None] = mapped_column(text_enum(Approval))
    approved_by: Mapped[ApprovedBy | None] = mapped_column(text_enum(ApprovedBy))


class Channel(Timestamps, SoftDelete, Base):
    """One connected account. Tokens are sealed with the organization's id as associated data.

    `token_version` is raised by every new token, so that the refusal of an old one has no effect. `refresh_lease_until` is the
    lease of the process that renews the token. `disconnected_at` is set when the member must reconnect. `root_remote_id` is the
    account through which a page is reached. `named_host` is the host of a named server; null for the platform's own.
    `posting_times`: `[{"time": minutes, "weekdays": [0-6]?}]`, in `timezone` (IANA).
    """

    __tablename__ = "channels"
    __table_args__ = (
        Index(
            "uq_channels_account",
            "organization_id",
            "provider",
            "remote_id",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "ix_channels_organization_id",
            "organization_id",
            postgresql_where=text("deleted_at is null"),
        ),
        Index(
            "ix_channels_remote_id", "remote_id", "provider"
        ),  # of every organization, deleted or not
        Index(
            "ix_channels_customer_id",
            "customer_id",
            postgresql_where=text("customer_id is not null"),
        ),
        Index(
            "ix_channels_disabled_by",
            "organization_id",
            postgresql_where=text("disabled_by is not null"),
        ),
        Index(
            "ix_channels_token_expires_at",
            "token_expires_at",
            postgresql_where=text("deleted_at is null and disconnected_at is null"),
        ),
    )

    id: Mapped[ChannelId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    customer_id: Mapped[CustomerId | None] = mapped_column(
        ForeignKey("customers.id", ondelete="SET NULL")
    )
    provider: Mapped[str]
    remote_id: Mapped[str]
    root_remote_id: Mapped[str | None]
    named_host: Mapped[str | None]
    name: Mapped[str]
    username: Mapped[str | None]
    picture_url: Mapped[str | None]
    access_token: Mapped[bytes] = mapped_column(Sealed(Purpose.CHANNEL))
    refresh_token: Mapped[bytes | None] = mapped_column(Sealed(Purpose.CHANNEL))
    # JSON: instance, DID, app password
    details: Mapped[bytes | None] = mapped_column(Sealed(Purpose.CHANNEL))
    token_expires_at: Mapped[datetime | None]
    token_version: Mapped[int] = mapped_column(default=1)
    refresh_lease_until: Mapped[datetime | None]
    disabled: Mapped[bool] = mapped_column(default=False)
    disabled_by: Mapped[
        str | None
    ]  # `DISABLED_BY_PLAN` if the plan disabled it, None if a member did
    needs_page: Mapped[bool] = mapped_column(default=False)
    disconnected_at: Mapped[datetime | None]
    disconnected_reason: Mapped[str | None]
    posting_times: Mapped[list[dict[str, Any]]]
    timezone: Mapped[str] = mapped_column(default="UTC")
    account_settings: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default=text("'{}'")
    )
    additional_settings: Mapped[list[dict[str, Any]]] = mapped_column(
        default=list, server_default=text("'[]'")
    )


class OAuthState(Base):
    """A pending connection: the data to keep until the member's browser returns. Used once.

    One of `session_id`, `api_key_id` and `grant_id` is set: the proof with which it was started. When that ends, so does this.
    """

    __tablename__ = "oauth_states"
    __table_args__ = (Index("ix_oauth_states_expires_at", "expires_at"),)

    state: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    session_id: Mapped[SessionId | None] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE")
    )
    impersonated_by: Mapped[UserId | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE")
    )
    api_key_id: Mapped[ApiKeyId | None] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE")
    )
    grant_id: Mapped[GrantId | None] = mapped_column(
        ForeignKey("oauth_grants.id", ondelete="CASCADE")
    )
    provider: Mapped[str]
    redirect_uri: Mapped[str]
    remember: Mapped[bytes] = mapped_column(Sealed(Purpose.CONNECTING))  # JSON
    reconnects: Mapped[ChannelId | None]  # the channel to reconnect
    customer_id: Mapped[CustomerId | None]  # the customer of a new channel
    return_url: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]


class ProviderPause(Base):
    """A platform that limits our whole application. Nothing is sent to it before `until`."""

    __tablename__ = "provider_pauses"

    provider: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    reason: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class ChannelReport(Base):
    """Numbers that a platform reported, kept until `expires_at`. `subject_id` is their channel or post.

    `series`: `[[label, [[day, number]], average]]`. Unlogged: after a crash, they are requested again.
    """

    __tablename__ = "channel_reports"
    __table_args__ = (
        Index("ix_channel_reports_expires_at", "expires_at"),
        {"prefixes": ["UNLOGGED"]},
    )

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    subject_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    days: Mapped[int] = mapped_column(primary_key=True)
    series: Mapped[list[Any]]
    expires_at: Mapped[datetime]

"""The tables of users, their logins, sessions and devices, and of everything in signing in that works once."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.crypto import Purpose
from shared.core.ids import (
    ConnectionId,
    DeviceId,
    FactorId,
    LoginId,
    RecoveryId,
    SessionId,
    UserId,
    new_id,
)
from shared.db.base import Base, SoftDelete, Timestamps
from shared.db.types import Sealed, text_enum

# 244 random bits: PostgreSQL makes version 4 UUIDs by its cryptographic generator (pg_strong_random). Written as PostgreSQL
# writes it back, parentheses included: the test of migrations compares the text.
RANDOM_SEED_SQL = "sha256((uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))"


class LoginProvider(StrEnum):
    """How a user logs in."""

    LOCAL = "local"
    GITHUB = "github"
    GOOGLE = "google"
    FARCASTER = "farcaster"
    WALLET = "wallet"
    GENERIC = "generic"
    APPLE = "apple"


class ChallengeKind(StrEnum):
    """What a challenge is for.

    `LOGIN_STATE` is a login at another provider that has begun; with `REGISTRATION`, the person who finished it registers, and with
    `LINK` it waits until the owner of the address confirms it. With `SECOND_FACTOR`, the person has proven all but a second factor.
    """

    ACTIVATE = "activate"
    RESET_PASSWORD = "reset_password"  # noqa: S105, a kind
    LOGIN_STATE = "login_state"
    REGISTRATION = "registration"
    LINK = "link"
    NEW_EMAIL = "new_email"
    UNDO_EMAIL = "undo_email"
    SECOND_FACTOR = "second_factor"
    RECOVERY = "recovery"
    STOP_RECOVERY = "stop_recovery"
    PASSKEY = "passkey"


class MailedCodePurpose(StrEnum):
    """The purpose of an emailed code of the previous version."""

    ACTIVATE = "activate"
    RESET_PASSWORD = "reset_password"  # noqa: S105, a purpose


class MailKind(StrEnum):
    """A kind of email that a user can turn off."""

    SUCCESS = "success"
    FAILURE = "failure"


class User(Timestamps, SoftDelete, Base):
    """A user. `email` is stored lower-case and proven from `activated_at` on; `password_hash` is bcrypt, None without a password.

    `login_provider` is how the account was registered; how its user signs in is in `password_hash` and `logins`.

    `unsubscribe_seed` is random; unsubscribe links are derived from it (`identity/unsubscribe.py`).
    """

    __tablename__ = "users"
    __table_args__ = (
        Index(
            "uq_users_login_provider_email",
            "login_provider",
            "email",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
        Index("uq_users_email", "email", unique=True, postgresql_where=text("deleted_at is null")),
        Index(
            "ix_users_never_activated",
            "created_at",
            postgresql_where=text("activated_at is null"),
        ),
        CheckConstraint("email = lower(email)", name="email_lower"),
    )

    id: Mapped[UserId] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str]
    login_provider: Mapped[LoginProvider] = mapped_column(
        text_enum(LoginProvider), default=LoginProvider.LOCAL
    )
    remote_id: Mapped[str | None]
    password_hash: Mapped[str | None]
    name: Mapped[str] = mapped_column(default="")
    last_name: Mapped[str] = mapped_column(default="")
    bio: Mapped[str] = mapped_column(default="")
    picture_url: Mapped[str | None]
    timezone: Mapped[str] = mapped_column(default="UTC")
    activated_at: Mapped[datetime | None]
    is_super_admin: Mapped[bool] = mapped_column(default=False)
    last_read_notifications_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    sends_success_mails: Mapped[bool] = mapped_column(default=True)
    sends_failure_mails: Mapped[bool] = mapped_column(default=True)
    unsubscribe_seed: Mapped[bytes] = mapped_column(
        LargeBinary, server_default=text(RANDOM_SEED_SQL)
    )
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]


class Login(Base):
    """An account at another provider with which a user signs in, found by issuer and subject, never by address.

    `email` is the address that the provider named when the login was added, for display.
    """

    __tablename__ = "logins"
    __table_args__ = (
        Index("uq_logins_provider_issuer_subject", "provider", "issuer", "subject", unique=True),
        Index("ix_logins_user_id", "user_id"),
    )

    id: Mapped[LoginId] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    provider: Mapped[LoginProvider] = mapped_column(text_enum(LoginProvider))
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    last_used_at: Mapped[datetime | None]


class Challenge(Base):
    """Something in signing in that works once: a mailed link, or a login at another provider.

    Only the SHA-256 hash of its secret is stored. `remember` is what the next step needs; `tries` counts wrong answers. A
    `LOGIN_STATE` or `REGISTRATION` has no user if nobody is signed in.
    """

    __tablename__ = "challenges"
    __table_args__ = (
        Index("ix_challenges_user_id", "user_id", "kind"),
        Index("ix_challenges_expires_at", "expires_at"),
    )

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    kind: Mapped[ChallengeKind] = mapped_column(text_enum(ChallengeKind))
    user_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    remember: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Method(StrEnum):
    """How a person proved their identity."""

    PASSWORD = "password"  # noqa: S105, a method
    GITHUB = "github"
    GOOGLE = "google"
    FARCASTER = "farcaster"
    WALLET = "wallet"
    GENERIC = "generic"
    COMPANY = "company"
    MAIL = "mail"
    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY_CODE = "recovery_code"


class FactorKind(StrEnum):
    """A kind of second factor."""

    TOTP = "totp"
    PASSKEY = "passkey"


SECOND_FACTORS = frozenset({Method.TOTP, Method.PASSKEY, Method.RECOVERY_CODE})
"""The methods that prove a second factor."""


class Factor(Timestamps, Base):
    """A second factor of a user. It counts from `confirmed_at` on, when the user has proven that it works.

    `secret` is that of an authenticator app; `last_step` is the last of its steps that was used, so that a code works once. A passkey
    has the id and the public key of its credential, the counter of its authenticator (0 for one that is synced), and how the browser
    reaches it.
    """

    __tablename__ = "factors"
    __table_args__ = (
        Index("ix_factors_user_id", "user_id"),
        Index("uq_factors_credential_id", "credential_id", unique=True),
    )

    id: Mapped[FactorId] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[FactorKind] = mapped_column(text_enum(FactorKind))
    name: Mapped[str]
    secret: Mapped[bytes | None] = mapped_column(Sealed(Purpose.FACTOR))
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    credential_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    public_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    sign_count: Mapped[int | None] = mapped_column(BigInteger)
    transports: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    confirmed_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """A code that proves a second factor once. Only its SHA-256 hash is stored."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("ix_recovery_codes_user_id", "user_id"),)

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    used_at: Mapped[datetime | None]


class Recovery(Base):
    """The recovery of an account whose second factor is lost.

    It waits until `opens_at` and can be stopped meanwhile; then the factors are removed. `mailed_at` is when the person was last
    reminded of it.
    """

    __tablename__ = "recoveries"
    __table_args__ = (
        Index(
            "uq_recoveries_user_id",
            "user_id",
            unique=True,
            postgresql_where=text("stopped_at is null and finished_at is null"),
        ),
    )

    id: Mapped[RecoveryId] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    started_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    opens_at: Mapped[datetime]
    mailed_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    stopped_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Session(Timestamps, Base):
    """One login on one device, renewed by a rotating token of which only SHA-256 hashes are stored.

    `previous_renew_hash` stays valid until `previous_good_until`, so that parallel requests of one browser survive the
    rotation. After that, its use counts as theft and revokes the session. A session that is not renewed ends at `expires_at`,
    every session at `ends_at`. `methods` proved the person's identity at `authenticated_at`. `connection_id` is the company
    login through which the session was opened. `ip`, `country` (two letters, if a proxy says it) and `user_agent` are of the last
    renewal.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("uq_sessions_renew_hash", "renew_hash", unique=True),
        Index("ix_sessions_previous_renew_hash", "previous_renew_hash"),
        Index("ix_sessions_user_id", "user_id"),
        Index(
            "ix_sessions_connection_id",
            "connection_id",
            postgresql_where=text("connection_id is not null"),
        ),
    )

    id: Mapped[SessionId] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    renew_hash: Mapped[bytes] = mapped_column(LargeBinary)
    previous_renew_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_good_until: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(server_default=text("(now() + '90 days'::interval)"))
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    authenticated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    methods: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=text("'{password}'::text[]")
    )
    connection_id: Mapped[ConnectionId | None]
    ip: Mapped[str | None]
    country: Mapped[str | None]
    user_agent: Mapped[str | None]


class Device(Base):
    """A browser from which a user has signed in, recognized by a token in its cookie `device`.

    Only the token's SHA-256 hash is stored. Until `remembered_until`, signing in from the device needs no second factor.
    """

    __tablename__ = "devices"
    __table_args__ = (
        Index("uq_devices_user_id_token_hash", "user_id", "token_hash", unique=True),
        Index("ix_devices_last_used_at", "last_used_at"),
    )

    id: Mapped[DeviceId] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    user_agent: Mapped[str | None]
    first_used_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    last_used_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    remembered_until: Mapped[datetime | None]


class PasswordGuesses(Base):
    """How often a password or a code was guessed in a row under a key, and until when it must not be tried again.

    A key is a keyed hash of an address, alone or with a network, or names a device, a session or a user. Unlogged: a crash of the
    database empties it, which is acceptable.
    """

    __tablename__ = "password_guesses"
    __table_args__ = (
        Index("ix_password_guesses_last_at", "last_at"),
        {"prefixes": ["UNLOGGED"]},
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime]
    paused_until: Mapped[datetime | None]


class MailedCode(Base):
    """An emailed code of the previous version, which may still write here during a deployment; nothing reads it.

    Codes are challenges now, and those from before were copied. A later revision drops the table.
    """

    __tablename__ = "mailed_codes"
    __table_args__ = (Index("ix_mailed_codes_user_id", "user_id"),)

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[MailedCodePurpose] = mapped_column(text_enum(MailedCodePurpose))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

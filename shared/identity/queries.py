"""The statements that read and write users.

Users belong to no organization; each statement is limited by the user's id or address.
"""

from typing import NamedTuple

from sqlalchemy.orm import Session as DbSession

from shared.audit.queries import recording
from shared.core.ids import UserId, new_id
from shared.db.statement import Json, NoParams, NoRow, Statement, sql
from shared.identity.models import LoginProvider, MailKind

LIVE_LOGIN = sql(
    "s.revoked_at is null and s.expires_at > now() and s.ends_at > now() and u.activated_at is not null"
    " and u.deleted_at is null"
)
"""Whether the session `s` of the user `u` lets in."""


class OfUser(NamedTuple):
    user_id: UserId


class UserRow(NamedTuple):
    user_id: UserId


class OfAddress(NamedTuple):
    email: str


class Account(NamedTuple):
    user_id: UserId
    password_hash: str | None
    is_active: bool


FIND_ACCOUNT = Statement(
    "find_account",
    sql("""
        select id as user_id, password_hash, activated_at is not null as is_active
        from users where email = :email and deleted_at is null
    """),
    params=OfAddress,
    row=Account,
)
"""Find the account with a lower-case address."""


def find_account(session: DbSession, email: str) -> Account | None:
    """Find the account with a lower-case address."""
    return FIND_ACCOUNT.find(session, email)


class PasswordRow(NamedTuple):
    email: str
    password_hash: str | None


FIND_PASSWORD = Statement(
    "find_password",
    sql("""
        select email, password_hash from users
        where id = :user_id and deleted_at is null
    """),
    params=OfUser,
    row=PasswordRow,
)
"""Find the address and the password's hash of a user."""


class NewUser(NamedTuple):
    user_id: UserId
    provider: LoginProvider
    email: str
    password_hash: str | None
    name: str
    timezone: str
    active: bool


ADD_USER = Statement(
    "add_user",
    sql("""
        insert into users (id, login_provider, email, password_hash, name, last_name, bio, timezone, is_super_admin,
            sends_success_mails, sends_failure_mails, failed_logins, activated_at)
        values (:user_id, :provider, :email, :password_hash, :name, '', '', :timezone, false, true, true, 0,
            case when :active then now() end)
        on conflict (email) where deleted_at is null do nothing
        returning id as user_id
    """),
    params=NewUser,
    row=UserRow,
)
"""Add an account; no row if the address has one."""


def add_user(
    session: DbSession,
    *,
    email: str,
    password_hash: str | None,
    name: str,
    timezone: str,
    active: bool,
    provider: LoginProvider = LoginProvider.LOCAL,
) -> UserId | None:
    """Add an account; None if the address has one."""
    row = ADD_USER.find(
        session,
        user_id=UserId(new_id()),
        provider=provider,
        email=email,
        password_hash=password_hash,
        name=name,
        timezone=timezone,
        active=active,
    )
    return row.user_id if row else None


class AnyUserRow(NamedTuple):
    is_any: bool


ANY_USER = Statement(
    "any_user",
    sql("select exists (select from users where deleted_at is null) as is_any"),
    params=NoParams,
    row=AnyUserRow,
)
"""Return whether anybody has registered."""


def any_user(session: DbSession) -> bool:
    """Return whether anybody has registered."""
    return ANY_USER.one(session).is_any


class RecordOfUser(NamedTuple):
    user_id: UserId
    audit: Json


class RecordedOfUser(NamedTuple):
    stored: int


RECORD_OF_USER = Statement(
    "record_of_user",
    sql(
        "with {recording} select count(*) as stored from recorded",
        recording=recording(sql("exists (select from users where id = :user_id)")),
    ),
    params=RecordOfUser,
    row=RecordedOfUser,
)
"""Store entries of the audit log about a user, if there is one: registering costs the same whether the address is known or not."""


class Activation(NamedTuple):
    """`keeps_password`: the account keeps its password; otherwise it gets `password_hash`, which may be none."""

    user_id: UserId
    keeps_password: bool
    password_hash: str | None
    timezone: str | None


ACTIVATE = Statement(
    "activate",
    sql("""
        update users set activated_at = now(), updated_at = now(), timezone = coalesce(:timezone, timezone),
            password_hash = case when :keeps_password then password_hash else :password_hash end
        where id = :user_id and activated_at is null and deleted_at is null
    """),
    params=Activation,
    row=NoRow,
)
"""Mark a user's address as proven, with the password of the registration that proved it."""


LOCK_USER = Statement(
    "lock_user",
    sql("select id as user_id from users where id = :user_id and deleted_at is null for update"),
    params=OfUser,
    row=UserRow,
)
"""Lock a user's row until the transaction ends."""


class MarkedRow(NamedTuple):
    email: str


MARK_USER = Statement(
    "mark_user_deleted",
    sql("""
        update users set deleted_at = now(), updated_at = now() where id = :user_id and deleted_at is null
        returning email
    """),
    params=OfUser,
    row=MarkedRow,
)
"""Mark an account as deleted; no row: it is already. Whatever lets somebody in reads the mark."""

RESTORE_USER = Statement(
    "restore_user",
    sql("""
        update users u set deleted_at = null, updated_at = now()
        where u.id = :user_id and not exists (
            select from users other where other.email = u.email and other.id <> u.id and other.deleted_at is null)
        returning u.email
    """),
    params=OfUser,
    row=MarkedRow,
)
"""Remove the mark; no row: another account has the address by now."""


MAKE_SUPER_ADMIN = Statement(
    "make_super_admin",
    sql("""
        update users set is_super_admin = true, activated_at = coalesce(activated_at, now()), updated_at = now()
        where email = :email and deleted_at is null
        returning id as user_id
    """),
    params=OfAddress,
    row=UserRow,
)
"""Activate the account with a lower-case address and make it a super admin; no row if there is none."""


def make_super_admin(session: DbSession, email: str) -> UserId | None:
    """Activate the account with this lower-case address and make it a super admin; None if there is none."""
    row = MAKE_SUPER_ADMIN.find(session, email)
    return row.user_id if row else None


class PersonRow(NamedTuple):
    email: str
    name: str
    last_name: str


FIND_PERSON = Statement(
    "find_person",
    sql("select email, name, last_name from users where id = :user_id and deleted_at is null"),
    params=OfUser,
    row=PersonRow,
)
"""Find what a password must not contain: a user's address and names."""


class NewPassword(NamedTuple):
    """`proves_address`: the password is set with a mailed link, which activates the account."""

    user_id: UserId
    password_hash: str
    proves_address: bool


class ChangedPassword(NamedTuple):
    """The user's address, and whether the account was active before."""

    email: str
    was_active: bool


SET_PASSWORD = Statement(
    "set_password",
    sql("""
        with before as (
            select id, activated_at is not null as was_active from users
            where id = :user_id and deleted_at is null for update
        )
        update users u set password_hash = :password_hash, updated_at = now(),
            activated_at = case when :proves_address then coalesce(u.activated_at, now()) else u.activated_at end
        from before where u.id = before.id
        returning u.email, before.was_active
    """),
    params=NewPassword,
    row=ChangedPassword,
)
"""Set a user's password; no row if the user is gone."""


class Personal(NamedTuple):
    user_id: UserId
    name: str
    bio: str
    picture_url: str | None
    timezone: str | None


class ProfileRow(NamedTuple):
    id: UserId
    email: str
    name: str
    bio: str
    picture_url: str | None
    timezone: str


UPDATE_PERSONAL = Statement(
    "update_personal",
    sql("""
        update users set name = :name, bio = :bio, picture_url = :picture_url,
            timezone = coalesce(:timezone, timezone), updated_at = now()
        where id = :user_id
        returning id, email, name, bio, picture_url, timezone
    """),
    params=Personal,
    row=ProfileRow,
)
"""Change a user's profile and return it; a time zone of None stays as it is."""


def update_personal(
    session: DbSession,
    user_id: UserId,
    *,
    name: str,
    bio: str,
    picture_url: str | None,
    timezone: str | None,
) -> ProfileRow:
    """Change a user's profile and return it; a time zone of None stays as it is."""
    return UPDATE_PERSONAL.one(
        session, user_id, name=name, bio=bio, picture_url=picture_url, timezone=timezone
    )


class Choice(NamedTuple):
    user_id: UserId
    success: bool | None
    failure: bool | None


SET_MAIL_PREFERENCES = Statement(
    "set_mail_preferences",
    sql("""
        update users set sends_success_mails = coalesce(cast(:success as boolean), sends_success_mails),
            sends_failure_mails = coalesce(cast(:failure as boolean), sends_failure_mails), updated_at = now()
        where id = :user_id
    """),
    params=Choice,
    row=NoRow,
)
"""Choose which emails a user gets; null leaves a choice as it is."""


def set_mail_preferences(
    session: DbSession, user_id: UserId, *, success: bool, failure: bool
) -> None:
    """Choose which emails a user gets."""
    SET_MAIL_PREFERENCES.run(session, user_id, success, failure)


def switch_mails_off(session: DbSession, user_id: UserId, kind: MailKind) -> None:
    """Record that a user wants no more emails of a kind."""
    SET_MAIL_PREFERENCES.run(
        session,
        user_id,
        success=False if kind is MailKind.SUCCESS else None,
        failure=False if kind is MailKind.FAILURE else None,
    )


class FindUnsubscribeSeedRow(NamedTuple):
    unsubscribe_seed: bytes


FIND_UNSUBSCRIBE_SEED = Statement(
    "find_unsubscribe_seed",
    sql("select unsubscribe_seed from users where id = :user_id"),
    params=OfUser,
    row=FindUnsubscribeSeedRow,
)
"""Find the seed of a user's unsubscribe links."""


def find_unsubscribe_seed(session: DbSession, user_id: UserId) -> bytes | None:
    """Return the seed of a user's unsubscribe links; None if there is no such user."""
    row = FIND_UNSUBSCRIBE_SEED.find(session, user_id)
    return row.unsubscribe_seed if row else None


class MailPreferences(NamedTuple):
    sends_success_mails: bool
    sends_failure_mails: bool


GET_MAIL_PREFERENCES = Statement(
    "get_mail_preferences",
    sql("select sends_success_mails, sends_failure_mails from users where id = :user_id"),
    params=OfUser,
    row=MailPreferences,
)
"""Return which emails a user wants."""


def get_mail_preferences(session: DbSession, user_id: UserId) -> MailPreferences:
    """Return which emails a user wants."""
    return GET_MAIL_PREFERENCES.one(session, user_id)

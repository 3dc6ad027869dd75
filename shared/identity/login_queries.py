"""The statements about how a user signs in. Each is limited by the user's id, or by the login's issuer and subject."""

from datetime import datetime
from typing import NamedTuple

from shared.audit.queries import recording
from shared.core.ids import LoginId, UserId
from shared.db.statement import Json, Statement, sql
from shared.identity.models import LoginProvider
from shared.identity.queries import OfUser, UserRow


class WaysRow(NamedTuple):
    """`providers` are those of the user's logins, each once."""

    has_password: bool
    providers: list[str]


FIND_WAYS = Statement(
    "find_ways",
    sql("""
        select password_hash is not null as has_password,
            array(select distinct cast(l.provider as text) as provider from logins l where l.user_id = users.id order by provider)
                as providers
        from users where id = :user_id
    """),
    params=OfUser,
    row=WaysRow,
)
"""Find with what a user signs in."""


class KnownLogin(NamedTuple):
    provider: LoginProvider
    issuer: str
    subject: str


USE_LOGIN = Statement(
    "use_login",
    sql("""
        update logins l set last_used_at = now()
        from users u
        where l.provider = :provider and l.issuer = :issuer and l.subject = :subject and u.id = l.user_id
            and u.activated_at is not null and u.deleted_at is null
        returning l.user_id
    """),
    params=KnownLogin,
    row=UserRow,
)
"""Find whose login it is, and record its use."""


class NewLogin(NamedTuple):
    login_id: LoginId
    user_id: UserId
    provider: LoginProvider
    issuer: str
    subject: str
    email: str | None


class OneLogin(NamedTuple):
    id: LoginId


ADD_LOGIN = Statement(
    "add_login",
    sql("""
        insert into logins (id, user_id, provider, issuer, subject, email)
        values (:login_id, :user_id, :provider, :issuer, :subject, :email)
        on conflict (provider, issuer, subject) do update set email = excluded.email
            where logins.user_id = excluded.user_id
        returning id
    """),
    params=NewLogin,
    row=OneLogin,
)
"""Add a login to a user; no row if it is another user's."""


class LinkUse(NamedTuple):
    hash: bytes
    user_id: UserId
    login_id: LoginId
    audit: Json


class LinkedLogin(NamedTuple):
    provider: LoginProvider


LINK_CONFIRMED = Statement(
    "link_confirmed",
    sql(
        """
        with used as (
            update challenges set used_at = now()
            where hash = :hash and kind = 'link' and user_id = :user_id and used_at is null and expires_at > now()
            returning user_id, remember
        ), added as (
            insert into logins (id, user_id, provider, issuer, subject, email)
            select cast(:login_id as uuid), user_id, remember->>'provider', remember->>'issuer', remember->>'subject',
                remember->>'email'
            from used
            on conflict (provider, issuer, subject) do nothing
            returning provider
        ), {recording}
        select provider from added
        """,
        recording=recording(sql("exists (select from added)")),
    ),
    params=LinkUse,
    row=LinkedLogin,
)
"""Add the login that waited for the owner of its address to sign in, and record it.

No row if none waits, or it is somebody's by now.

One statement, because it comes on top of a login's.
"""


class LoginRow(NamedTuple):
    id: LoginId
    provider: LoginProvider
    email: str | None
    created_at: datetime
    last_used_at: datetime | None


LIST_LOGINS = Statement(
    "list_logins",
    sql("""
        select id, provider, email, created_at, last_used_at from logins
        where user_id = :user_id
        order by created_at, id
        limit 100
    """),
    params=OfUser,
    row=LoginRow,
)
"""List a user's logins, oldest first; at most 100."""


class LoginOfUser(NamedTuple):
    user_id: UserId
    login_id: LoginId


REMOVE_LOGIN = Statement(
    "remove_login",
    sql("""
        delete from logins where id = :login_id and user_id = :user_id
        returning provider
    """),
    params=LoginOfUser,
    row=LinkedLogin,
)
"""Remove one of a user's logins."""

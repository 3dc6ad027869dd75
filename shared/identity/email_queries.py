"""The statements that change a user's address, and undo it. Each is limited by the user's id, or frees an address for them."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import UserId
from shared.db.statement import NoRow, Statement, sql


class AddressOfUser(NamedTuple):
    user_id: UserId
    email: str


FREE_ADDRESS = Statement(
    "free_address",
    sql("""
        update users set deleted_at = now(), updated_at = now()
        where email = :email and id <> :user_id and activated_at is null and deleted_at is null
    """),
    params=AddressOfUser,
    row=NoRow,
)
"""Delete another account with an address if it was never activated: the user has proven the address."""


class OldAddress(NamedTuple):
    email: str


CHANGE_EMAIL = Statement(
    "change_email",
    sql("""
        with old as (
            select id, email from users where id = :user_id and deleted_at is null for update
        )
        update users set email = :email, updated_at = now() from old
        where users.id = old.id and old.email <> :email
            and not exists (
                select from users other where other.email = :email and other.id <> old.id and other.deleted_at is null
            )
        returning old.email
    """),
    params=AddressOfUser,
    row=OldAddress,
)
"""Change a user's address and return the old one; no row if the user has it already, or another account does."""


class Undo(NamedTuple):
    user_id: UserId
    email: str
    since: datetime


RESTORE_EMAIL = Statement(
    "restore_email",
    sql("""
        with restored as (
            update users set email = :email, password_hash = null, updated_at = now()
            where id = :user_id and deleted_at is null
                and not exists (
                    select from users other
                    where other.email = :email and other.id <> :user_id and other.deleted_at is null
                )
            returning id, email
        ), unlinked as (
            delete from logins using restored where logins.user_id = restored.id and logins.created_at >= :since
        ), unproven as (
            delete from factors using restored where factors.user_id = restored.id and factors.created_at >= :since
        ), spoiled as (
            delete from recovery_codes using restored
            where recovery_codes.user_id = restored.id and recovery_codes.created_at >= :since
        )
        select email from restored
    """),
    params=Undo,
    row=OldAddress,
)
"""Give a user their old address back, without the password and without what was added since; no row if another account has it.

One statement, so that nothing of the change is left.
"""

"""The statements about how a user signs in. Each is limited by the user's id, or by the login's issuer and subject."""

from typing import NamedTuple

from shared.db.statement import Statement, sql
from shared.identity.queries import OfUser


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

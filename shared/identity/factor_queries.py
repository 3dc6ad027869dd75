"""The statements that add, use and remove second factors and recovery codes. Each is limited by the user's id."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import FactorId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.identity.models import FactorKind
from shared.identity.queries import OfUser


class NewFactor(NamedTuple):
    id: FactorId
    user_id: UserId
    kind: FactorKind
    name: str
    secret: bytes
    most: int


class FactorAdded(NamedTuple):
    id: FactorId


ADD_PENDING_FACTOR = Statement(
    "add_pending_factor",
    sql("""
        with replaced as (
            delete from factors where user_id = :user_id and kind = :kind and confirmed_at is null
        )
        insert into factors (id, user_id, kind, name, secret)
        select cast(:id as uuid), cast(:user_id as uuid), cast(:kind as text), cast(:name as text), cast(:secret as bytea)
        where (select count(*) from factors where user_id = :user_id and confirmed_at is not null) < cast(:most as integer)
        returning id
    """),
    params=NewFactor,
    row=FactorAdded,
)
"""Add a factor that its user has not confirmed yet, in place of another such one; no row if the user has `most` already."""


class OneFactor(NamedTuple):
    user_id: UserId
    id: FactorId


class PendingFactor(NamedTuple):
    secret: bytes


FIND_PENDING_FACTOR = Statement(
    "find_pending_factor",
    sql("""
        select secret from factors
        where user_id = :user_id and id = :id and confirmed_at is null and secret is not null
            and created_at > now() - interval '1 hour'
    """),
    params=OneFactor,
    row=PendingFactor,
)
"""Find a factor that its user is about to confirm."""


class Confirmation(NamedTuple):
    user_id: UserId
    id: FactorId
    step: int
    code_hashes: list[str]


class Confirmed(NamedTuple):
    """`is_first`: recovery codes were added, because the user had no factor."""

    is_first: bool


CONFIRM_FACTOR = Statement(
    "confirm_factor",
    sql("""
        with held as (
            select count(*) as factors from factors where user_id = :user_id and confirmed_at is not null
        ),
        confirmed as (
            update factors set confirmed_at = now(), last_used_at = now(), last_step = :step, updated_at = now()
            where user_id = :user_id and id = :id and confirmed_at is null
            returning user_id
        ),
        replaced as (
            delete from recovery_codes where user_id = :user_id
                and exists (select from confirmed) and (select factors from held) = 0
        ),
        added as (
            insert into recovery_codes (code_hash, user_id)
            select decode(given.hash, 'hex'), confirmed.user_id
            from confirmed, unnest(cast(:code_hashes as text[])) as given(hash)
            where (select factors from held) = 0
        )
        select held.factors = 0 as is_first from confirmed, held
    """),
    params=Confirmation,
    row=Confirmed,
)
"""Count a factor from now on; with the first one, the recovery codes are added. No row if it was confirmed meanwhile."""


class FactorRow(NamedTuple):
    id: FactorId
    kind: FactorKind
    name: str
    confirmed_at: datetime
    last_used_at: datetime | None


LIST_FACTORS = Statement(
    "list_factors",
    sql("""
        select id, kind, name, confirmed_at, last_used_at from factors
        where user_id = :user_id and confirmed_at is not null
        order by confirmed_at, id
        limit 100
    """),
    params=OfUser,
    row=FactorRow,
)
"""List a user's factors, oldest first."""


class SecretOfFactor(NamedTuple):
    id: FactorId
    secret: bytes


LIST_TOTP_SECRETS = Statement(
    "list_totp_secrets",
    sql("""
        select id, secret from factors
        where user_id = :user_id and kind = 'totp' and confirmed_at is not null and secret is not null
        order by last_used_at desc nulls last
        limit 100
    """),
    params=OfUser,
    row=SecretOfFactor,
)
"""List the secrets of a user's authenticator apps, last used first."""


class StepOfFactor(NamedTuple):
    user_id: UserId
    id: FactorId
    step: int


USE_STEP = Statement(
    "use_totp_step",
    sql("""
        update factors set last_step = :step, last_used_at = now(), updated_at = now()
        where user_id = :user_id and id = :id and confirmed_at is not null and coalesce(last_step, -1) < :step
    """),
    params=StepOfFactor,
    row=NoRow,
)
"""Use up a step of an authenticator app and all before it. Only one of two concurrent requests can."""


class OneCode(NamedTuple):
    user_id: UserId
    code_hash: bytes


class CodesLeft(NamedTuple):
    left: int


USE_RECOVERY_CODE = Statement(
    "use_recovery_code",
    sql("""
        with used as (
            update recovery_codes set used_at = now()
            where user_id = :user_id and code_hash = :code_hash and used_at is null
            returning code_hash
        )
        select cast(count(other.code_hash) as integer) as left
        from used left join recovery_codes other
            on other.user_id = :user_id and other.used_at is null and other.code_hash <> used.code_hash
        group by used.code_hash
    """),
    params=OneCode,
    row=CodesLeft,
)
"""Use up a recovery code and count those that are left; no row if it is unknown or used."""


COUNT_RECOVERY_CODES = Statement(
    "count_recovery_codes",
    sql("""
        select cast(count(*) as integer) as left from recovery_codes where user_id = :user_id and used_at is null
    """),
    params=OfUser,
    row=CodesLeft,
)
"""Count the recovery codes that a user has left."""


class NewCodes(NamedTuple):
    user_id: UserId
    code_hashes: list[str]


REPLACE_RECOVERY_CODES = Statement(
    "replace_recovery_codes",
    sql("""
        with replaced as (
            delete from recovery_codes where user_id = :user_id
        )
        insert into recovery_codes (code_hash, user_id)
        select decode(given.hash, 'hex'), cast(:user_id as uuid) from unnest(cast(:code_hashes as text[])) as given(hash)
        where exists (select from factors where user_id = :user_id and confirmed_at is not null)
    """),
    params=NewCodes,
    row=NoRow,
)
"""Replace all recovery codes of a user who has a factor."""


class FactorsLeft(NamedTuple):
    kind: FactorKind
    name: str
    left: int


REMOVE_FACTOR = Statement(
    "remove_factor",
    sql("""
        with removed as (
            delete from factors where user_id = :user_id and id = :id and confirmed_at is not null
            returning id, kind, name
        ),
        kept as (
            select count(*) as factors from factors
            where user_id = :user_id and confirmed_at is not null and id <> :id
        ),
        useless as (
            delete from recovery_codes where user_id = :user_id
                and exists (select from removed) and (select factors from kept) = 0
        )
        select removed.kind, removed.name, cast(kept.factors as integer) as left from removed, kept
    """),
    params=OneFactor,
    row=FactorsLeft,
)
"""Remove a factor; with the last one, the recovery codes go too. No row if there is none."""

"""The statements about passkeys. A passkey is found by its credential's id, which is unique over all users."""

from typing import NamedTuple

from shared.core.ids import FactorId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.identity.factor_queries import Confirmed
from shared.identity.queries import OfUser


class NewPasskey(NamedTuple):
    id: FactorId
    user_id: UserId
    name: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]
    code_hashes: list[str]
    most: int


ADD_PASSKEY = Statement(
    "add_passkey",
    sql("""
        with held as (
            select count(*) as factors from factors where user_id = :user_id and confirmed_at is not null
        ), added as (
            insert into factors (id, user_id, kind, name, credential_id, public_key, sign_count, transports, confirmed_at,
                last_used_at)
            select cast(:id as uuid), cast(:user_id as uuid), 'passkey', cast(:name as text), cast(:credential_id as bytea),
                cast(:public_key as bytea), cast(:sign_count as bigint), cast(:transports as text[]), now(), now()
            from held where held.factors < cast(:most as integer)
            on conflict (credential_id) do nothing
            returning user_id
        ), replaced as (
            delete from recovery_codes where user_id = :user_id
                and exists (select from added) and (select factors from held) = 0
        ), codes as (
            insert into recovery_codes (code_hash, user_id)
            select decode(given.hash, 'hex'), added.user_id
            from added, unnest(cast(:code_hashes as text[])) as given(hash)
            where (select factors from held) = 0
        )
        select held.factors = 0 as is_first from added, held
    """),
    params=NewPasskey,
    row=Confirmed,
)
"""Add a passkey; with the first factor, recovery codes. No row if it is known already, or the user has `most` factors."""


class Credential(NamedTuple):
    credential_id: bytes
    transports: list[str]


LIST_CREDENTIALS = Statement(
    "list_credentials",
    sql("""
        select credential_id, coalesce(transports, '{}') as transports from factors
        where user_id = :user_id and kind = 'passkey' and confirmed_at is not null
        order by confirmed_at, id
        limit 100
    """),
    params=OfUser,
    row=Credential,
)
"""List the credentials of a user's passkeys, oldest first."""


class OneCredential(NamedTuple):
    credential_id: bytes


class PasskeyRow(NamedTuple):
    id: FactorId
    user_id: UserId
    email: str
    public_key: bytes
    sign_count: int


FIND_PASSKEY = Statement(
    "find_passkey",
    sql("""
        select f.id, f.user_id, u.email, f.public_key, coalesce(f.sign_count, 0) as sign_count
        from factors f join users u on u.id = f.user_id
        where f.credential_id = :credential_id and f.kind = 'passkey' and f.confirmed_at is not null
            and u.activated_at is not null and u.deleted_at is null
    """),
    params=OneCredential,
    row=PasskeyRow,
)
"""Find the passkey with a credential."""


class UsedPasskey(NamedTuple):
    id: FactorId
    sign_count: int


USE_PASSKEY = Statement(
    "use_passkey",
    sql("""
        update factors set sign_count = :sign_count, last_used_at = now(), updated_at = now()
        where id = :id and kind = 'passkey' and confirmed_at is not null
            and (coalesce(sign_count, 0) < :sign_count or (coalesce(sign_count, 0) = 0 and :sign_count = 0))
    """),
    params=UsedPasskey,
    row=NoRow,
)
"""Record that a passkey was used; no row if it was removed, or its counter went back. Synced passkeys always send 0."""

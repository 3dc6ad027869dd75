"""The statements that read and write organizations, their members and their API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.ids import ApiKeyId, CustomerId, MemberId, OrganizationId, UserId, new_id
from shared.db.reach import WHOLE
from shared.db.statement import Json, NoRow, Statement, sql
from shared.organizations.models import Approval, ApprovedBy, ShortLink

KEY_WRITES = "write"  # the scope of an API key that can write
KEY_PROPOSES = "propose"  # the scope of one whose posts wait for approval
LIVE_KEY = sql("k.revoked_at is null and (k.expires_at is null or k.expires_at > now())")
"""Whether the API key `k` lets in."""


class OfOrganization(NamedTuple):
    organization_id: OrganizationId


class OfMember(NamedTuple):
    organization_id: OrganizationId
    user_id: UserId


class LockedOrganization(NamedTuple):
    id: OrganizationId


class Membership(NamedTuple):
    id: MemberId


class NewOrganization(NamedTuple):
    organization_id: OrganizationId
    member_id: MemberId
    owner: UserId
    name: str
    timezone: str
    plan: str


ADD_ORGANIZATION = Statement(
    "add_organization",
    sql("""
        with added as (
            insert into organizations (id, name, description, timezone, plan, is_trialing, allow_trial)
            select cast(:organization_id as uuid), cast(:name as text), '', cast(:timezone as text), :plan, false, true
            where exists (select from users where id = :owner)
            returning id
        )
        insert into members (id, organization_id, user_id, role, disabled)
        select cast(:member_id as uuid), id, cast(:owner as uuid), 'owner', false from added
    """),
    params=NewOrganization,
    row=NoRow,
)
"""Add an organization with its owner, if there is such a user. One statement, so that neither is without the other."""


class OrganizationRow(NamedTuple):
    id: OrganizationId
    name: str
    description: str
    timezone: str
    plan: str
    mails_impersonations: bool


FIND_ORGANIZATION = Statement(
    "find_organization",
    sql(
        """
        select id, name, description, timezone, plan, mails_impersonations from organizations
        where id = :organization_id
        """
    ),
    params=OfOrganization,
    row=OrganizationRow,
)
"""Find an organization."""

LOCK_ORGANIZATION = Statement(
    "lock_organization",
    sql("select id from organizations where id = :organization_id for no key update"),
    params=OfOrganization,
    row=LockedOrganization,
)
"""Lock the organization's row until the transaction ends."""


def add_organization(
    session: Session, owner: UserId, *, name: str, timezone: str
) -> OrganizationId:
    """Add an organization with its owner, and return its id. Nothing is added for a user who does not exist.

    It begins with the smallest plan if plans bind, otherwise with the largest.
    """
    organization_id = OrganizationId(new_id())
    ADD_ORGANIZATION.run(
        session,
        organization_id=organization_id,
        member_id=MemberId(new_id()),
        owner=owner,
        name=name,
        timezone=timezone,
        plan="free" if settings().billing else "ultimate",
    )
    return organization_id


def get_organization(session: Session, organization_id: OrganizationId) -> OrganizationRow:
    """Return an organization's name, description and time zone."""
    return FIND_ORGANIZATION.one(session, organization_id)


def lock_organization(session: Session, organization_id: OrganizationId) -> None:
    """Lock the organization's row for this transaction: take it before counting something that this transaction adds to."""
    LOCK_ORGANIZATION.all(session, organization_id)


class ShortLinkRow(NamedTuple):
    shortlink: ShortLink


GET_SHORTLINK = Statement(
    "get_shortlink",
    sql("select shortlink from organizations where id = :organization_id"),
    params=OfOrganization,
    row=ShortLinkRow,
)
"""Return whether the organization wants links to be shortened."""


class ShortLinkChoice(NamedTuple):
    organization_id: OrganizationId
    shortlink: ShortLink


SET_SHORTLINK = Statement(
    "set_shortlink",
    sql("""
        update organizations set shortlink = :shortlink, updated_at = now() where id = :organization_id
        returning shortlink
    """),
    params=ShortLinkChoice,
    row=ShortLinkRow,
)
"""Choose whether the organization wants links to be shortened."""


class SecurityRow(NamedTuple):
    requires_mfa_from: datetime | None


GET_SECURITY = Statement(
    "get_security",
    sql("select requires_mfa_from from organizations where id = :organization_id"),
    params=OfOrganization,
    row=SecurityRow,
)
"""Return from when on the organization requires a second factor; null if it requires none."""


class SecurityChoice(NamedTuple):
    """`grace_days`: after how many days a second factor is required; None: none is."""

    organization_id: OrganizationId
    grace_days: int | None


SET_SECURITY = Statement(
    "set_security",
    sql("""
        update organizations set requires_mfa_from = now() + make_interval(days => cast(:grace_days as integer)),
            updated_at = now()
        where id = :organization_id
        returning requires_mfa_from
    """),
    params=SecurityChoice,
    row=SecurityRow,
)
"""Require a second factor after some days, or none."""


class OfCustomer(NamedTuple):
    organization_id: OrganizationId
    customer_id: CustomerId


FORGET_CUSTOMER_OF_MEMBERS = Statement(
    "forget_customer_of_members",
    sql("""
        with of_members as (
            update members set customers = array_remove(customers, :customer_id), updated_at = now()
            where organization_id = :organization_id and :customer_id = any(customers)
        )
        update api_keys set customers = array_remove(customers, :customer_id), updated_at = now()
        where organization_id = :organization_id and :customer_id = any(customers)
    """),
    params=OfCustomer,
    row=NoRow,
)
"""Remove a customer from those that members and keys are limited to. One statement, because it is one fact."""


class OrganizationChanges(NamedTuple):
    """`changes`: the columns to change, with their values."""

    organization_id: OrganizationId
    changes: Json


CHANGE_ORGANIZATION = Statement(
    "change_organization",
    sql("""
        update organizations o set updated_at = now(), (name, description, timezone, mails_impersonations) = (
            select changed.name, changed.description, changed.timezone, changed.mails_impersonations
            from jsonb_populate_record(o, cast(:changes as jsonb)) changed)
        where o.id = :organization_id
        returning o.id, o.name, o.description, o.timezone, o.plan, o.mails_impersonations
    """),
    params=OrganizationChanges,
    row=OrganizationRow,
)
"""Change an organization and return it."""


class Founder(NamedTuple):
    user_id: UserId


class Founded(NamedTuple):
    user_id: UserId
    name: str
    timezone: str


RENAME_FOUNDED = Statement(
    "rename_founded",
    sql("""
        update organizations o set name = :name, timezone = :timezone, updated_at = now()
        from members m
        where m.user_id = :user_id and m.role = 'owner' and o.id = m.organization_id and o.deleted_at is null
            and not exists (select from members other where other.organization_id = o.id and other.user_id <> m.user_id)
    """),
    params=Founded,
    row=NoRow,
)
"""Rename the organization that a new user registered with, which has no other member."""

DELETE_FOUNDED = Statement(
    "delete_founded",
    sql("""
        delete from organizations o using members m
        where m.user_id = :user_id and m.role = 'owner' and o.id = m.organization_id
            and not exists (select from members other where other.organization_id = o.id and other.user_id <> m.user_id)
    """),
    params=Founder,
    row=NoRow,
)
"""Delete the organization that a user registered with, who was never active, and joins another one instead."""


class OfUser(NamedTuple):
    user_id: UserId


class OwnedCount(NamedTuple):
    total: int


COUNT_OWNED = Statement(
    "count_owned_organizations",
    sql("""
        select count(*) as total from members m join organizations o on o.id = m.organization_id
        where m.user_id = :user_id and m.role = 'owner' and o.deleted_at is null
    """),
    params=OfUser,
    row=OwnedCount,
)
"""Count the organizations that a user owns."""


class MembershipRow(NamedTuple):
    id: OrganizationId
    name: str
    description: str
    created_at: datetime
    role: str
    disabled: bool


LIST_MEMBERSHIPS = Statement(
    "list_memberships",
    sql("""
        select o.id, o.name, o.description, o.created_at, m.role, m.disabled
        from organizations o join members m on m.organization_id = o.id
        where m.user_id = :user_id and o.deleted_at is null
        order by m.created_at, m.id
        limit 1000
    """),
    params=OfUser,
    row=MembershipRow,
)
"""List a user's organizations, first joined first; at most 1,000."""

FIND_MEMBERSHIP = Statement(
    "find_membership",
    sql("""
        select m.id from members m join organizations o on o.id = m.organization_id
        where m.organization_id = :organization_id and m.user_id = :user_id and not m.disabled
            and m.recovery_id is null and o.deleted_at is null
    """),
    params=OfMember,
    row=Membership,
)
"""Find a user's open membership of an organization."""


class Search(NamedTuple):
    pattern: str
    user_id: UserId | None


class FoundMember(NamedTuple):
    id: MemberId
    role: str
    user_id: UserId
    email: str
    name: str
    organization_id: OrganizationId
    organization_name: str
    plan: str


SEARCH_MEMBERS = Statement(
    "search_members",
    sql("""
        select m.id, m.role, u.id as user_id, u.email, u.name, o.id as organization_id,
            o.name as organization_name, o.plan
        from members m join users u on u.id = m.user_id join organizations o on o.id = m.organization_id
        where (u.name ilike :pattern or u.email ilike :pattern or u.id = :user_id)
            and u.deleted_at is null and not m.disabled and o.deleted_at is null
        order by u.email, m.id
        limit 20
    """),
    params=Search,
    row=FoundMember,
)
"""List members of any organization; at most 20. For super admins: it crosses organizations."""

FIND_SUPER_ADMIN = Statement(
    "find_super_admin",
    sql("""
        select m.id from members m join users u on u.id = m.user_id
        where m.organization_id = :organization_id and m.user_id = :user_id and not m.disabled
            and u.is_super_admin and u.activated_at is not null and u.deleted_at is null
        limit 1
    """),
    params=OfMember,
    row=Membership,
)
"""Find a super admin's membership."""


def list_memberships(session: Session, user_id: UserId) -> Sequence[MembershipRow]:
    """List a user's organizations, first joined first; at most 1,000."""
    return LIST_MEMBERSHIPS.all(session, user_id)


def find_membership(
    session: Session, organization_id: OrganizationId, user_id: UserId
) -> MemberId | None:
    """Find the id of a user's open membership of an organization."""
    row = FIND_MEMBERSHIP.find(session, organization_id, user_id)
    return row.id if row else None


def search_members(session: Session, words: str) -> Sequence[FoundMember]:
    """List members of any organization by a part of the user's name or address, or by the user's id; at most 20."""
    pattern = f"%{words.replace('%', '')}%"
    return SEARCH_MEMBERS.all(session, pattern, _uuid(words))


def is_super_admin(session: Session, organization_id: OrganizationId, user_id: UserId) -> bool:
    """Return whether a member of the organization administers the whole installation."""
    return FIND_SUPER_ADMIN.find(session, organization_id, user_id) is not None


# --- API keys --------------------------------------------------------------------------------------------------


class Count(NamedTuple):
    total: int


COUNT_API_KEYS = Statement(
    "count_api_keys",
    sql("""
        select count(*) as total from api_keys where organization_id = :organization_id and revoked_at is null
    """),
    params=OfOrganization,
    row=Count,
)
"""Count the keys that are not revoked."""


class NewApiKey(NamedTuple):
    organization_id: OrganizationId
    key_id: ApiKeyId
    created_by: UserId | None
    name: str
    key_hash: bytes
    hint: str
    scopes: list[str]
    customers: list[CustomerId] | None
    expires_at: datetime | None


class KeyRow(NamedTuple):
    id: ApiKeyId
    name: str
    hint: str
    scopes: list[str]
    customers: list[CustomerId] | None
    created_by: UserId | None
    previous_ends_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


_KEY = sql("""
    k.id, k.name, k.hint, k.scopes, k.customers, k.created_by, k.previous_ends_at, k.created_at, k.last_used_at,
    k.expires_at
""")
# A key that sees more than the caller would let them see more.
_KEY_IN_REACH = sql("({whole} or k.customers <@ cast(:customers as uuid[]))", whole=WHOLE)
ADD_API_KEY = Statement(
    "add_api_key",
    sql(
        """
        insert into api_keys as k
            (id, organization_id, created_by, name, key_hash, hint, scopes, customers, expires_at)
        values (:key_id, :organization_id, :created_by, :name, :key_hash, :hint, :scopes, cast(:customers as uuid[]),
            :expires_at)
        returning {key}
        """,
        key=_KEY,
    ),
    params=NewApiKey,
    row=KeyRow,
)
"""Add a key and return it."""


class Visible(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None


LIST_API_KEYS = Statement(
    "list_api_keys",
    sql(
        """
        select {key} from api_keys k
        where k.organization_id = :organization_id and k.revoked_at is null and {in_reach}
        order by k.id desc
        """,
        key=_KEY,
        in_reach=_KEY_IN_REACH,
    ),
    params=Visible,
    row=KeyRow,
)
"""List the keys that are not revoked and see no more than the caller, newest first."""


class RotatedKey(NamedTuple):
    """`kept_seconds` None: the previous key stops at once."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    key_id: ApiKeyId
    key_hash: bytes
    hint: str
    kept_seconds: float | None


ROTATE_API_KEY = Statement(
    "rotate_api_key",
    sql(
        """
        update api_keys k set key_hash = :key_hash, hint = :hint, updated_at = now(),
            previous_hash = case when cast(:kept_seconds as float8) is not null then k.key_hash end,
            previous_ends_at = now() + make_interval(secs => cast(:kept_seconds as float8))
        where k.organization_id = :organization_id and k.id = :key_id and k.revoked_at is null and {in_reach}
        returning {key}
        """,
        key=_KEY,
        in_reach=_KEY_IN_REACH,
    ),
    params=RotatedKey,
    row=KeyRow,
)
"""Replace a key, which still works for a while; no row: there is no such key."""


class OneKey(NamedTuple):
    organization_id: OrganizationId
    customers: list[CustomerId] | None
    key_id: ApiKeyId


REVOKE_API_KEY = Statement(
    "revoke_api_key",
    sql(
        """
        update api_keys k set revoked_at = now(), previous_hash = null, updated_at = now()
        where k.organization_id = :organization_id and k.id = :key_id and k.revoked_at is null and {in_reach}
        """,
        in_reach=_KEY_IN_REACH,
    ),
    params=OneKey,
    row=NoRow,
)
"""Revoke a key."""


class KeysOfMaker(NamedTuple):
    """`organization_id` None: in every organization. `kept`: the keys that stay."""

    organization_id: OrganizationId | None
    created_by: UserId
    kept: list[ApiKeyId]


class RevokedKey(NamedTuple):
    id: ApiKeyId
    name: str
    organization_id: OrganizationId


REVOKE_KEYS_OF = Statement(
    "revoke_api_keys_of",
    sql("""
        update api_keys set revoked_at = now(), previous_hash = null, updated_at = now()
        where created_by = :created_by and revoked_at is null and id <> all(cast(:kept as uuid[]))
            and (cast(:organization_id as uuid) is null or organization_id = cast(:organization_id as uuid))
        returning id, name, organization_id
    """),
    params=KeysOfMaker,
    row=RevokedKey,
)
"""Revoke the keys that a user made."""


class KeyIdRow(NamedTuple):
    id: ApiKeyId


LIST_KEYS_OF_MEMBER = Statement(
    "list_keys_of_member",
    sql("""
        select id from api_keys
        where organization_id = :organization_id and created_by = :user_id and revoked_at is null
    """),
    params=OfMember,
    row=KeyIdRow,
)
"""List the keys that a member created."""


class KeyChanges(NamedTuple):
    """`changes`: the columns to change, with their values."""

    organization_id: OrganizationId
    customers: list[CustomerId] | None
    key_id: ApiKeyId
    changes: Json


CHANGE_API_KEY = Statement(
    "change_api_key",
    sql(
        """
        update api_keys k set updated_at = now(), (name, scopes, customers, expires_at) = (
            select changed.name, changed.scopes, changed.customers, changed.expires_at
            from jsonb_populate_record(k, cast(:changes as jsonb)) changed)
        where k.organization_id = :organization_id and k.id = :key_id and k.revoked_at is null and {in_reach}
        returning {key}
        """,
        key=_KEY,
        in_reach=_KEY_IN_REACH,
    ),
    params=KeyChanges,
    row=KeyRow,
)
"""Change a key's name, scopes, customers or end; no row: there is no such key."""


def _uuid(words: str) -> UserId | None:
    try:
        return UserId(UUID(words))
    except ValueError:
        return None


class ApprovalRow(NamedTuple):
    approval: Approval
    approved_by: ApprovedBy


GET_APPROVAL = Statement(
    "get_approval",
    sql("select approval, approved_by from organizations where id = :organization_id"),
    params=OfOrganization,
    row=ApprovalRow,
)
"""Return the organization's rule for the approval of posts."""


class NewApproval(NamedTuple):
    organization_id: OrganizationId
    approval: str
    approved_by: str


SET_APPROVAL = Statement(
    "set_approval",
    sql("""
        update organizations set approval = :approval, approved_by = :approved_by, updated_at = now()
        where id = :organization_id
    """),
    params=NewApproval,
    row=NoRow,
)
"""Set the organization's rule for the approval of posts."""

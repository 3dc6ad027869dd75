"""Creates, changes, rotates and revokes an organization's API keys. A key is shown once and stored as a hash."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core import clock
from shared.core.crypto import hash_secret, new_secret
from shared.core.errors import FieldProblem, InvalidInput
from shared.core.ids import ApiKeyId, CustomerId, UserId, new_id
from shared.core.reach import Reach
from shared.db.statement import to_json
from shared.organizations import queries
from shared.organizations.errors import NoSuchApiKey, NotOneApiKey, TooManyApiKeys
from shared.organizations.schemas import ApiKeyChange, ApiKeyMade, ApiKeyOut

MOST_KEYS = 50
_PREFIX = "roost_"  # lets scanners recognize leaked keys
_HINT_CHARACTERS = 4


def make_api_key(
    session: Session,
    actor: Actor,
    created_by: UserId,
    *,
    name: str,
    scopes: tuple[str, ...],
    customers: list[CustomerId] | None,
    expires_at: datetime | None,
) -> ApiKeyMade:
    """Create an API key. Only this answer shows it. It sees no more than `customers`; None is no limit.

    Raises:
        InvalidInput: its expiry has already passed.
        TooManyApiKeys: the organization already has `MOST_KEYS`.
    """
    _check_end(expires_at)
    organization_id = actor.organization
    queries.lock_organization(session, organization_id)
    if queries.COUNT_API_KEYS.one(session, organization_id).total >= MOST_KEYS:
        raise TooManyApiKeys(MOST_KEYS)
    key = _new_key()
    row = queries.ADD_API_KEY.one(
        session,
        organization_id=organization_id,
        key_id=ApiKeyId(new_id()),
        created_by=created_by,
        name=name,
        key_hash=hash_secret(key),
        hint=key[-_HINT_CHARACTERS:],
        scopes=list(scopes),
        customers=customers,
        expires_at=expires_at,
    )
    record(session, actor, Action.API_KEY_CREATED, row.id, after=_recorded(row))
    return ApiKeyMade(**row._asdict(), key=key)


def change_api_key(
    session: Session,
    reach: Reach,
    actor: Actor,
    key_id: ApiKeyId,
    wanted: ApiKeyChange,
    *,
    customers: list[CustomerId] | None,
) -> ApiKeyOut:
    """Change an API key's name, scopes, customers or expiry. `customers` are used if `wanted` has any.

    Raises:
        InvalidInput: it would have expired already.
        NoSuchApiKey: there is no such key, or it sees more than the caller.
    """
    _check_end(wanted.expires_at)
    values: dict[str, Any] = {"name": wanted.name} if wanted.name else {}
    if wanted.scopes:
        values["scopes"] = sorted(wanted.scopes)
    if "customers" in wanted.model_fields_set:
        values["customers"] = None if customers is None else [str(one) for one in customers]
    if "expires_at" in wanted.model_fields_set:
        ends = wanted.expires_at
        values["expires_at"] = ends.isoformat() if ends else None
    row = queries.CHANGE_API_KEY.find(session, *reach, key_id, to_json(values))
    if row is None:
        raise NoSuchApiKey
    record(session, actor, Action.API_KEY_UPDATED, key_id, after=_recorded(row))
    return ApiKeyOut.model_validate(row)


def rotate_api_key(
    session: Session, reach: Reach, actor: Actor, key_id: ApiKeyId, *, keep_old_for: timedelta
) -> ApiKeyMade:
    """Rotate an API key: the new one has the same name, scopes, customers and expiry.

    The old one can stay valid for some hours.

    Raises:
        NoSuchApiKey: there is no such key, or it sees more than the caller.
    """
    key = _new_key()
    row = queries.ROTATE_API_KEY.find(
        session,
        *reach,
        key_id,
        key_hash=hash_secret(key),
        hint=key[-_HINT_CHARACTERS:],
        kept_seconds=keep_old_for.total_seconds() if keep_old_for else None,
    )
    if row is None:
        raise NoSuchApiKey
    record(session, actor, Action.API_KEY_ROTATED, key_id)
    return ApiKeyMade(**row._asdict(), key=key)


def rotate_only_api_key(session: Session, reach: Reach, actor: Actor) -> ApiKeyMade:
    """Rotate the only API key that the caller sees, which ends at once.

    Raises:
        NotOneApiKey: there are several, or none.
    """
    queries.lock_organization(session, reach.organization_id)
    rows = queries.LIST_API_KEYS.all(session, *reach)
    if len(rows) != 1:
        raise NotOneApiKey(len(rows))
    return rotate_api_key(session, reach, actor, rows[0].id, keep_old_for=timedelta(0))


def revoke_api_key(session: Session, reach: Reach, actor: Actor, key_id: ApiKeyId) -> None:
    """Revoke an API key and the one before its rotation: the next request with either is refused.

    Raises:
        NoSuchApiKey: there is no such key, or it sees more than the caller.
    """
    if not queries.REVOKE_API_KEY.run(session, *reach, key_id):
        raise NoSuchApiKey
    record(session, actor, Action.API_KEY_REVOKED, key_id)


def _recorded(row: queries.KeyRow) -> dict[str, Any]:
    """Return what the audit log shows of a key."""
    return {"scopes": row.scopes, "expiresAt": row.expires_at}


def _new_key() -> str:
    return _PREFIX + new_secret()


def _check_end(expires_at: datetime | None) -> None:
    if expires_at and expires_at <= clock.now():
        message = "This time has passed. Choose a later time, or leave it out."
        problem = FieldProblem("expiresAt", "date_in_the_past", message)
        raise InvalidInput(message, problems=[problem])

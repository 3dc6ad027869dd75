"""The entries of the audit log: which actions there are, who acted, and which fields an entry may show.

A new action is a member of `Action`; a new field of `before` or `after` is an entry of `FIELDS`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.core.ids import (
    ApiKeyId,
    AuditEventId,
    GrantId,
    OrganizationId,
    SessionId,
    UserId,
    new_id,
)
from shared.db.statement import Json


class Action(StrEnum):
    """What was done: the kind of its subject, a dot, and a verb in the past tense."""

    ACCOUNT_REGISTERED = "account.registered"
    ACCOUNT_ACTIVATED = "account.activated"
    ACCOUNT_UPDATED = "account.updated"
    ACCOUNT_MAILS_CHANGED = "account.mails_changed"
    ACCOUNT_PASSWORD_CHANGED = "account.password_changed"  # noqa: S105  an action
    ACCOUNT_EMAIL_CHANGED = "account.email_changed"
    ACCOUNT_EMAIL_RESTORED = "account.email_restored"
    ACCOUNT_SESSIONS_ENDED = "account.sessions_ended"
    ACCOUNT_LOGIN_REFUSED = "account.login_refused"
    FACTOR_ADDED = "factor.added"
    FACTOR_REMOVED = "factor.removed"
    RECOVERY_CODES_REPLACED = "recovery_codes.replaced"
    RECOVERY_STARTED = "recovery.started"
    RECOVERY_STOPPED = "recovery.stopped"
    RECOVERY_FINISHED = "recovery.finished"
    RECOVERY_OBJECTED = "recovery.objected"
    RECOVERY_AGREED = "recovery.agreed"
    DEVICE_FORGOTTEN = "device.forgotten"
    ACCOUNT_DELETED = "account.deleted"
    ACCOUNT_RESTORED = "account.restored"
    ACCOUNT_ERASED = "account.erased"
    SESSION_STARTED = "session.started"
    SESSION_CONFIRMED = "session.confirmed"
    SESSION_ENDED = "session.ended"
    LOGIN_ADDED = "login.added"
    LOGIN_REMOVED = "login.removed"
    IMPERSONATION_STARTED = "impersonation.started"
    IMPERSONATION_ENDED = "impersonation.ended"
    ANNOUNCEMENT_CREATED = "announcement.created"
    ANNOUNCEMENT_DELETED = "announcement.deleted"
    ORGANIZATION_CREATED = "organization.created"
    ORGANIZATION_UPDATED = "organization.updated"
    ORGANIZATION_SECURITY_CHANGED = "organization.security_changed"
    ORGANIZATION_DELETED = "organization.deleted"
    ORGANIZATION_RESTORED = "organization.restored"
    ORGANIZATION_ERASED = "organization.erased"
    COMPANY_LOGIN_CREATED = "company_login.created"
    COMPANY_LOGIN_UPDATED = "company_login.updated"
    COMPANY_LOGIN_DELETED = "company_login.deleted"
    COMPANY_DOMAIN_ADDED = "company_domain.added"
    COMPANY_DOMAIN_PROVEN = "company_domain.proven"
    COMPANY_DOMAIN_LAPSED = "company_domain.lapsed"
    COMPANY_DOMAIN_REMOVED = "company_domain.removed"
    MEMBER_JOINED = "member.joined"
    MEMBER_UPDATED = "member.updated"
    MEMBER_REMOVED = "member.removed"
    MEMBER_LEFT = "member.left"
    INVITATION_CREATED = "invitation.created"
    INVITATION_RESENT = "invitation.resent"
    INVITATION_REVOKED = "invitation.revoked"
    OWNERSHIP_OFFERED = "ownership.offered"
    OWNERSHIP_ACCEPTED = "ownership.accepted"
    OWNERSHIP_WITHDRAWN = "ownership.withdrawn"
    API_KEY_CREATED = "api_key.created"
    API_KEY_UPDATED = "api_key.updated"
    API_KEY_ROTATED = "api_key.rotated"
    API_KEY_REVOKED = "api_key.revoked"
    APP_REGISTERED = "app.registered"
    APP_ALLOWED = "app.allowed"
    APP_DENIED = "app.denied"
    APP_CREATED = "app.created"
    APP_UPDATED = "app.updated"
    APP_SECRET_ROTATED = "app.secret_rotated"  # noqa: S105  an action
    APP_DELETED = "app.deleted"
    GRANT_CREATED = "grant.created"
    GRANT_REVOKED = "grant.revoked"
    CUSTOMER_CREATED = "customer.created"
    CUSTOMER_UPDATED = "customer.updated"
    CUSTOMER_DELETED = "customer.deleted"
    CHANNEL_CONNECTED = "channel.connected"
    CHANNEL_UPDATED = "channel.updated"
    CHANNEL_DELETED = "channel.deleted"
    MEDIA_UPLOADED = "media.uploaded"
    MEDIA_UPDATED = "media.updated"
    MEDIA_DELETED = "media.deleted"
    POST_COMPOSED = "post.composed"
    POST_EDITED = "post.edited"
    POST_RESCHEDULED = "post.rescheduled"
    POST_QUEUED = "post.queued"
    POST_CANCELLED = "post.cancelled"
    POST_DUPLICATED = "post.duplicated"
    POST_CONFIRMED = "post.confirmed"
    POST_RESENT = "post.resent"
    POST_RELEASE_NAMED = "post.release_named"
    POST_REST_DELETED = "post.rest_deleted"
    POST_DELETED = "post.deleted"
    POST_REVIEW_REQUESTED = "post.review_requested"
    POST_REVIEW_WITHDRAWN = "post.review_withdrawn"
    POST_APPROVED = "post.approved"
    POST_DECLINED = "post.declined"
    TAG_CREATED = "tag.created"
    TAG_UPDATED = "tag.updated"
    TAG_DELETED = "tag.deleted"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_UPDATED = "webhook.updated"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105  an action
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_REDELIVERED = "webhook.redelivered"
    WEBHOOK_DELETED = "webhook.deleted"

    @property
    def subject_kind(self) -> str:
        """Return what the action is done to."""
        return self.value.partition(".")[0]


FIELDS = frozenset(
    {
        "approval",
        "approvedBy",
        "channelId",
        "customerId",
        "customers",
        "disabled",
        "expiresAt",
        "mailsImpersonations",
        "kind",
        "mayApprove",
        "memberId",
        "methods",
        "needsApproval",
        "provider",
        "publishDate",
        "reason",
        "review",
        "requiresMfaFrom",
        "required",
        "role",
        "scopes",
        "state",
        "timezone",
    }
)
"""The fields that `before` and `after` may have. None of them contains what somebody wrote."""

# Ids, members of enums, times and zones. Names and addresses have spaces or `@` sooner or later.
_PLAIN_TEXT = re.compile(r"[\w.:/+-]{0,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, by which credential, and from where; None is what does not apply.

    `user_id` is the person in whose name they act, `impersonated_by` the super admin in their place. `address` is a network
    address.
    """

    organization_id: OrganizationId | None = None
    user_id: UserId | None = None
    impersonated_by: UserId | None = None
    session_id: SessionId | None = None
    api_key_id: ApiKeyId | None = None
    grant_id: GrantId | None = None
    link_id: UUID | None = None
    request_id: str | None = None
    address: str | None = None

    @property
    def organization(self) -> OrganizationId:
        """Return the organization, in a use case of an organization's member."""
        if self.organization_id is None:
            raise ValueError("this actor is in no organization")
        return self.organization_id

    @property
    def person(self) -> UserId:
        """Return the person, in a use case of somebody who is signed in."""
        if self.user_id is None:
            raise ValueError("this actor is nobody who is signed in")
        return self.user_id

    def as_user(self, user_id: UserId, session_id: SessionId | None = None) -> "Actor":
        """Return the actor whose identity a request has just proven."""
        return replace(self, user_id=user_id, session_id=session_id or self.session_id)

    def in_organization(self, organization_id: OrganizationId) -> "Actor":
        """Return the actor in an organization that their credential does not name."""
        return replace(self, organization_id=organization_id)


NOBODY = Actor()
"""An actor about which nothing is known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done, and to what. `before` and `after` have only fields of `FIELDS`; None if there is nothing to show."""

    action: Action
    subject_id: UUID | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


_ACTOR_COLUMNS = tuple(field.name for field in fields(Actor))


def entries_json(actor: Actor, *entries: Entry) -> Json:
    """Serialize entries for the parameter `audit` of a statement (`shared/audit/queries.py`).

    Raises:
        ValueError: a field is not listed, or its value is free text.
    """
    who = {name: value for name in _ACTOR_COLUMNS if (value := getattr(actor, name)) is not None}
    rows = [
        {
            **who,
            "id": AuditEventId(new_id()),
            "action": entry.action,
            "subject_kind": entry.action.subject_kind,
            "subject_id": entry.subject_id,
            "before": _listed(entry.before),
            "after": _listed(entry.after),
        }
        for entry in entries
    ]
    return json.dumps(rows, default=_as_text, separators=(",", ":"))


def _listed(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not values:
        return None
    for name, value in values.items():
        if name not in FIELDS:
            raise ValueError(f"{name} is not a field of shared.audit.events.FIELDS")
        _check_plain(name, value)
    return dict(values)


def _check_plain(name: str, value: object) -> None:
    for one in value if isinstance(value, list | tuple | set | frozenset) else (value,):
        if isinstance(one, str) and not _PLAIN_TEXT.fullmatch(one):
            raise ValueError(f"{name} contains free text, which the audit log must not keep")


def _as_text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be in the audit log")

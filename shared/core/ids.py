"""The types of ids, one for each entity, and how ids are created."""

import uuid
from typing import NewType, TypeVar

import uuid_utils.compat

OrganizationId = NewType("OrganizationId", uuid.UUID)
"""A row of `organizations`."""
UserId = NewType("UserId", uuid.UUID)
"""A row of `users`."""
MemberId = NewType("MemberId", uuid.UUID)
"""A row of `members`: a user in an organization."""
InvitationId = NewType("InvitationId", uuid.UUID)
"""A row of `invitations`."""
OfferId = NewType("OfferId", uuid.UUID)
"""A row of `ownership_offers`."""
SessionId = NewType("SessionId", uuid.UUID)
"""A row of `sessions`."""
LoginId = NewType("LoginId", uuid.UUID)
"""A row of `logins`: an account at another provider with which a user signs in."""
FactorId = NewType("FactorId", uuid.UUID)
"""A row of `factors`: a second factor of a user."""
RecoveryId = NewType("RecoveryId", uuid.UUID)
"""A row of `recoveries`: of an account whose second factor is lost."""
DeviceId = NewType("DeviceId", uuid.UUID)
"""A row of `devices`: a browser from which a user has signed in."""
ConnectionId = NewType("ConnectionId", uuid.UUID)
"""A row of `company_logins`: an organization's own login, through which sessions can be opened."""
DomainId = NewType("DomainId", uuid.UUID)
"""A row of `company_domains`: a domain for whose addresses a company login speaks."""
ImpersonationId = NewType("ImpersonationId", uuid.UUID)
"""A row of `impersonations`: a super admin who acts as a member."""
ApiKeyId = NewType("ApiKeyId", uuid.UUID)
"""A row of `api_keys`."""
AppId = NewType("AppId", uuid.UUID)
"""A row of `oauth_apps`."""
GrantId = NewType("GrantId", uuid.UUID)
"""A row of `oauth_grants`."""
NotificationId = NewType("NotificationId", uuid.UUID)
"""A row of `notifications`."""
AnnouncementId = NewType("AnnouncementId", uuid.UUID)
"""A row of `announcements`."""
WebhookId = NewType("WebhookId", uuid.UUID)
"""A row of `webhooks`."""
EventId = NewType("EventId", uuid.UUID)
"""A row of `webhook_bodies`: an event that webhooks announce."""
DeliveryId = NewType("DeliveryId", uuid.UUID)
"""A row of `webhook_deliveries`."""
MediaId = NewType("MediaId", uuid.UUID)
"""A row of `media`."""
VariantId = NewType("VariantId", uuid.UUID)
"""A row of `media_variants`."""
CustomerId = NewType("CustomerId", uuid.UUID)
"""A row of `customers`."""
ChannelId = NewType("ChannelId", uuid.UUID)
"""A row of `channels`."""
PostId = NewType("PostId", uuid.UUID)
"""A row of `posts`: a part, which may be the root of its thread."""
GroupId = NewType("GroupId", uuid.UUID)
"""The posts of one compose action: the same `posts.group_id`. It has no table."""
ChangeId = NewType("ChangeId", uuid.UUID)
"""A row of `revisions`: a change of a thread."""
ReviewId = NewType("ReviewId", uuid.UUID)
"""A row of `reviews`: a step of a post's approval."""
TagId = NewType("TagId", uuid.UUID)
"""A row of `tags`."""
AttemptId = NewType("AttemptId", uuid.UUID)
"""A row of `attempts`."""
StagingId = NewType("StagingId", uuid.UUID)
"""A row of `stagings`."""
AuditEventId = NewType("AuditEventId", uuid.UUID)
"""A row of `audit_events`."""

EntityId = TypeVar("EntityId", bound=uuid.UUID)
"""Any of them."""


def new_id() -> uuid.UUID:
    """Return a UUIDv7: unique and ordered by creation time, so that new rows are at the end of an index."""
    return uuid_utils.compat.uuid7()

"""Notifies members of many posts at once: one notification per post, and one email per organization."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.core import clock
from shared.core.ids import CustomerId, NotificationId, OrganizationId
from shared.notifications.mails import mail_now
from shared.notifications.notify import NewNotification, add_notifications
from shared.publishing import notices
from shared.publishing.notices import Notice

_MAILED_TOGETHER = 10


@dataclass(frozen=True, slots=True)
class BulkNotice:
    """A notice with its organization, and the customer of the post's channel."""

    organization_id: OrganizationId
    customer_id: CustomerId | None
    notice: Notice


def notify_bulk(session: Session, page: Sequence[BulkNotice]) -> list[NotificationId]:
    """Add the new notices, and return the notifications to email: at most one per organization.

    An organization with several gets one email with their number, at most once an hour, for the members who see all customers;
    the others find each of theirs in the list.
    """
    several = {
        of
        for of, count in Counter(notice_for.organization_id for notice_for in page).items()
        if count > 1
    }
    alone = [notice_for for notice_for in page if notice_for.organization_id not in several]
    together = [notice_for for notice_for in page if notice_for.organization_id in several]
    mails = add_notifications(session, [_new(notice_for) for notice_for in alone], mailed=False)
    added = add_notifications(session, [_new(notice_for) for notice_for in together], mailed=True)
    hour = f"{clock.now():%Y-%m-%dT%H}"
    counts = Counter(organization_id for _id, organization_id in added)
    sums = [BulkNotice(of, None, notices.many_late(count, hour)) for of, count in counts.items()]
    mails += add_notifications(session, [_new(notice_for) for notice_for in sums], mailed=False)
    return [notification_id for notification_id, _organization_id in mails]


def mail_bulk(notification_ids: Sequence[NotificationId], *, go_on: Callable[[], bool]) -> int:
    """Email them while `go_on` returns True; return how many are left to the digest function."""
    for start in range(0, len(notification_ids), _MAILED_TOGETHER):
        if not go_on():
            return len(notification_ids) - start
        mail_now(notification_ids[start : start + _MAILED_TOGETHER])
    return 0


def _new(notice_for: BulkNotice) -> NewNotification:
    notice = notice_for.notice
    return NewNotification(
        notice_for.organization_id,
        notice_for.customer_id,
        notice.kind,
        notice.title,
        notice.content,
        notice.link,
        notice.key,
    )

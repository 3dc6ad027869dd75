"""Sends notifications as emails.

Failures and news are emailed immediately; published posts are collected into one digest. A notification is claimed with a lease
before its emails are sent, and marked after: if the process dies in between, members get the email twice rather than never.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby

from shared.aws.mail import Mail, MailNotSent, mail_is_on, send_mail
from shared.core.cleaning import one_line
from shared.core.config import settings
from shared.core.formats.email import Letter, Link
from shared.core.ids import CustomerId, NotificationId, OrganizationId
from shared.core.log import about, log
from shared.db.session import read_only, unit_of_work
from shared.identity.models import MailKind
from shared.identity.unsubscribe import unsubscribe_url
from shared.notifications import queries
from shared.notifications.models import NotificationKind
from shared.notifications.queries import Claimed, Recipient

# Each is longer than the timeout of the sending functions, so the sweep sends the emails of a killed one after that.
LEASE = timedelta(minutes=4)
DIGEST_LEASE = timedelta(minutes=10)
# A failure is emailed right after its transaction; if it still waits after this, nothing is about to send it.
_OVERDUE = timedelta(minutes=2)
# After this, an email would be confusingly old.
_OLDEST = timedelta(days=3)
_ROUND = 50
_LISTED = 20

# News are always sent, so their emails have no unsubscribe link.
_SWITCHED_BY = {
    NotificationKind.SUCCESS: MailKind.SUCCESS,
    NotificationKind.FAILURE: MailKind.FAILURE,
}

Claim = Callable[[], list[Claimed]]


def mail_now(notification_ids: Sequence[NotificationId]) -> None:
    """Email these notifications to the members who want them. The sweep (`mail_overdue`) retries failures."""
    with unit_of_work() as session:
        claimed = queries.CLAIM_THESE.all(session, list(notification_ids), LEASE)
    _send(claimed, _one_mail_each)


def mail_overdue(*, go_on: Callable[[], bool]) -> int:
    """Email the failures and news that were not emailed yet; return how many."""
    return _rounds(_claim_overdue, _one_mail_each, go_on)


def mail_digests(*, go_on: Callable[[], bool]) -> int:
    """Email each organization's published posts as one digest, an hour after the first of them; return how many."""
    return _rounds(_claim_digests, _one_mail_for_all, go_on)


def _rounds(
    claim: Claim, letters: Callable[[Sequence[Claimed]], list[Letter]], go_on: Callable[[], bool]
) -> int:
    total = 0
    while go_on() and (claimed := claim()):
        _send(claimed, letters)
        total += len(claimed)
    return total


def _claim_overdue() -> list[Claimed]:
    with unit_of_work() as session:
        return queries.CLAIM_OVERDUE.all(
            session, older_than=_OVERDUE, oldest=_OLDEST, lease=LEASE, limit=_ROUND
        )


def _claim_digests() -> list[Claimed]:
    after = timedelta(minutes=settings().digest_after_minutes)
    with unit_of_work() as session:
        return queries.CLAIM_DIGESTS.all(
            session, after=after, oldest=_OLDEST, lease=DIGEST_LEASE, limit=_ROUND
        )


def _send(claimed: Sequence[Claimed], letters: Callable[[Sequence[Claimed]], list[Letter]]) -> None:
    if not claimed:
        return
    in_order = sorted(claimed, key=lambda each: (*_audience(each), each.created_at, each.id))
    with read_only() as session:
        members = queries.LIST_RECIPIENTS.all(
            session, sorted({each.organization_id for each in claimed})
        )
    for (organization_id, kind), group in groupby(in_order, key=_audience):
        notices = list(group)
        wanting = [
            each
            for each in members
            if each.organization_id == organization_id and _wants(each, kind)
        ]
        with about(organization_id=organization_id):
            if _send_to_each(notices, wanting, letters, _SWITCHED_BY.get(kind)):
                _mark([each.id for each in notices])


def _send_to_each(
    notices: Sequence[Claimed],
    recipients: Sequence[Recipient],
    letters: Callable[[Sequence[Claimed]], list[Letter]],
    switch: MailKind | None,
) -> bool:
    """Send all recipients the notifications that they see; False if the transport accepted no email, so that all are retried."""
    by_sight: dict[frozenset[CustomerId] | None, list[Recipient]] = {}
    for one in recipients:
        sight = None if one.customers is None else frozenset(one.customers)
        by_sight.setdefault(sight, []).append(one)
    outcomes = []
    for sight, together in by_sight.items():
        seen = [each for each in notices if sight is None or each.customer_id in sight]
        if seen:
            outcomes.append(_send_letters(letters(seen), together, switch))
    return any(outcomes) or not outcomes


def _mark(sent: Sequence[NotificationId]) -> None:
    """Mark each organization's email immediately, so that nobody gets it twice if the process stops later."""
    with unit_of_work() as session:
        queries.MARK_MAILED.run(session, list(sent))


def _audience(claimed: Claimed) -> tuple[OrganizationId, NotificationKind]:
    return claimed.organization_id, NotificationKind(claimed.kind)


def _send_letters(
    letters: Iterable[Letter], recipients: Sequence[Recipient], switch: MailKind | None
) -> bool:
    """Send each email to each recipient; False if the transport accepted none of them, so that all are retried.

    `switch` is the kind of email for the unsubscribe link; None: there is no link. An email that cannot be built counts as
    done, because a retry would fail too, and the others are sent.
    """
    if not mail_is_on():
        return True
    tried = taken = 0
    for letter in letters:
        for recipient in recipients:
            with about(user_id=recipient.user_id):
                try:
                    send_mail(_mail(letter, recipient, switch))
                except MailNotSent as error:
                    tried += 1
                    log.warning("mail.failed", extra={"reason": repr(error.__cause__)})
                except ValueError as error:  # a header or a body that email.message cannot encode
                    log.error("mail.not_built", extra={"reason": repr(error)})
                else:
                    taken += 1
    return taken > 0 or tried == 0


def _mail(letter: Letter, recipient: Recipient, switch: MailKind | None) -> Mail:
    """Send an email to one recipient, with the unsubscribe link for its kind."""
    url = None
    if switch:
        url = unsubscribe_url(recipient.user_id, recipient.unsubscribe_seed, switch)
        letter = replace(letter, unsubscribe=Link("Stop getting these emails", url))
    return Mail(
        recipient.email, one_line(letter.title), letter.text, letter.html, unsubscribe_url=url
    )


def _wants(recipient: Recipient, kind: NotificationKind) -> bool:
    """Return whether a member wants emails of a kind; news are always sent."""
    if kind is NotificationKind.SUCCESS:
        return recipient.wants_successes
    return recipient.wants_failures or kind is NotificationKind.INFO


def _one_mail_each(notices: Sequence[Claimed]) -> list[Letter]:
    return [Letter(each.title, [each.content], _link(each)) for each in notices]


def _one_mail_for_all(notices: Sequence[Claimed]) -> list[Letter]:
    if len(notices) == 1:
        return _one_mail_each(notices)
    lines = [
        f"{each.title}: {each.link}" if each.link else each.title for each in notices[:_LISTED]
    ]
    if len(notices) > _LISTED:
        lines.append(f"And {len(notices) - _LISTED} more.")
    return [Letter(f"{len(notices)} posts were published", lines, _calendar())]


def _calendar() -> Link | None:
    """Link to the calendar of the console; without a console there are only links to posts."""
    address = settings().frontend_url
    return Link("Open the calendar", settings().console_url) if address else None


def _link(notices: Claimed) -> Link | None:
    return Link("Look at the post", notices.link) if notices.link else None

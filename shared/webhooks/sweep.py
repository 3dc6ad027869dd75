"""The sweep of webhooks: sends due deliveries that are not queued, and deletes old ones."""

from datetime import timedelta

from sqlalchemy.orm import Session

from shared.db.session import unit_of_work
from shared.db.sweep import PAGE_SIZE, in_pages
from shared.webhooks import delivery_queries as queries
from shared.webhooks.announce import KEPT, send_all
from shared.webhooks.retry import MOST_TRIES

GRACE = timedelta(minutes=5)  # a queued message is expected to be processed within this time
_MOST_PAGES = 100


def send_due_deliveries() -> int:
    """Send one page of due deliveries that have no message: their pause was too long for a queue, or a message was lost."""
    with unit_of_work() as session:
        rows = queries.TAKE_DUE.all(
            session,
            grace_seconds=GRACE.total_seconds(),
            most_tries=MOST_TRIES,
            page_size=PAGE_SIZE,
        )
    send_all([(row.organization_id, row.id) for row in rows if row.goes_on])
    return len(rows)


def forget_old_deliveries() -> int:
    """Delete messages older than `KEPT`, and bodies that no message shows anymore, in pages; return how many."""
    return sum(
        in_pages(delete_page, most_pages=_MOST_PAGES)
        for delete_page in (_delete_messages, _delete_bodies)
    )


def _delete_messages(session: Session) -> int:
    return queries.DELETE_OLD_DELIVERIES.run(session, kept_days=KEPT.days, page_size=PAGE_SIZE)


def _delete_bodies(session: Session) -> int:
    return queries.DELETE_OLD_BODIES.run(session, page_size=PAGE_SIZE)

"""Deletes accounts that were never activated, with the organizations made for them."""

from datetime import timedelta

from sqlalchemy import text

from shared.core.log import log
from shared.db.session import unit_of_work

KEPT = timedelta(days=30)
"""How long an account waits to be activated; a link that was mailed meanwhile stays good."""
PAGE_SIZE = 500
# An organization goes if nobody else is in it. One statement, so that neither is left without the other.
_FORGET = text("""
with lapsed as (
  select u.id from users u
  where u.activated_at is null and u.created_at <= now() - make_interval(secs => :kept_seconds)
    and not exists (
      select 1 from mailed_codes c where c.user_id = u.id and c.used_at is null and c.expires_at > now()
    )
  order by u.created_at limit :page_size
),
emptied as (
  delete from organizations o using members m, lapsed
  where m.user_id = lapsed.id and o.id = m.organization_id
    and not exists (
      select 1 from members other where other.organization_id = o.id and other.user_id <> lapsed.id
    )
)
delete from users using lapsed where users.id = lapsed.id
returning users.id
""")


def forget_never_activated() -> int:
    """Delete one page of accounts that were not activated in time; return how many."""
    values = {"kept_seconds": KEPT.total_seconds(), "page_size": PAGE_SIZE}
    with unit_of_work() as session:
        forgotten = len(session.execute(_FORGET, values).all())
    if forgotten:
        log.info("users.forgotten", extra={"count": forgotten})
    return forgotten

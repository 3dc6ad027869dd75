"""Which platforms asked our whole application to wait, and until when. They belong to no organization."""

from datetime import datetime, timedelta

from sqlalchemy import case, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.channels.models import ProviderPause


def hold_provider(session: Session, slug: str, *, wait: timedelta, reason: str) -> datetime:
    """Send nothing to a platform for `wait`, by the database's clock; a longer hold stays as it is.

    Returns:
        When the hold ends.
    """
    held = insert(ProviderPause).values(provider=slug, until=func.now() + wait, reason=reason)
    longer = held.excluded.until > ProviderPause.until
    statement = held.on_conflict_do_update(
        index_elements=[ProviderPause.provider],
        set_={
            "until": func.greatest(ProviderPause.until, held.excluded.until),
            "reason": case((longer, held.excluded.reason), else_=ProviderPause.reason),
            "updated_at": func.now(),
        },
    ).returning(ProviderPause.until)
    return session.execute(statement).scalar_one()

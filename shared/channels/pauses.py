"""Which platforms asked our whole application to wait, and until when. They belong to no organization."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import case, func, select
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


def held_providers(session: Session) -> Mapping[str, datetime]:
    """List the platforms that are held now, each with the end of its hold."""
    rows = session.execute(
        select(ProviderPause.provider, ProviderPause.until).where(ProviderPause.until > func.now())
    )
    return {row.provider: row.until for row in rows}


def held_until(session: Session, slug: str) -> datetime | None:
    """Return when the hold of a platform ends, None while it is not held."""
    return session.execute(
        select(ProviderPause.until).where(
            ProviderPause.provider == slug, ProviderPause.until > func.now()
        )
    ).scalar_one_or_none()

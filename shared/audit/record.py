"""Records what somebody did, in the transaction that does it.

    record(session, actor, Action.CUSTOMER_DELETED, customer_id)

A statement that runs in autocommit, or whose round trips are limited, embeds `recording` (`shared/audit/queries.py`).
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from shared.audit import queries
from shared.audit.entries import Action, Actor, Entry, entries_json


def record(
    session: Session,
    actor: Actor,
    action: Action,
    subject_id: UUID | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Record one action. `before` and `after` have only fields of `FIELDS`."""
    record_all(session, actor, [Entry(action, subject_id, before, after)])


def record_all(session: Session, actor: Actor, entries: Iterable[Entry]) -> None:
    """Record several actions of one actor, with one statement."""
    if listed := tuple(entries):
        queries.RECORD.run(session, entries_json(actor, *listed))

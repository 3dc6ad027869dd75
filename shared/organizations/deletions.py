"""What a deleted account or organization waits for: its return, its reminder, or its end."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from shared.aws import queues
from shared.core.config import settings
from shared.core.crypto import hash_secret, new_secret
from shared.core.ids import UserId
from shared.db.session import read_only
from shared.db.sweep import PAGE_SIZE
from shared.organizations import deletion_queries as queries
from shared.organizations.deletion_queries import DueRow
from shared.organizations.models import DeletionKind

TIME_TO_RETURN = timedelta(days=14)
"""How long what was deleted can come back."""
REMINDED_BEFORE = timedelta(days=2)
"""How long before the end its owners are reminded."""
SUBJECTS = {DeletionKind.ACCOUNT: "userId", DeletionKind.ORGANIZATION: "organizationId"}
"""The name of the subject in a message of the queue, by what is deleted."""


def add_deletion(
    session: Session, subject_id: UUID, kind: DeletionKind, *, with_account: UserId | None = None
) -> tuple[str, datetime]:
    """Record a deletion. Return the secret of the link that takes it back, and when that ends."""
    secret = new_secret()
    added = queries.ADD_DELETION.one(
        session,
        subject_id=subject_id,
        kind=kind,
        with_account=with_account,
        return_hash=hash_secret(secret),
        wait_seconds=TIME_TO_RETURN.total_seconds(),
    )
    return secret, added.erase_at


def return_url(secret: str) -> str:
    """Return the address of the page that takes a deletion back."""
    return f"{settings().public_url}/auth/return?code={secret}"


def message_of(due: DueRow) -> queues.Message:
    """Make the message that has a deletion carried out, or its reminder sent."""
    return queues.Message({SUBJECTS[due.kind]: str(due.subject_id)})


def request_due_deletions() -> int:
    """Request a page of the deletions whose time or reminder has come; return how many.

    Requesting one again does no harm, and a lost message is replaced an hour later.
    """
    with read_only() as session:
        due: Sequence[DueRow] = queries.LIST_DUE_DELETIONS.all(
            session, REMINDED_BEFORE.total_seconds(), PAGE_SIZE
        )
    request_deletions(due)
    return len(due)


def request_deletions(due: Iterable[DueRow]) -> None:
    """Request that deletions are carried out."""
    if messages := [message_of(one) for one in due]:
        queues.send(settings().erase_queue_url, messages)

"""An organization's storage quota and its use."""

from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.errors import PlanLimit
from shared.core.ids import OrganizationId
from shared.media.queries import COUNT_STORED, Stored
from shared.media.sweep_queries import DELETED_FILES_STAY
from shared.organizations.queries import lock_organization

# Deleted files stay for a month. They do not count until they take as much storage as all files that count.
_WITH_DELETED = 2


class StorageFull(PlanLimit):
    """The file does not fit the organization's storage quota."""

    code = "storage_full"


def count_stored(session: Session, organization_id: OrganizationId) -> Stored:
    """Count library files, unfinished uploads, and deleted files that are still stored."""
    return COUNT_STORED.one(session, organization_id)


def check_quota(session: Session, organization_id: OrganizationId, size_bytes: int) -> None:
    """Check that a file of that size fits, before its row is added in this transaction.

    The lock serializes uploads of one organization: of two that fit one at a time, the second sees the first.

    Raises:
        StorageFull: the file does not fit.
    """
    limit = settings().media_quota_bytes
    if not limit:
        return
    lock_organization(session, organization_id)
    stored = count_stored(session, organization_id)
    if stored.used + size_bytes > limit:
        raise StorageFull(
            f"Your organization stores {_size(stored.used)} of its {_size(limit)}, and this file "
            f"has {_size(size_bytes)}. Delete files that you no longer need."
        )
    if stored.used + stored.deleted + size_bytes > _WITH_DELETED * limit:
        raise StorageFull(
            f"Deleted files are kept for {DELETED_FILES_STAY.days} days. Your organization's {_size(stored.deleted)} of "
            f"them and the {_size(stored.used)} in use leave no room for {_size(size_bytes)}. Try "
            "again when some of them are gone."
        )


def _size(size_bytes: int) -> str:
    if size_bytes >= 10**9:
        return f"{size_bytes / 1e9:.2f} GB"
    return f"{size_bytes / 1e6:.1f} MB"

"""An organization's storage quota and its use."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.billing.errors import details, needed_plan
from shared.billing.plans import Allowances
from shared.billing.sections import Action, Section
from shared.billing.usage import lock_allowances
from shared.core.config import settings
from shared.core.errors import PlanLimit
from shared.core.ids import OrganizationId
from shared.media.queries import COUNT_STORED, Stored
from shared.media.sweep_queries import DELETED_FILES_STAY

# Deleted files stay for a month. They do not count until they take as much storage as all files that count.
_WITH_DELETED = 2


class StorageFull(PlanLimit):
    """The file does not fit the organization's storage quota."""

    code = "storage_full"


def count_stored(session: Session, organization_id: OrganizationId) -> Stored:
    """Count library files, unfinished uploads, and deleted files that are still stored."""
    return COUNT_STORED.one(session, organization_id)


@dataclass(frozen=True, slots=True)
class Quota:
    """How many bytes an organization may store; None: any number. `by_plan`: whether its plan is what limits it."""

    limit: int | None
    by_plan: bool


def quota_of(allowances: Allowances) -> Quota:
    """Return an organization's quota: that of its plan or of this server, whichever is less."""
    planned, ours = allowances.limit(Section.STORAGE), settings().media_quota_bytes or None
    if planned is not None and (ours is None or planned <= ours):
        return Quota(planned, by_plan=True)
    return Quota(ours, by_plan=False)


def check_quota(session: Session, organization_id: OrganizationId, size_bytes: int) -> None:
    """Check that a file of that size fits, before its row is added in this transaction.

    The lock serializes uploads of one organization: of two that fit one at a time, the second sees the first.

    Raises:
        StorageFull: the file does not fit.
    """
    if not settings().billing and not settings().media_quota_bytes:
        return
    allowances = lock_allowances(session, organization_id)
    quota = quota_of(allowances)
    if quota.limit is None:
        return
    stored = count_stored(session, organization_id)
    needed = needed_plan(Section.STORAGE, allowances, stored.used + size_bytes)
    if stored.used + size_bytes > quota.limit:
        larger = f", or choose the plan {needed.upper()}" if quota.by_plan and needed else ""
        full = StorageFull(
            f"Your organization stores {_size(stored.used)} of its {_size(quota.limit)}, and this file "
            f"has {_size(size_bytes)}. Delete files that you no longer need{larger}."
        )
    elif stored.used + stored.deleted + size_bytes > _WITH_DELETED * quota.limit:
        full = StorageFull(
            f"Deleted files are kept for {DELETED_FILES_STAY.days} days. Your organization's {_size(stored.deleted)} of "
            f"them and the {_size(stored.used)} in use leave no room for {_size(size_bytes)}. Try "
            "again when some of them are gone."
        )
    else:
        return
    if quota.by_plan:
        full.details = details(
            Section.STORAGE, Action.CREATE, allowances, used=stored.used, needed=needed
        )
    raise full


def _size(size_bytes: int) -> str:
    if size_bytes >= 10**9:
        return f"{size_bytes / 1e9:.2f} GB"
    return f"{size_bytes / 1e6:.1f} MB"

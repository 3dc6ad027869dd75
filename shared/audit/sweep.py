"""The sweep of the audit log: deletes old network addresses, and counts entries without a monthly partition.

Old months are dropped by their owner (`shared/db/partitions.py`).
"""

from shared.audit.queries import COUNT_STRAY
from shared.core.metrics import gauge_rows_without_partition
from shared.db.session import read_only
from shared.db.statement import sql
from shared.db.sweep import Deletion

_OLD_ADDRESSES = Deletion(
    "old_audit_addresses",
    table=sql("audit_addresses"),
    lapsed=sql("at <= now() - interval '30 days'"),
)


def delete_old_addresses() -> int:
    """Delete network addresses 30 days after their event."""
    return _OLD_ADDRESSES.in_pages()


def count_stray_entries() -> int:
    """Write the number of entries whose month has no partition, which an alarm watches."""
    with read_only() as session:
        count = COUNT_STRAY.one(session).stray
    gauge_rows_without_partition(count)
    return count

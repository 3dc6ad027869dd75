"""The sweep of publishing: deletes old stagings."""

from shared.db.statement import sql
from shared.db.sweep import Deletion

_OLD_STAGINGS = Deletion(
    "old_stagings",
    table=sql("stagings"),
    lapsed=sql("updated_at <= now() - interval '30 days'"),
)


def delete_old_stagings() -> int:
    """Delete stagings that have not changed for 30 days."""
    return _OLD_STAGINGS.in_pages()

"""the host of channels on instances that were connected before hosts were stored.

The id of such an account ends in the host of its instance (`42@mastodon.social`), which needs no unsealing.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "f3a86c1d42b7"
down_revision: str | None = "e7b31f60a9d4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The host without its port, as `ProviderSpec.named_host` writes it.
FILL = """
    update channels set named_host = lower(substring(remote_id from '@([^@:/]+)(?::[0-9]+)?$'))
    where provider = 'mastodon-custom' and (named_host is null or named_host = 'mastodon-custom')
        and remote_id ~ '@[^@:/]+(:[0-9]+)?$'
"""


def upgrade() -> None:
    op.execute(FILL)


def downgrade() -> None:
    """Nothing: the host was known before, only not written."""

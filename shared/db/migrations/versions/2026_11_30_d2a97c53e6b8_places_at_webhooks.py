"""a bound on how many messages of one organization are sent to webhooks at once."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "d2a97c53e6b8"
down_revision: str | None = "c9d4e8f17a25"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_HOST = r"lower(substring(url, '^[a-zA-Z]+://(?:[^/?#]*@)?(\[[^]]*\]|[^/?#:]*)'::text))"
# As `publishing_is_crowded`: counts twice, the second time under the organization's lock, so the bound is exact.
_FUNCTION = """
create function webhooks_are_crowded(
    of_organization uuid, of_host text, most_per_organization integer, most_per_host integer
) returns boolean language plpgsql volatile as $$
declare
    is_crowded boolean;
begin
    for tried in 1..2 loop
        select count(*) >= most_per_organization or count(*) filter (where hears.host = of_host) >= most_per_host
        into is_crowded
        from webhook_deliveries told join webhooks hears on hears.id = told.webhook_id
        where told.organization_id = of_organization and told.lease_until is not null and told.lease_until > now();
        if is_crowded or tried = 2 then
            return is_crowded;
        end if;
        perform pg_advisory_xact_lock(hashtextextended('webhooks:' || of_organization::text, 0));
    end loop;
end
$$
"""


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("host", sa.Text(), sa.Computed(_HOST, persisted=True)))
    op.add_column(
        "webhook_deliveries", sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "ix_webhook_deliveries_lease_until",
        "webhook_deliveries",
        ["organization_id"],
        postgresql_where=sa.text("lease_until is not null"),
    )
    op.execute(_FUNCTION)


def downgrade() -> None:
    op.execute("drop function webhooks_are_crowded")
    op.drop_index("ix_webhook_deliveries_lease_until", table_name="webhook_deliveries")
    op.drop_column("webhook_deliveries", "lease_until")
    op.drop_column("webhooks", "host")

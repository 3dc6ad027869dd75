"""the host that a member named, and a bound on tries at such hosts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "5b1d0c9e7a42"
down_revision: str | None = "5e0f6b1d9a37"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Each statement of a volatile function sees what was committed before it, so the second count includes every claim that
# held the lock before. PostgreSQL 17, section 36.7, "Function Volatility Categories", read 2026-11.
_FUNCTION = """
create function publishing_is_crowded(
    of_organization uuid, of_host text, most_per_organization integer, most_per_host integer
) returns boolean language plpgsql volatile as $$
declare
    is_crowded boolean;
begin
    for tried in 1..2 loop
        select count(*) >= most_per_organization or count(*) filter (where named_host = of_host) >= most_per_host
        into is_crowded
        from attempts
        where organization_id = of_organization and finished_at is null and named_host is not null
            and state in ('running', 'sending') and lease_until > now();
        if is_crowded or tried = 2 then
            return is_crowded;
        end if;
        perform pg_advisory_xact_lock(hashtextextended('publishing:' || of_organization::text, 0));
    end loop;
end
$$
"""


def upgrade() -> None:
    op.add_column("channels", sa.Column("named_host", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("named_host", sa.Text(), nullable=True))
    op.create_index(
        "ix_attempts_named_host",
        "attempts",
        ["organization_id"],
        postgresql_where=sa.text("finished_at is null and named_host is not null"),
    )
    op.create_index(
        "ix_stagings_running",
        "stagings",
        ["organization_id"],
        postgresql_where=sa.text("state = 'running'"),
    )
    # Which server these name is sealed: until they are connected again, an organization's count as one host.
    op.execute("update channels set named_host = provider where provider in ('mastodon-custom')")
    op.execute(_FUNCTION)


def downgrade() -> None:
    op.execute("drop function publishing_is_crowded")
    op.drop_index(
        "ix_stagings_running", table_name="stagings", postgresql_where=sa.text("state = 'running'")
    )
    op.drop_index(
        "ix_attempts_named_host",
        table_name="attempts",
        postgresql_where=sa.text("finished_at is null and named_host is not null"),
    )
    op.drop_column("attempts", "named_host")
    op.drop_column("channels", "named_host")

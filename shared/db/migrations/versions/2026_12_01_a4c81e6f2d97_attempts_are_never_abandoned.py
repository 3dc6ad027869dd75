"""the state `abandoned` of attempts, which nothing ever set, is no longer allowed.

The check is added without reading the table, so that statements wait only for a moment; validating it lets them go on.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "a4c81e6f2d97"
down_revision: str | None = "0a6f2d81b3c7"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NAME = "ck_attempts_attempt_state"
_STATES = ("running", "sending", "waiting", "released", "refused", "unknown")


def upgrade() -> None:
    _replace_check(_STATES)


def downgrade() -> None:
    _replace_check((*_STATES, "abandoned"))


def _replace_check(states: Sequence[str]) -> None:
    listed = ", ".join(f"'{state}'" for state in states)
    op.execute(f"alter table attempts drop constraint {_NAME}")
    op.execute(f"alter table attempts add constraint {_NAME} check (state in ({listed})) not valid")
    op.execute(f"alter table attempts validate constraint {_NAME}")

"""a challenge can ask for a second factor."""

from collections.abc import Sequence

from alembic import op

revision: str = "a8d3f1c6b205"
down_revision: str | None = "d8f3b6a1c520"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_BEFORE = (
    "activate",
    "reset_password",
    "login_state",
    "registration",
    "link",
    "new_email",
    "undo_email",
)


def upgrade() -> None:
    _allow(*_BEFORE, "second_factor")


def downgrade() -> None:
    op.execute("delete from challenges where kind = 'second_factor'")
    _allow(*_BEFORE)


def _allow(*kinds: str) -> None:
    name = op.f("ck_challenges_challenge_kind")
    op.drop_constraint(name, "challenges")
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, "challenges", f"kind in ({listed})")

"""Column types: enums as text with a check, and sealed values."""

import re
from enum import StrEnum

from sqlalchemy import Enum, LargeBinary

from shared.core.crypto import Purpose


def text_enum(members: type[StrEnum], *, name: str = "") -> Enum:
    """Make a column type for `members`: text with a check that it is one of them.

    The check is named `ck_<table>_<name>`. `name` defaults to the class's name in snake_case; a second column of the same
    enum in a table needs its own. Text is used instead of PostgreSQL's enum so that a migration can remove a member.
    """
    return Enum(
        members,
        name=name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", members.__name__).lower(),
        native_enum=False,
        create_constraint=True,
        length=None,
        values_callable=lambda enum: [member.value for member in enum],
        validate_strings=True,
    )


class Sealed(LargeBinary):
    """A column of sealed values (`shared/aws/keys.py`). The row names their owner: `organization_id`, or `user_id`."""

    def __init__(self, purpose: Purpose) -> None:
        super().__init__()
        self.purpose = purpose

    @property
    def owner_column(self) -> str:
        """The column with the id of the owner."""
        return "user_id" if self.purpose.owner == "person" else "organization_id"

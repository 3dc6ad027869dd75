"""How an enum is stored: as its text, with a check that the text is one of its members."""

import re
from enum import StrEnum

from sqlalchemy import Enum


def text_enum(members: type[StrEnum], *, name: str = "") -> Enum:
    """Make the column type for `members`.

    The check is named `ck_<table>_<name>`; `name` is the class's name in snake_case unless given, which a second column
    of the same enum in one table needs. Text instead of PostgreSQL's own enum: a migration can take a member away.
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

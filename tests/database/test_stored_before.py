"""Whether rows that were stored before names and addresses were cleaned are cleaned by a migration."""

import importlib
import re
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.types import String, Text

from shared.db import migrate
from shared.db.base import Base

REVISION = importlib.import_module(
    "shared.db.migrations.versions.2026_11_30_0a6f2d81b3c7_clean_names_and_addresses"
)
BEFORE = REVISION.down_revision
BAD = "gro\u202e\r\nAda"
# Not cleaned, with the reason.
ELSEWHERE = {
    "announcements.title": "newer than the cleaning",
    "factors.name": "newer than the cleaning",
    "oauth_states.return_url": "lives for an hour",
    "media_variants.name": "ours",
    "posts.title": "a member's own text, which is published as written",
}


@pytest.fixture
def before(migrated_database: Connection) -> Connection:
    migrate.downgrade(migrated_database, BEFORE)
    return migrated_database


def add(connection: Connection, table: str, **values: Any) -> Any:
    """Insert a row; what has no default and is not given is made up by its type."""
    required = connection.execute(
        text(
            "select column_name, data_type from information_schema.columns where table_name = :table "
            "and is_nullable = 'NO' and column_default is null"
        ),
        {"table": table},
    )
    fillers = {"uuid": uuid4(), "boolean": False, "jsonb": "{}", "integer": 0, "bigint": 0}
    made_up = {row.column_name: fillers.get(row.data_type, "") for row in required}
    values = made_up | {"id": uuid4()} | values
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"insert into {table} ({names}) values ({marks})"), values)
    return values["id"]


def value(connection: Connection, table: str, column: str, row: Any) -> Any:
    found = connection.execute(text(f"select {column} from {table} where id = :id"), {"id": row})
    return found.scalar_one()


class TestStoredBefore:
    def test_names_and_addresses_are_cleaned(self, before: Connection) -> None:
        """Finding 2.13: what had been stored before was shown as stored."""
        ours = add(before, "organizations", name=BAD)
        person = add(
            before, "users", email="ada@example.org", name=BAD, last_name="L\u200f.",
            picture_url="javascript:alert(1)", bio="one\ntwo\u202e", login_provider="local", password_hash="x",
        )  # fmt: skip
        other = add(
            before, "users", email="bob@example.org", picture_url="https://a.example/b.png",
            login_provider="local", password_hash="x",
        )  # fmt: skip
        before.commit()
        migrate.upgrade(before)
        assert value(before, "organizations", "name", ours) == "gro Ada"
        assert value(before, "users", "name", person) == "gro Ada"
        assert value(before, "users", "bio", person) == "one\ntwo"
        assert value(before, "users", "picture_url", person) is None
        assert value(before, "users", "picture_url", other) == "https://a.example/b.png"

    def test_two_names_that_become_the_same_stay_two(self, before: Connection) -> None:
        ours = add(before, "organizations", name="Roost")
        names = ("Ada", "Ada\u202e", "\u2066Ada")
        rows = [add(before, "customers", organization_id=ours, name=name) for name in names]
        before.commit()
        migrate.upgrade(before)
        found = [value(before, "customers", "name", row) for row in rows]
        assert found == ["Ada", f"Ada {str(rows[1])[:8]}", f"Ada {str(rows[2])[:8]}"]

    def test_a_program_of_before_may_get_what_members_consented_to(
        self, before: Connection
    ) -> None:
        """Finding 2.14: a program that registered itself before there were ceilings could get every scope."""
        ours = add(before, "organizations", name="Roost")
        person = add(
            before, "users", email="ada@example.org", login_provider="local", password_hash="x"
        )
        uri = ["https://a.example/"]
        reads, own = (
            add(before, "oauth_apps", client_id=f"c{number}", name="P", redirect_uris=uri, **values)
            for number, values in enumerate(({}, {"organization_id": ours}))
        )
        for number, app in enumerate((reads, own)):
            add(
                before, "oauth_grants", app_id=app, organization_id=ours, user_id=person,
                token_hash=bytes([number]), scopes=["mcp:read"],
            )  # fmt: skip
        before.commit()
        migrate.upgrade(before)
        assert value(before, "oauth_apps", "scopes", reads) == ["mcp:read"]
        assert value(before, "oauth_apps", "scopes", own) is None

    def test_every_name_and_address_that_is_shown_is_listed(self) -> None:
        shown = re.compile(r"(^|_)(name|username|title|picture_url|release_url|return_url|link)$")
        found = {
            f"{table.name}.{column.name}"
            for table in Base.metadata.tables.values()
            for column in table.columns
            if shown.search(column.name) and isinstance(column.type, String | Text)
        }
        listed = {
            f"{table}.{column}"
            for columns in (REVISION.NAMES, REVISION.ADDRESSES)
            for table, names in columns.items()
            for column in names
        }
        assert found - listed - set(ELSEWHERE) == set()

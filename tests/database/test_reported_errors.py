"""What an error that PostgreSQL reports tells of rows and parameters: nothing, since its text goes to the log."""

import io

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from shared.core.errors_report import report
from shared.core.ids import new_id
from shared.db.wire import constraint_of
from shared.organizations.models import ApiKey, Organization


class TestWhatErrorsTell:
    def test_an_error_of_the_server_quotes_no_row_in_the_log(
        self, session: Session, log_lines: io.StringIO
    ) -> None:
        """Finding 2.8: `DETAIL: Key (email)=(...)` stood in the log, with hashes of secrets among the keys."""
        organization = Organization(id=new_id(), name="Engines")
        session.add(organization)
        session.flush()
        values = {"organization_id": organization.id, "name": "key-name-1", "hint": "abcd"}
        with pytest.raises(IntegrityError) as broken:
            session.execute(
                insert(ApiKey), [values | {"key_hash": b"secret-hash"} for _ in range(2)]
            )
        report(broken.value)
        told = log_lines.getvalue() + repr(broken.value) + str(broken.value.orig)
        assert "duplicate key value" in told
        assert constraint_of(broken.value) == "uq_api_keys_key_hash"
        for quoted in ("secret-hash", b"secret-hash".hex(), "Key (", "already exists"):
            assert quoted not in told

    @pytest.mark.parametrize(
        "sql",
        [
            "select cast(:value as uuid)",
            "select cast(:value as timestamptz)",
            "select cast(:value as jsonb)",
            "insert into customers (id, name) values (gen_random_uuid(), :value)",
        ],
    )
    def test_nor_a_parameter(self, session: Session, sql: str) -> None:
        """Finding 2.8, siblings: values that cannot be read, and the failing row."""
        with pytest.raises(DBAPIError) as broken:
            session.execute(text(sql), {"value": "pos_secret"})
        assert "pos_secret" not in str(broken.value)

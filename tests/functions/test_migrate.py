"""Whether a deployment migrates the schema, and CloudFormation always hears how it went."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pg8000
import pytest
import respx
from botocore.exceptions import EndpointConnectionError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from functions.migrate import app
from functions.migrate.app import DeploymentNotAnswered, handler
from layers.build import ROOT
from shared.aws.keys import open_sealed, seal
from shared.aws.secrets import forget_secrets, secret
from shared.core import clock
from shared.core.config import settings
from shared.core.crypto import Purpose
from shared.db import migrate
from shared.db.partitions import MONTHS_AHEAD, partitions
from shared.db.session import Login, connect
from tests.builders import a_channel, an_organization
from tests.conftest import Configure
from tests.gateway import put_app_secret

UPDATE = json.loads(Path("events/migration_update.json").read_text())
ANSWERS_TO = UPDATE["ResponseURL"].split("/arn")[0]


def a_context(*, seconds: float = 600) -> Any:
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: int(seconds * 1000),
        function_name="migrate",
        memory_limit_in_mb=1024,
        invoked_function_arn="arn",
        aws_request_id="1",
        log_stream_name="2026/11/22/[8]abc",
    )


@pytest.fixture(autouse=True)
def _secret(aws: None) -> None:
    put_app_secret()


@pytest.fixture
def cloudformation() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=ANSWERS_TO) as router:
        router.put(path__startswith="/").mock(return_value=httpx.Response(200))
        yield router


def told(cloudformation: respx.MockRouter) -> Any:
    return json.loads(cloudformation.calls.last.request.content)


class TestHandler:
    def test_invoked_directly_it_says_the_revision(self, empty_database: Connection) -> None:
        answer = handler({}, a_context())
        assert answer["revision"] == migrate.current(empty_database) is not None

    def test_adds_a_pepper_to_a_secret_without_one(self, migrated_database: Connection) -> None:
        """Passwords have one since a later version than the first: nobody has to add it by hand."""
        added = []
        for _ in range(2):
            handler({}, a_context())
            forget_secrets()
            added.append(secret(settings().app_secret_name))
        assert added[0] == added[1]
        assert added[0].keys() == {"jwtKeys", "passwordPepper"}

    def test_seals_everything_again(
        self, committed: Engine, aws: None, configure: Configure
    ) -> None:
        configure(KMS_KEY_ID=boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
        with Session(committed) as session:
            organization = an_organization(session)
            token = seal("token", Purpose.CHANNEL, organization.id)
            channel = a_channel(session, organization, sealed_token=token)
            session.commit()
            done = handler({"reseal": {}}, a_context())
            assert done == {"sealed": 1, "replacedMeanwhile": 0, "unreadable": 0, "next": None}
            session.refresh(channel)
            assert channel.access_token != token
            assert open_sealed(channel.access_token, Purpose.CHANNEL, organization.id) == "token"

    def test_organizations_from_before_plans_get_the_largest_one_once(
        self, committed: Engine, configure: Configure
    ) -> None:
        def plans() -> list[str]:
            with committed.connect() as connection:
                return list(connection.scalars(text("select plan from organizations order by id")))

        with Session(committed) as session:
            an_organization(session, plan="free")
            session.commit()
            handler({}, a_context())
            assert plans() == ["free"]
            configure(BILLING="on")
            handler({}, a_context())
            assert plans() == ["ultimate"]
            an_organization(session, plan="free")
            session.commit()
        handler({}, a_context())
        assert plans() == ["ultimate", "free"]

    def test_deployment_migrates_and_hears_of_success(
        self, empty_database: Connection, cloudformation: respx.MockRouter
    ) -> None:
        handler(UPDATE, a_context())
        assert migrate.differences(empty_database) == []
        answer = told(cloudformation)
        assert answer["Status"] == "SUCCESS"
        assert {k: answer[k] for k in ("StackId", "RequestId", "LogicalResourceId")} == {
            k: UPDATE[k] for k in ("StackId", "RequestId", "LogicalResourceId")
        }
        assert "content-type" not in cloudformation.calls.last.request.headers

    def test_failure_is_told_with_its_reason(
        self, empty_database: Connection, cloudformation: respx.MockRouter
    ) -> None:
        empty_database.execute(text("CREATE TABLE posts (id int)"))
        empty_database.commit()
        handler(UPDATE, a_context())
        answer = told(cloudformation)
        assert answer["Status"] == "FAILED"
        assert 'relation "posts" already exists' in answer["Reason"]

    @pytest.mark.parametrize(
        "letter",
        ["x", "ü", "語", "\U0001f426", '"'],
        ids=["ascii", "two bytes", "three bytes", "four bytes", "escaped"],
    )
    def test_long_reason_is_cut_to_what_cloudformation_reads(
        self, letter: str, cloudformation: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(_longest: object) -> None:
            raise ValueError(letter * 10_000)

        monkeypatch.setattr(app, "_migrate", fails)
        handler(UPDATE, a_context())
        assert told(cloudformation)["Status"] == "FAILED"
        assert len(cloudformation.calls.last.request.content) <= 4_096

    def test_revision_that_the_database_fails_is_not_repeated(
        self, cloudformation: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(_longest: object) -> None:
            raise OperationalError("alter table posts", {}, Exception("out of shared memory"))

        def waits(_seconds: float) -> None:
            raise AssertionError("it waits for the next try")

        monkeypatch.setattr(app, "_migrate", fails)
        monkeypatch.setattr(time, "sleep", waits)
        handler(UPDATE, a_context())
        answer = told(cloudformation)
        assert answer["Status"] == "FAILED"
        assert "out of shared memory" in answer["Reason"]

    def test_reason_with_half_of_a_surrogate_pair_is_sent(
        self, cloudformation: respx.MockRouter
    ) -> None:
        app._answer(UPDATE, a_context(), "FAILED", "no \ud83d here")
        assert told(cloudformation)["Reason"] == "no ? here"

    def test_migration_that_takes_too_long_is_told_before_the_function_ends(
        self, empty_database: Connection, cloudformation: respx.MockRouter
    ) -> None:
        with migrate.migrating() as other, migrate._alone(other):
            handler(UPDATE, a_context(seconds=45.3))
        assert told(cloudformation)["Status"] == "FAILED"

    def test_deleting_the_resource_deletes_nothing(
        self, empty_database: Connection, cloudformation: respx.MockRouter
    ) -> None:
        handler(UPDATE, a_context())
        handler({**UPDATE, "RequestType": "Delete"}, a_context())
        assert told(cloudformation)["Status"] == "SUCCESS"
        assert migrate.differences(empty_database) == []

    def test_schema_newer_than_the_code_is_left_alone(
        self, migrated_database: Connection, cloudformation: respx.MockRouter
    ) -> None:
        handler(UPDATE, a_context())
        migrated_database.execute(text("UPDATE alembic_version SET version_num = 'fromthefuture'"))
        migrated_database.commit()
        handler(UPDATE, a_context())
        assert told(cloudformation)["Status"] == "SUCCESS"
        assert migrate.current(migrated_database) == "fromthefuture"

    def test_answer_is_tried_again(self, migrated_database: Connection) -> None:
        with respx.mock() as router:
            route = router.put(url__startswith=ANSWERS_TO)
            route.side_effect = [
                httpx.ConnectTimeout("slow"),
                httpx.Response(503),
                httpx.Response(200),
            ]
            handler(UPDATE, a_context())
            assert route.call_count == 3

    def test_nobody_to_answer_is_an_error(self, migrated_database: Connection) -> None:
        with respx.mock() as router, pytest.raises(DeploymentNotAnswered):
            router.put(url__startswith=ANSWERS_TO).mock(return_value=httpx.Response(500))
            handler(UPDATE, a_context())


class TestPatience:
    @pytest.fixture
    def waited(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Make waiting take no time, and list how long was waited."""
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            assert len(pauses) < 1_000, "it waits for ever"
            pauses.append(seconds)

        monkeypatch.setattr(
            app, "time", SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pause)
        )
        return pauses

    def test_a_way_out_that_is_not_there_yet_is_waited_for(
        self,
        migrated_database: Connection,
        cloudformation: respx.MockRouter,
        waited: list[float],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Finding 7.6: it gave up after 10.2 s without a way out and rolled the deployment back."""
        tries = iter([EndpointConnectionError(endpoint_url="https://secretsmanager"), None])
        administrator = app._administrator

        def not_at_once() -> Login | None:
            if error := next(tries):
                raise error
            return administrator()

        monkeypatch.setattr(app, "_administrator", not_at_once)
        handler(UPDATE, a_context())
        assert told(cloudformation)["Status"] == "SUCCESS"
        assert waited == [10.0]

    def test_it_waits_for_minutes_and_then_says_why(
        self,
        migrated_database: Connection,
        cloudformation: respx.MockRouter,
        waited: list[float],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Finding 7.6: until the function's own time ends, less what the answer takes."""

        def never() -> Login | None:
            raise EndpointConnectionError(endpoint_url="https://secretsmanager")

        monkeypatch.setattr(app, "_administrator", never)
        handler(UPDATE, a_context(seconds=900))
        assert told(cloudformation)["Status"] == "FAILED"
        assert "EndpointConnectionError" in told(cloudformation)["Reason"]
        assert 840 < sum(waited) <= 855

    def test_a_mistake_in_a_revision_is_told_at_once(
        self, empty_database: Connection, cloudformation: respx.MockRouter, waited: list[float]
    ) -> None:
        empty_database.execute(text("CREATE TABLE posts (id int)"))
        empty_database.commit()
        handler(UPDATE, a_context())
        assert told(cloudformation)["Status"] == "FAILED"
        assert waited == []


class TestSuperAdmin:
    def test_it_activates_the_account_and_makes_it_the_operators(
        self, migrated_database: Connection
    ) -> None:
        """Finding 7.9: there was no first user without working mail."""
        handler({}, a_context())
        migrated_database.execute(
            text(
                "INSERT INTO users (id, email, login_provider, password_hash, name, last_name, bio, timezone,"
                " is_super_admin, sends_success_mails, sends_failure_mails, failed_logins)"
                " VALUES (gen_random_uuid(), 'ann@example.com', 'local', 'x', '', '', '', 'UTC', false, true, true, 0)"
            )
        )
        migrated_database.commit()
        answer = handler({"superAdmin": " Ann@Example.com"}, a_context())
        row = migrated_database.execute(
            text("SELECT id, is_super_admin, activated_at IS NOT NULL AS active FROM users")
        ).one()
        assert answer == {"superAdmin": str(row.id)}
        assert row.is_super_admin
        assert row.active

    def test_an_unknown_address_is_refused_with_the_remedy(
        self, migrated_database: Connection
    ) -> None:
        handler({}, a_context())
        answer = handler({"superAdmin": "nobody@example.com"}, a_context())
        assert answer == {
            "refused": (
                "There is no account with the address nobody@example.com. Register it "
                "first, then try again."
            )
        }


class TestMaintenance:
    """Once a day, with the input of the schedule in the template."""

    def test_a_deployment_leaves_partitions_behind(self, empty_database: Connection) -> None:
        handler({}, a_context())
        assert len(partitions(empty_database)) == 1 + 1 + MONTHS_AHEAD

    def test_it_keeps_partitions_and_migrates_nothing(
        self, migrated_database: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handler({}, a_context())
        revision = migrate.current(migrated_database)
        year_later = clock.now() + timedelta(days=365)
        monkeypatch.setattr(clock, "_read", lambda: year_later)
        monkeypatch.setattr(migrate, "upgrade", None)
        before = partitions(migrated_database)
        migrated_database.rollback()
        assert handler(scheduled_input("MigrateFunction"), a_context()) == {"maintained": True}
        assert len(partitions(migrated_database) - before) == 1 + MONTHS_AHEAD
        assert migrate.current(migrated_database) == revision

    def test_months_older_than_the_setting_are_dropped(
        self, migrated_database: Connection, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handler({}, a_context())
        first = min(partitions(migrated_database))
        migrated_database.rollback()
        later = clock.now() + timedelta(days=70)
        monkeypatch.setattr(clock, "_read", lambda: later)
        handler({"maintain": True}, a_context())
        assert first in partitions(migrated_database)
        migrated_database.rollback()
        configure(AUDIT_DAYS=31)
        handler({"maintain": True}, a_context())
        assert first not in partitions(migrated_database)


def scheduled_input(function: str) -> Any:
    """Return the input of the rate that the template gives a function."""
    template = (ROOT / "template.yaml").read_text()
    found = re.search(rf"  {function}:\n(?:    .*\n|\n)*?.*Input: '(.*?)'", template)
    assert found
    return json.loads(found[1])


class TestFunctionsRole:
    @pytest.fixture
    def app(
        self, migrated_database: Connection, configure: Configure, aws: None, database_url: str
    ) -> Iterator[Any]:
        """Deploy twice with an administrator, as in AWS, and log in as the role that the functions have there."""
        known = make_url(database_url)
        boto3.client("secretsmanager").create_secret(
            Name="admin",
            SecretString=json.dumps({"username": known.username, "password": known.password}),
        )
        configure(DATABASE_ADMIN_SECRET_NAME="admin", DATABASE_USER="app")
        migrated_database.execute(text("CREATE ROLE rds_iam"))
        migrated_database.commit()
        for _ in range(2):
            handler({}, a_context())
        migrated_database.execute(text("ALTER ROLE app PASSWORD 'secret'"))
        migrated_database.commit()
        with contextlib.closing(connect(login=Login("app", "secret"))) as connection:
            yield connection.cursor()
        for statement in ("DROP OWNED BY app", "DROP ROLE app", "DROP ROLE rds_iam"):
            migrated_database.execute(text(statement))
        migrated_database.commit()

    def test_may_log_in_by_iam(self, app: Any, migrated_database: Connection) -> None:
        may = text("SELECT pg_has_role('app', 'rds_iam', 'member')")
        assert migrated_database.execute(may).scalar_one() is True
        migrated_database.rollback()

    def test_reads_and_writes_rows(self, app: Any) -> None:
        app.execute("INSERT INTO rate_limits (key, count) VALUES ('a', 1)")
        app.execute("UPDATE rate_limits SET count = 2")
        app.execute("SELECT count FROM rate_limits")
        assert app.fetchall() == ([2],)
        app.execute("DELETE FROM rate_limits")

    @pytest.mark.parametrize(
        "statement",
        ["UPDATE {} SET action = 'b'", "DELETE FROM {}", "TRUNCATE {}"],
    )
    def test_only_adds_to_the_audit_log(self, app: Any, statement: str) -> None:
        app.execute(
            "INSERT INTO audit_events (at, id, action, subject_kind)"
            " VALUES (now(), gen_random_uuid(), 'a.b', 'a') RETURNING tableoid::regclass::text"
        )
        [[partition]] = app.fetchall()
        assert partition != "audit_events_default"
        app.execute("COMMIT")
        for table in ("audit_events", partition, "audit_events_default"):
            with pytest.raises(pg8000.ProgrammingError) as refused:
                app.execute(statement.format(table))
            assert refused.value.args[0]["C"] == "42501"
            assert "permission denied" in refused.value.args[0]["M"]
            app.execute("ROLLBACK")

    @pytest.mark.parametrize(
        "statement",
        ["CREATE TABLE mine (id int)", "DROP TABLE rate_limits", "TRUNCATE posts", "CREATE ROLE b"],
    )
    def test_changes_no_table(self, app: Any, statement: str) -> None:
        with pytest.raises(pg8000.ProgrammingError) as refused:
            app.execute(statement)
        assert refused.value.args[0]["C"] == "42501"

    def test_has_time_limits(self, app: Any) -> None:
        """Finding 8.6: an idle connection ends too, below the five minutes after which a cluster may sleep."""
        limits = []
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"):  # fmt: skip
            app.execute(f"SHOW {setting}")
            limits += app.fetchall()[0]
        assert limits == ["20s", "30s", "4min"]


def test_only_role_there_is_gets_the_limits(migrated_database: Connection) -> None:
    handler({}, a_context())
    with contextlib.closing(connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchall() == (["20s"],)

"""Whether what somebody did is recorded with who they are, in the same transaction, and without a text of theirs."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.access.actor import actor_of, person_of
from shared.access.context import ActingMember, Via
from shared.audit.entries import FIELDS, Action, Actor, Entry, entries_json
from shared.audit.record import record, record_all
from shared.audit.sweep import count_stray_entries, delete_old_addresses
from shared.core.ids import ApiKeyId, GrantId, OrganizationId, SessionId, UserId, new_id
from shared.db.session import unit_of_work
from shared.organizations.models import Role
from tests.counting import count_statements

EVERYTHING = Actor(
    organization_id=OrganizationId(new_id()),
    user_id=UserId(new_id()),
    impersonated_by=UserId(new_id()),
    session_id=SessionId(new_id()),
    api_key_id=ApiKeyId(new_id()),
    grant_id=GrantId(new_id()),
    link_id=new_id(),
    request_id="request-1",
    address="203.0.113.7",
)


def rows(session: Session) -> list[Any]:
    return list(
        session.execute(
            text(
                "select e.*, a.address from audit_events e left join audit_addresses a on a.audit_event_id = e.id"
                " order by e.id"
            )
        )
    )


class TestRecord:
    def test_everything_that_is_known_is_stored(self, session: Session) -> None:
        subject = new_id()
        record(
            session,
            EVERYTHING,
            Action.CUSTOMER_UPDATED,
            subject,
            before={"role": Role.ADMIN},
            after={"role": Role.VIEWER, "expiresAt": datetime(2026, 12, 1, tzinfo=UTC)},
        )
        [row] = rows(session)
        for name in Actor.__slots__:
            assert getattr(row, name) == getattr(EVERYTHING, name), name
        assert (row.action, row.subject_kind, row.subject_id) == (
            "customer.updated",
            "customer",
            subject,
        )
        assert row.before == {"role": "admin"}
        assert row.after == {"role": "viewer", "expiresAt": "2026-12-01T00:00:00+00:00"}
        assert row.at == session.execute(text("select now()")).scalar_one()

    def test_what_does_not_apply_is_null(self, session: Session) -> None:
        record(session, Actor(), Action.ACCOUNT_UPDATED)
        [row] = rows(session)
        kept = {name for name, value in row._mapping.items() if value is not None}
        assert kept == {"at", "id", "action", "subject_kind"}

    def test_several_cost_one_statement_and_stay_in_order(self, session: Session) -> None:
        subjects = [new_id() for _ in range(50)]
        with count_statements() as cost:
            record_all(session, EVERYTHING, [Entry(Action.TAG_DELETED, one) for one in subjects])
        assert cost.statements == 1
        assert [row.subject_id for row in rows(session)] == subjects

    def test_none_cost_nothing(self, session: Session) -> None:
        with count_statements() as cost:
            record_all(session, EVERYTHING, [])
        assert cost.statements == 0

    def test_it_goes_with_the_transaction(self, committed: Engine) -> None:
        def fail() -> None:
            with unit_of_work() as session:
                record(session, EVERYTHING, Action.TAG_DELETED)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with unit_of_work() as session:
            assert rows(session) == []


class TestEntries:
    @pytest.mark.parametrize("field", ["name", "email", "content"])
    def test_a_field_that_is_not_listed_is_refused(self, field: str) -> None:
        with pytest.raises(ValueError, match=f"{field} is not a field"):
            entries_json(EVERYTHING, Entry(Action.TAG_UPDATED, after={field: "x"}))

    @pytest.mark.parametrize("value", ["Ada Lovelace", "ada@example.com", ["a", "b c"], "x" * 101])
    def test_free_text_is_refused_in_any_field(self, value: object) -> None:
        with pytest.raises(ValueError, match="free text"):
            entries_json(EVERYTHING, Entry(Action.TAG_UPDATED, before={"state": value}))

    def test_an_action_begins_with_its_subject(self) -> None:
        for action in Action:
            kind, _, verb = action.value.partition(".")
            assert (kind, bool(verb)) == (action.subject_kind, True)
            assert verb.rpartition("_")[2].endswith(("ed", "t", "n")), "it is in the past tense"

    def test_no_listed_field_is_of_a_person(self) -> None:
        personal = ("name", "email", "address", "content", "text", "bio", "title", "url", "ip")
        assert [one for one in FIELDS for word in personal if word in one.lower()] == []


class TestActor:
    MEMBER = ActingMember(
        organization_id=OrganizationId(new_id()), user_id=UserId(new_id()), role=Role.OWNER,
        timezone="UTC", via=Via.SESSION, session_id=SessionId(new_id()),
        impersonated_by=UserId(new_id()), api_key_id=ApiKeyId(new_id()), grant_id=GrantId(new_id()),
        request_id="1", address="203.0.113.7",
    )  # fmt: skip

    def test_is_the_member_with_every_id(self) -> None:
        actor = actor_of(self.MEMBER)
        missing = [name for name in Actor.__slots__ if getattr(actor, name) is None]
        assert missing == ["link_id"]
        for name in set(Actor.__slots__) - {"link_id"}:
            assert getattr(actor, name) == getattr(self.MEMBER, name), name

    def test_on_their_own_account_is_in_no_organization(self) -> None:
        assert person_of(self.MEMBER).organization_id is None
        assert person_of(self.MEMBER).user_id == self.MEMBER.user_id

    def test_becomes_whom_a_request_proved(self) -> None:
        user, opened = UserId(new_id()), SessionId(new_id())
        actor = Actor(request_id="1", address="203.0.113.7").as_user(user, opened)
        assert (actor.user_id, actor.session_id, actor.address) == (user, opened, "203.0.113.7")


class TestSweep:
    def test_addresses_are_gone_after_30_days_and_the_rest_stays(self, committed: Engine) -> None:
        with unit_of_work() as session:
            record(session, EVERYTHING, Action.TAG_CREATED)
            record(session, EVERYTHING, Action.TAG_DELETED)
            session.execute(
                text(
                    "update audit_addresses set at = now() - interval '30 days' where audit_event_id ="
                    " (select id from audit_events where action = 'tag.created')"
                )
            )
        assert delete_old_addresses() == 1
        with unit_of_work() as session:
            assert [(row.action, row.address) for row in rows(session)] == [
                ("tag.created", None),
                ("tag.deleted", "203.0.113.7"),
            ]

    def test_entries_without_a_month_are_counted(
        self, session: Session, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A migration that ran before in this database has made partitions for months near today, so this one is far away."""
        record(session, EVERYTHING, Action.TAG_CREATED)
        before = count_stray_entries()
        session.execute(
            text("""
                insert into audit_events
                select (jsonb_populate_record(e, '{"at": "2100-01-01T00:00:00Z"}')).* from audit_events e
            """)
        )
        assert count_stray_entries() == before + 1
        assert f'"RowsWithoutPartition":{before + 1}' in capsys.readouterr().out


def test_ids_are_in_order_of_creation() -> None:
    """Entries of one transaction have the same time, so their order is that of their ids."""
    made = [UUID(str(new_id())) for _ in range(1000)]
    assert made == sorted(made)

"""Whether members are mailed what they want to know: once, at the right time, and to nobody else."""

import json
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.digest.app import handler
from shared.channels.models import Customer
from shared.core import clock
from shared.core.ids import CustomerId, new_id
from shared.db.session import unit_of_work
from shared.notifications.mails import mail_now, mail_overdue
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify
from shared.organizations.models import Member, Organization, Role
from tests.builders import a_customer, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.functions.test_organizations import a_notification
from tests.mails import sent_mails, verify_sender

RATE = json.loads(Path("events/scheduled_rate.json").read_text())
HOUR_AGO = timedelta(minutes=61)


@pytest.fixture(autouse=True)
def _ses(aws: None) -> None:
    verify_sender()


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session), a_user(session, email="ada@example.org"))


def run(milliseconds: int = 300_000) -> dict[str, int]:
    context = SimpleNamespace(
        function_name="digest", memory_limit_in_mb=512, invoked_function_arn="arn",
        aws_request_id="r", get_remaining_time_in_millis=lambda: milliseconds,
    )  # fmt: skip
    return handler(RATE, context)


def overdue() -> int:
    """Mail what the sweep of every minute mails."""
    return mail_overdue(go_on=lambda: True)


def a_success(
    session: Session, member: Member, *, age: timedelta = HOUR_AGO, **columns: Any
) -> None:
    a_notification(session, member, created_at=clock.now() - age, **columns)


class TestDigest:
    def test_successes_of_an_hour_are_one_mail(self, session: Session, member: Member) -> None:
        a_success(session, member, title="Published on X", link="https://x.example/1")
        a_success(session, member, title="Published on Y", age=timedelta(minutes=1))
        assert run() == {"digested": 2}
        (mail,) = sent_mails()
        assert mail.subject == "2 posts were published"
        assert "Published on X: https://x.example/1" in mail.body
        assert run() == {"digested": 0}
        assert len(sent_mails()) == 1

    def test_calendar_is_offered_where_there_is_a_console(
        self, session: Session, member: Member, configure: Configure
    ) -> None:
        for console, offered in (("", False), ("https://app.example/", True)):
            configure(FRONTEND_URL=console)
            for title in ("Published on X", "Published on Y"):
                a_success(session, member, title=title)
            run()
            assert ("Open the calendar" in sent_mails()[-1].body) is offered
        assert "https://app.example" in sent_mails()[-1].body

    def test_single_success_keeps_its_own_title(self, session: Session, member: Member) -> None:
        a_success(session, member, title="Published on X")
        run()
        assert [mail.subject for mail in sent_mails()] == ["Published on X"]

    def test_first_success_waits_for_others(self, session: Session, member: Member) -> None:
        a_success(session, member, age=timedelta(minutes=59))
        assert run()["digested"] == 0

    def test_long_digest_is_cut(self, session: Session, member: Member) -> None:
        for _ in range(23):
            a_success(session, member)
        run()
        assert "And 3 more." in sent_mails()[0].body

    def test_every_organization_gets_its_own(self, session: Session, member: Member) -> None:
        other = a_member(session, an_organization(session), a_user(session, email="b@example.org"))
        a_success(session, member, title="Ours")
        a_success(session, other, title="Theirs")
        run()
        assert sorted((mail.to[0], mail.subject) for mail in sent_mails()) == [
            ("ada@example.org", "Ours"),
            ("b@example.org", "Theirs"),
        ]

    def test_html_in_a_title_stays_text(self, session: Session, member: Member) -> None:
        a_success(session, member, title="<script>alert(1)</script>")
        run()
        assert "<script>" not in sent_mails()[0].body.partition("<!doctype")[2]

    def test_old_news_is_not_mailed(self, session: Session, member: Member) -> None:
        a_success(session, member, age=timedelta(days=4))
        assert run()["digested"] == 0

    def test_mails_claimed_by_another_run_are_left_to_it(
        self, session: Session, member: Member
    ) -> None:
        a_success(session, member)
        session.execute(
            text("update notifications set mail_claimed_until = now() + interval '1 minute'")
        )
        assert run()["digested"] == 0
        session.execute(text("update notifications set mail_claimed_until = now()"))
        assert run()["digested"] == 1

    def test_stops_before_its_time_is_up(self, session: Session, member: Member) -> None:
        a_success(session, member)
        assert run(milliseconds=60_000)["digested"] == 0
        assert run(milliseconds=60_001)["digested"] == 1


class TestPreferences:
    @pytest.mark.parametrize(
        ("unwanted", "kind", "mailed"),
        [
            ("sends_success_mails", NotificationKind.SUCCESS, False),
            ("sends_success_mails", NotificationKind.FAILURE, True),
            ("sends_failure_mails", NotificationKind.FAILURE, False),
            ("sends_failure_mails", NotificationKind.SUCCESS, True),
            ("sends_failure_mails", NotificationKind.INFO, True),
        ],
    )
    def test_are_honored(
        self, session: Session, unwanted: str, kind: NotificationKind, mailed: bool
    ) -> None:
        user = a_user(session)
        setattr(user, unwanted, False)
        a_success(session, a_member(session, an_organization(session), user), kind=kind)
        run()
        overdue()
        assert bool(sent_mails()) is mailed

    def test_disabled_member_is_not_mailed(self, session: Session, member: Member) -> None:
        member.disabled = True
        session.flush()
        a_success(session, member)
        run()
        assert not sent_mails()


class TestMailNow:
    def test_failure_is_mailed_when_its_transaction_is_committed(
        self, session: Session, member: Member
    ) -> None:
        with unit_of_work() as work:
            _fail(work, member)
            assert not sent_mails()
        (mail,) = sent_mails()
        assert (mail.to, mail.subject) == (("ada@example.org",), "Not published")
        assert "https://roost.example/p/1" in mail.body
        assert run() == {"digested": 0}

    def test_same_incident_is_told_once(self, session: Session, member: Member) -> None:
        for _ in range(2):
            with unit_of_work() as work:
                _fail(work, member)
        assert len(sent_mails()) == 1

    def test_what_could_not_be_mailed_is_mailed_later(
        self, session: Session, member: Member, configure: Configure
    ) -> None:
        configure(MAIL_TRANSPORT="smtp", SMTP_HOST="127.0.0.1", SMTP_PORT="1")
        with unit_of_work() as work:
            _fail(work, member)
        configure(MAIL_TRANSPORT="ses")
        assert overdue() == 0
        session.execute(
            text(
                "update notifications set mail_claimed_until = now(), "
                "created_at = now() - interval '3 minutes'"
            )
        )
        assert overdue() == 1
        assert len(sent_mails()) == 1

    def test_second_call_mails_nothing(self, session: Session, member: Member) -> None:
        row = a_notification(session, member, kind=NotificationKind.FAILURE)
        mail_now([row.id])
        mail_now([row.id])
        assert len(sent_mails()) == 1


class _Smtp:
    """A mail server that takes everything. `taken` are the subjects."""

    taken: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> "_Smtp":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def starttls(self, **_: Any) -> None:
        pass

    def send_message(self, message: EmailMessage) -> None:
        message.as_bytes()
        self.taken.append((message["To"], message["Subject"]))


class TestLettersThatCannotBeBuilt:
    @pytest.fixture
    def smtp(self, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> type[_Smtp]:
        configure(MAIL_TRANSPORT="smtp", SMTP_HOST="127.0.0.1", SMTP_PORT="25")
        monkeypatch.setattr("smtplib.SMTP", _Smtp)
        _Smtp.taken.clear()
        return _Smtp

    def test_a_title_with_a_break_is_one_line(
        self, session: Session, member: Member, smtp: type[_Smtp]
    ) -> None:
        """Finding 2.9: a channel's name with a newline ended the digest every hour."""
        a_success(session, member, title="Published on Ada\r\nBcc: all@example.org")
        assert run() == {"digested": 1}
        assert smtp.taken == [("ada@example.org", "Published on Ada Bcc: all@example.org")]

    def test_the_others_get_theirs_once(
        self, session: Session, member: Member, smtp: type[_Smtp]
    ) -> None:
        """Finding 2.9: what was sent is marked, so the next hour mails it to nobody again."""
        broken = a_member(
            session, an_organization(session), a_user(session, email="eve@example.org\nx: y")
        )
        a_success(session, broken, title="Published on E")
        a_success(session, member, title="Published on X")
        assert run() == {"digested": 2}
        assert smtp.taken == [("ada@example.org", "Published on X")]
        session.execute(text("update notifications set mail_claimed_until = now()"))
        assert run() == {"digested": 0}
        assert len(smtp.taken) == 1

    def test_what_was_sent_before_a_stop_is_marked(
        self,
        session: Session,
        member: Member,
        smtp: type[_Smtp],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        other = a_member(
            session, an_organization(session), a_user(session, email="grace@example.org")
        )
        a_success(session, member, title="Published on X")
        a_success(session, other, title="Published on Y")

        def stop_at_the_second(self: _Smtp, message: EmailMessage) -> None:
            if self.taken:
                raise KeyboardInterrupt
            self.taken.append((message["To"], message["Subject"]))

        monkeypatch.setattr(_Smtp, "send_message", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run()
        marked = session.execute(
            text("select count(*) from notifications where mailed_at is not null")
        )
        assert marked.scalar_one() == 1

    def test_a_notification_is_cleaned_when_it_is_stored(
        self, session: Session, member: Member
    ) -> None:
        notify(
            session,
            member.organization_id,
            NotificationKind.SUCCESS,
            title="A\nB\u202e" + "x" * 900,
            content="C\x00",
            link="javascript:alert(1)",
        )
        row = session.execute(text("select title, content, link from notifications")).one()
        assert row.title.startswith("A Bxxx")
        assert len(row.title) == 300
        assert (row.content, row.link) == ("C", None)


def _fail(session: Session, member: Member) -> None:
    notify(
        session,
        member.organization_id,
        NotificationKind.FAILURE,
        title="Not published",
        content="The platform refused it.",
        link="https://roost.example/p/1",
        dedupe_key="failed:1",
    )


class TestCustomers:
    """Members who are limited to customers are emailed about those alone."""

    @pytest.fixture
    def scoped(self, session: Session, member: Member) -> Customer:
        """Add a second member, who sees only this customer."""
        organization = session.get_one(Organization, member.organization_id)
        customer = a_customer(session, organization)
        grace = a_user(session, email="grace@example.org")
        a_member(session, organization, grace, role=Role.EDITOR, customers=[customer.id])
        return customer

    def test_digest_has_what_its_reader_sees(
        self, session: Session, member: Member, scoped: Customer
    ) -> None:
        a_success(session, member, title="Published for her", customer_id=scoped.id)
        a_success(session, member, title="Published for another", customer_id=new_id())
        a_success(session, member, title="Published for all")
        assert run() == {"digested": 3}
        ada, grace = sorted(sent_mails(), key=lambda mail: mail.to)
        assert (ada.to, ada.subject) == (("ada@example.org",), "3 posts were published")
        assert (grace.to, grace.subject) == (("grace@example.org",), "Published for her")

    def test_failure_is_emailed_to_those_who_see_it(
        self, session: Session, member: Member, scoped: Customer
    ) -> None:
        for title, customer_id in (
            ("Hers", scoped.id),
            ("Another's", CustomerId(new_id())),
            ("All", None),
        ):
            with unit_of_work() as inside:
                notify(
                    inside,
                    member.organization_id,
                    NotificationKind.FAILURE,
                    title=title,
                    content="c",
                    customer_id=customer_id,
                )
        sent = [(mail.to[0], mail.subject) for mail in sent_mails()]
        assert [subject for to, subject in sent if to == "grace@example.org"] == ["Hers"]
        assert len(sent) == 4

    def test_nothing_that_nobody_sees_waits(
        self, session: Session, member: Member, scoped: Customer
    ) -> None:
        session.execute(text("update members set customers = array[]::uuid[] where role = 'owner'"))
        a_success(session, member, title="Published for nobody")
        assert run() == {"digested": 1}
        assert (sent_mails(), run()) == ([], {"digested": 0})

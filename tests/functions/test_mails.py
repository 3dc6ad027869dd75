"""Does every email about an account leave once, retry when it is refused, and say nothing where it does not belong?"""

import io
import json
import re

import pytest
from botocore.exceptions import EndpointConnectionError
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.dead_letter.app import handler as dead_letter
from functions.mails.app import handler
from layers.build import ROOT
from shared.access.passwords import reset_password
from shared.aws import mail as transport
from shared.aws.mail import Mail
from shared.db.session import unit_of_work
from shared.identity.mails import AccountMail, queue_mail, request_account_mail
from tests.builders import a_user
from tests.conftest import Configure
from tests.gateway import put_app_secret
from tests.mails import CONTEXT, make_mails_queue, queued_mails, send, sent_mails, verify_sender

MAIL = Mail("ada@example.org", "Your password was changed", "A text.", "<p>A text.</p>")


@pytest.fixture(autouse=True)
def _queue(session: Session, aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)


def refuse(mail: object) -> None:
    raise EndpointConnectionError(endpoint_url="https://email")


class TestQueueMail:
    def test_leaves_after_the_commit(self) -> None:
        with unit_of_work() as session:
            queue_mail(session, MAIL)
            assert queued_mails() == []
        (sent,) = sent_mails()
        assert (sent.to, sent.subject, sent.body) == ((MAIL.to,), MAIL.subject, MAIL.html)

    def test_never_leaves_without_the_commit(self) -> None:
        with pytest.raises(RuntimeError), unit_of_work() as session:
            queue_mail(session, MAIL)
            raise RuntimeError
        assert queued_mails() == []

    def test_queue_that_is_gone_undoes_nothing(
        self, configure: Configure, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure(MAILS_QUEUE_URL="https://sqs.us-east-1.amazonaws.com/123456789012/gone")
        with unit_of_work() as session:
            queue_mail(session, MAIL)
        assert '"AfterCommitFailures":1}' in capsys.readouterr().out

    def test_nothing_is_queued_where_no_mails_are_sent(self, configure: Configure) -> None:
        configure(MAIL_TRANSPORT="none")
        with unit_of_work() as session:
            queue_mail(session, MAIL)
        request_account_mail(AccountMail.RESET_PASSWORD, MAIL.to)
        assert queued_mails() == []


class TestSending:
    def test_recorded_event(self, session: Session) -> None:
        a_user(session, email="ada@example.org")
        event = json.loads((ROOT / "events" / "mails_message.json").read_text())
        assert handler(event, CONTEXT) == {"batchItemFailures": []}
        assert [mail.subject for mail in sent_mails()] == ["Set a new password"]

    def test_refused_mail_returns_to_the_queue_and_its_next_try_has_a_link_that_works(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = a_user(session)
        request_account_mail(AccountMail.RESET_PASSWORD, ada.email)
        (body,) = queued_mails()
        with monkeypatch.context() as patch:
            patch.setattr(transport, "_send_by_ses", refuse)
            assert not send(body)
        # The queue hands it out again after more than the pause between two codes.
        session.execute(
            text("update challenges set created_at = created_at - interval '61 seconds'")
        )
        assert send(body)
        token = re.search(r"token=([\w-]+)", sent_mails()[-1].body)
        assert token
        reset_password(token[1], "correct horse battery")

    @pytest.mark.parametrize("about", AccountMail)
    def test_address_without_an_account_gets_none(self, about: AccountMail) -> None:
        request_account_mail(about, "nobody@example.org")
        assert sent_mails() == []

    @pytest.mark.parametrize("about", AccountMail)
    def test_message_about_an_account_contains_the_address_alone(
        self, session: Session, about: AccountMail
    ) -> None:
        ada = a_user(session)
        request_account_mail(about, ada.email)
        assert queued_mails() == [{"about": about, "email": ada.email, "registration": None}]


class TestDeadLetter:
    @pytest.mark.parametrize(
        "body",
        [
            {"about": "reset_password", "email": "ada@example.org"},
            {"mail": {"to": "ada@example.org", "text": "A secret link", "html": ""}},
        ],
    )
    def test_names_the_reason_but_neither_address_nor_text(
        self, body: dict[str, object], log_lines: io.StringIO
    ) -> None:
        record = {
            "messageId": "m", "body": json.dumps(body), "attributes": {},
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:roost-dev-MailsDeadLetterQueue",
        }  # fmt: skip
        assert dead_letter({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}
        (line,) = [json.loads(line) for line in log_lines.getvalue().splitlines()]
        assert (line["message"], line.get("about")) == ("mail.lost", body.get("about"))
        assert line["queue"] == "roost-dev-MailsDeadLetterQueue"
        assert "ada@" not in log_lines.getvalue()
        assert "secret link" not in log_lines.getvalue()

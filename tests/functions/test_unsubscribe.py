"""Whether a member stops the mails they want to stop, by a link in one of them, and nobody else does."""

import email
import email.policy
import re
from datetime import timedelta
from email.message import EmailMessage
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.identity.app import app
from shared.core import clock
from shared.core.config import settings
from shared.identity.models import MailKind
from shared.identity.unsubscribe import unsubscribe_url
from shared.notifications.mails import mail_digests, mail_now
from shared.notifications.models import NotificationKind
from shared.organizations.models import Member
from tests.builders import a_member, a_user, an_organization
from tests.conftest import Configure
from tests.counting import count_statements
from tests.functions.test_organizations import a_notification
from tests.functions.test_principals import fingerprint
from tests.gateway import Answer, Gateway, put_app_secret
from tests.mails import make_mails_queue, queued_mails, send

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class _Smtp:
    """A mail server that takes everything and keeps it as it was on its way."""

    def __init__(self, taken: list[bytes]) -> None:
        self.taken = taken

    def __call__(self, *_: Any, **__: Any) -> "_Smtp":
        return self

    def __enter__(self) -> "_Smtp":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def starttls(self, **_: Any) -> None:
        pass

    def send_message(self, message: EmailMessage) -> None:
        self.taken.append(message.as_bytes())


@pytest.fixture
def taken(configure: Configure, monkeypatch: pytest.MonkeyPatch, aws: None) -> list[bytes]:
    configure(MAIL_TRANSPORT="smtp", SMTP_HOST="127.0.0.1", SMTP_PORT="25")
    put_app_secret()
    mails: list[bytes] = []
    monkeypatch.setattr("smtplib.SMTP", _Smtp(mails))
    return mails


@pytest.fixture
def member(session: Session) -> Member:
    return a_member(session, an_organization(session), a_user(session, email="ada@example.org"))


def mail_of(
    session: Session, member: Member, kind: NotificationKind, taken: list[bytes]
) -> EmailMessage | None:
    """Notify the member's organization; return the mail that the member got of it."""
    taken.clear()
    mail_now([a_notification(session, member, kind=kind).id])
    if not taken:
        return None
    [raw] = taken
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def link_in(mail: EmailMessage | None) -> str:
    assert mail is not None
    found = re.fullmatch(r"<(\S+)>", mail["List-Unsubscribe"])
    assert found
    return found[1]


def open_link(url: str, method: str = "GET", **options: Any) -> Answer:
    assert url.startswith(settings().public_url + "/")
    parts = urlsplit(url)
    return Gateway(app).call(method, parts.path, query=parts.query, **options)


def switches(session: Session, member: Member) -> tuple[bool, bool]:
    row = session.execute(
        text("select sends_success_mails, sends_failure_mails from users where id = :id"),
        {"id": member.user_id},
    ).one()
    return row[0], row[1]


class TestHeaders:
    @pytest.mark.parametrize("kind", [NotificationKind.SUCCESS, NotificationKind.FAILURE])
    def test_mails_that_can_be_switched_off_say_how(
        self, session: Session, member: Member, taken: list[bytes], kind: NotificationKind
    ) -> None:
        """Finding 4.5: RFC 2369 and RFC 8058, and the same link for those whose program shows no button."""
        mail = mail_of(session, member, kind, taken)
        assert mail is not None
        assert mail["List-Unsubscribe-Post"] == ONE_CLICK
        for part in ("plain", "html"):
            body = mail.get_body((part,))
            assert body is not None
            assert link_in(mail) in body.get_content()

    def test_a_long_address_stays_as_it_is(
        self, session: Session, member: Member, taken: list[bytes], configure: Configure
    ) -> None:
        """Finding 4.5: Python would write an address longer than a line as an encoded word."""
        configure(PUBLIC_URL=f"https://{'a-long-name.' * 10}example.org")
        mail_of(session, member, NotificationKind.FAILURE, taken)
        [line] = [
            line for line in taken[0].splitlines() if line.lower().startswith(b"list-unsubscribe:")
        ]
        assert line.startswith(b"List-Unsubscribe: <https://a-long-name.")
        assert line.endswith(b">")

    def test_news_that_always_come_offer_no_switch(
        self, session: Session, member: Member, taken: list[bytes]
    ) -> None:
        """Finding 4.5: a channel's new tokens are told whatever a member chose."""
        mail = mail_of(session, member, NotificationKind.INFO, taken)
        assert mail is not None
        assert not [name for name in mail if name.lower().startswith("list-")]
        assert "unsubscribe" not in mail.as_string()

    def test_mails_about_the_account_offer_no_switch(
        self, session: Session, member: Member, taken: list[bytes], configure: Configure
    ) -> None:
        """Finding 4.5: nobody can switch off the mails that let them in."""
        make_mails_queue(configure)
        browser = Gateway(app)
        account = {"provider": "LOCAL", "email": "new@example.org", "password": "correct horse"}
        browser.post("/auth/register", {**account, "company": "Analytical Engines"})
        browser.post("/auth/forgot", {"email": "ada@example.org"})
        assert all(send(body) for body in queued_mails())
        assert len(taken) == 2
        assert not [raw for raw in taken if b"unsubscribe" in raw.lower()]


class TestOneClick:
    @pytest.mark.parametrize(
        ("kind", "left"),
        [(NotificationKind.SUCCESS, (False, True)), (NotificationKind.FAILURE, (True, False))],
    )
    def test_stops_that_kind_of_mail_for_that_member(
        self,
        session: Session,
        member: Member,
        taken: list[bytes],
        kind: NotificationKind,
        left: tuple[bool, bool],
    ) -> None:
        """Finding 4.5: a POST without a cookie, a key or an origin, as mail programs send it."""
        url = link_in(mail_of(session, member, kind, taken))
        other = a_member(session, an_organization(session))
        for _ in range(2):
            answer = open_link(url, "POST", text=ONE_CLICK, headers=FORM)
            assert (answer.status, answer.headers["content-type"]) == (
                200,
                "text/html; charset=utf-8",
            )
            assert "Switched off" in answer.text
        assert switches(session, member) == left
        assert switches(session, other) == (True, True)
        assert mail_of(session, member, kind, taken) is None

    def test_takes_the_other_form_of_body_too(
        self, session: Session, member: Member, taken: list[bytes]
    ) -> None:
        url = link_in(mail_of(session, member, NotificationKind.FAILURE, taken))
        body = '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert open_link(url, "POST", content=body.encode(), headers=headers).status == 200
        assert switches(session, member) == (True, False)

    def test_a_link_of_long_ago_works_and_after_a_change_of_secrets(
        self, session: Session, member: Member, taken: list[bytes]
    ) -> None:
        """Finding 4.5: nothing that is rotated makes the link, and nothing in it expires."""
        url = link_in(mail_of(session, member, NotificationKind.FAILURE, taken))
        session.execute(text("update users set password_hash = 'changed', updated_at = now()"))
        put_app_secret()
        assert link_in(mail_of(session, member, NotificationKind.FAILURE, taken)) == url
        assert open_link(url, "POST", text=ONE_CLICK, headers=FORM).status == 200

    def test_costs_four_statements(
        self, session: Session, member: Member, taken: list[bytes]
    ) -> None:
        url = link_in(mail_of(session, member, NotificationKind.FAILURE, taken))
        with count_statements() as cost:
            open_link(url, "POST", text=ONE_CLICK, headers=FORM)
        assert cost.statements == 4  # rate, seed, switch, audit log


class TestOpening:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_changes_nothing(
        self, session: Session, member: Member, taken: list[bytes], method: str
    ) -> None:
        """Finding 4.5: scanners and prefetchers open links; only the button on the page switches off."""
        url = link_in(mail_of(session, member, NotificationKind.FAILURE, taken))
        before = fingerprint(session)
        answer = open_link(url, method, headers=BROWSER)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert fingerprint(session) == before

    def test_shows_a_button_that_sends_the_one_click(
        self, session: Session, member: Member, taken: list[bytes]
    ) -> None:
        url = link_in(mail_of(session, member, NotificationKind.FAILURE, taken))
        page = open_link(url, headers=BROWSER)
        assert "emails about posts that need attention" in page.text
        assert '<form method="post"><button name="List-Unsubscribe" value="One-Click">' in page.text
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert "<script" not in page.text


class TestForgery:
    @pytest.mark.parametrize(
        ("method", "token"),
        [
            *product(("GET", "POST"), ("x", "failure.x.y", "info.{user}.x")),
            ("POST", "failure.{user}"),
            ("POST", "failure.{user}.é"),
        ],
    )
    def test_what_is_no_token_is_refused(
        self, session: Session, member: Member, taken: list[bytes], method: str, token: str
    ) -> None:
        query = {"token": token.format(user=member.user_id.hex)}
        answer = Gateway(app).call(method, "/user/unsubscribe", query=query, headers=BROWSER)
        assert (answer.status, "This link cannot be used" in answer.text) == (422, True)
        answer = Gateway(app).call(method, "/user/unsubscribe", query=query)
        assert [each["code"] for each in answer.json["errors"]] == ["unsubscribe_refused"]
        assert switches(session, member) == (True, True)

    def test_a_token_is_of_one_member_and_one_kind(
        self, session: Session, member: Member, taken: list[bytes]
    ) -> None:
        """Finding 4.5: with one's own links nothing of anybody else's is switched off, nor another kind."""
        other = a_member(session, an_organization(session), a_user(session, email="b@example.org"))
        url = link_in(mail_of(session, member, NotificationKind.FAILURE, taken))
        for old, new in (
            ("token=failure.", "token=success."),
            (member.user_id.hex, other.user_id.hex),
            (url[-8:], url[-8:].swapcase()),
            (member.user_id.hex, "0" * 32),
        ):
            assert old in url
            assert open_link(url.replace(old, new), "POST").status == 422
        assert switches(session, member) == switches(session, other) == (True, True)

    def test_every_user_has_a_seed_of_their_own(self, session: Session) -> None:
        """Finding 4.5: also who was there before the migration, and whoever older code adds."""
        for _ in range(3):
            a_user(session)
        seeds = session.execute(text("select unsubscribe_seed from users")).scalars().all()
        assert {len(seed) for seed in seeds} == {32}
        assert len(set(seeds)) == len(seeds) == 3

    def test_links_of_one_user_differ_by_kind(self, member: Member) -> None:
        links = {unsubscribe_url(member.user_id, b"x" * 32, kind) for kind in MailKind}
        assert len({link.rpartition(".")[2] for link in links}) == len(MailKind)


def test_a_digest_has_the_link_too(session: Session, member: Member, taken: list[bytes]) -> None:
    """Finding 4.5: the digest of several posts, sent by the hourly function."""
    for _ in range(2):
        a_notification(session, member, created_at=clock.now() - timedelta(hours=2))
    assert mail_digests(go_on=lambda: True) == 2
    [raw] = taken
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    assert read["Subject"] == "2 posts were published"
    assert open_link(link_in(read), "POST", text=ONE_CLICK, headers=FORM).status == 200
    assert switches(session, member) == (False, True)

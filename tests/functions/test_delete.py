"""Does deleting end all access at once, does a mailed link undo it, and is everything gone after the two weeks?"""

import json
import re
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pytest
import respx
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.channels import app as channels
from functions.erase.app import handler
from functions.identity.app import app
from functions.organizations.app import app as organizations
from shared.aws import storage
from shared.core.config import settings
from shared.core.ids import new_id
from shared.db.base import Base
from shared.db.session import unit_of_work
from shared.erasure import erase
from shared.erasure.queries import LARGE_TABLES
from shared.identity.models import Login, LoginProvider
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify
from shared.notifications.queries import LIST_RECIPIENTS
from shared.organizations.deletions import request_due_deletions
from shared.organizations.models import Member, Organization, Role
from tests.builders import (
    PASSWORD,
    PASSWORD_HASH,
    a_media,
    a_member,
    a_post,
    a_user,
    an_organization,
)
from tests.conftest import Configure
from tests.gateway import Gateway, as_member, by_grant, by_key, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender
from tests.shared.channels.builders import BLUESKY, a_bluesky_channel, set_up_platforms
from tests.shared.media.storage import keys, make_storage

ADDRESS, NAME, NETWORK = "countess@lovelace.example", "Augusta Lovelace", "198.51.100.77"
CONTEXT = SimpleNamespace(
    function_name="erase", memory_limit_in_mb=512, invoked_function_arn="arn", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 600_000,
)  # fmt: skip
REVOKED = f"{BLUESKY}/xrpc/com.atproto.server.deleteSession"


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)
    configure(ERASE_QUEUE_URL=boto3.client("sqs").create_queue(QueueName="erase")["QueueUrl"])
    set_up_platforms(configure)
    make_storage(configure)


@pytest.fixture
def organization(session: Session) -> Organization:
    return an_organization(session, name="Analytical Engines")


@pytest.fixture
def member(session: Session, organization: Organization) -> Member:
    return a_member(session, organization, a_user(session, email=ADDRESS, name=NAME))


@pytest.fixture
def browser(member: Member) -> Gateway:
    browser = Gateway(app, address=NETWORK)
    assert browser.post("/auth/login", {"email": ADDRESS, "password": PASSWORD}).status == 200
    return browser


def delete_account(browser: Gateway) -> dict[str, Any]:
    answer = browser.delete("/user/account")
    assert answer.status == 200, answer.text
    deleted: dict[str, Any] = answer.json
    return deleted


def code_of(subject: str) -> str:
    """Return the code of the last email with a subject."""
    mail = [one for one in sent_mails() if one.subject == subject][-1]
    found = re.search(r"code=([\w-]+)", mail.body)
    assert found
    return found[1]


def later(session: Session, days: float) -> None:
    """Let time pass for what was deleted."""
    session.execute(
        text(
            "update deletions set erase_at = erase_at - make_interval(secs => :seconds),"
            " deleted_at = deleted_at - make_interval(secs => :seconds)"
        ),
        {"seconds": days * 86_400},
    )


def work_off(context: Any = CONTEXT) -> int:
    """Have the function take the messages that wait; return how many there were."""
    sqs, url, done = boto3.client("sqs"), settings().erase_queue_url, 0
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages"):
        [message] = messages
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        record = {"messageId": "m", "body": message["Body"], "attributes": {}}
        assert handler({"Records": [record]}, context) == {"batchItemFailures": []}
        done += 1
    return done


def erase_all(session: Session) -> None:
    later(session, 14.1)
    request_due_deletions()
    work_off()


def rows(session: Session, table: str) -> int:
    return int(session.execute(text(f"select count(*) from {table}")).scalar_one())


class TestMarkedAccount:
    def test_all_access_ends_at_once(
        self, session: Session, browser: Gateway, member: Member
    ) -> None:
        other = as_member(app, session, member)
        key, grant = by_key(app, session, member), by_grant(app, session, member)
        for one in (browser, other, key, grant):
            assert one.get("/user/self").status == 200
        renewing = dict(browser.cookies)
        assert delete_account(browser)["organizations"] == [str(member.organization_id)]
        assert "auth" not in browser.cookies
        for one in (browser, other, key, grant):
            assert one.get("/user/self").status == 401
        assert Gateway(app, cookies=renewing).post("/auth/renew").status == 401
        refused = Gateway(app).post("/auth/login", {"email": ADDRESS, "password": PASSWORD})
        assert (refused.status, refused.json["code"]) == (401, "login_refused")

    def test_needs_a_fresh_proof(self, session: Session, browser: Gateway) -> None:
        session.execute(
            text("update sessions set authenticated_at = now() - interval '11 minutes'")
        )
        for path in ("/user/account", "/settings/organization"):
            served = app if path.startswith("/user") else organizations
            answer = Gateway(served, cookies=browser.cookies).delete(path)
            assert (answer.status, answer.json["code"]) == (403, "fresh_login_needed")

    def test_route_of_existing_clients_does_the_same(self, browser: Gateway) -> None:
        assert browser.post("/user/delete-account").json["deleted"]
        assert browser.get("/user/self").status == 401

    def test_others_need_an_owner_first(
        self, session: Session, browser: Gateway, member: Member, organization: Organization
    ) -> None:
        a_member(session, organization, role=Role.ADMIN)
        answer = browser.delete("/user/account")
        assert (answer.status, answer.json["code"]) == (409, "others_need_an_owner")
        assert "Analytical Engines" in answer.json["detail"]
        assert answer.json["organizations"] == [str(organization.id)]
        a_member(session, organization, role=Role.OWNER)
        assert delete_account(browser)["organizations"] == []
        assert rows(session, "organizations where deleted_at is not null") == 0

    def test_is_recorded(self, session: Session, browser: Gateway, member: Member) -> None:
        by_key(app, session, member)
        delete_account(browser)
        actions = set(session.scalars(text("select action from audit_events")))
        assert {"account.deleted", "organization.deleted", "api_key.revoked"} <= actions


class TestMarkedOrganization:
    def test_lets_nobody_in(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        editor = as_member(
            organizations, session, a_member(session, organization, role=Role.EDITOR)
        )
        key, grant = by_key(app, session, member), by_grant(app, session, member)
        owner = as_member(organizations, session, member)
        assert owner.delete("/settings/organization").json["organizations"] == [
            str(organization.id)
        ]
        assert editor.get("/settings/organization").json["code"] == "organization_gone"
        for one in (key, grant):
            assert one.get("/user/self").status == 401
        del owner.headers["showorg"]
        assert owner.get("/settings/organization").json["code"] == "no_organization"
        assert {mail.to[0] for mail in sent_mails()} >= {ADDRESS}

    def test_only_an_owner_deletes_it(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        admin = as_member(organizations, session, a_member(session, organization, role=Role.ADMIN))
        assert admin.delete("/settings/organization").json["code"] == "role_too_low"

    def test_connection_that_has_begun_cannot_be_finished(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        caller = as_member(channels.app, session, member)
        url = caller.get("/integrations/social/mastodon").json["url"]
        state = httpx.URL(url).params["state"]
        session.execute(text("update organizations set deleted_at = now()"))
        page = caller.get("/app/integrations/social/mastodon", query={"code": "c", "state": state})
        assert (page.status, "already finished" in page.text) == (409, True), page.text

    def test_refreshed_token_and_its_app_end(self, session: Session, member: Member) -> None:
        """An app of a deleted organization gets no tokens of other organizations either."""
        elsewhere = a_member(session, an_organization(session))
        grant = by_grant(app, session, elsewhere)
        assert grant.get("/user/self").status == 200
        session.execute(
            text("update oauth_apps set organization_id = :id"), {"id": member.organization_id}
        )
        session.execute(
            text("update organizations set deleted_at = now() where id = :id"),
            {"id": member.organization_id},
        )
        assert grant.get("/user/self").status == 401

    def test_members_are_not_emailed_about_its_posts(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        assert LIST_RECIPIENTS.all(session, [organization.id])
        session.execute(text("update organizations set deleted_at = now()"))
        assert LIST_RECIPIENTS.all(session, [organization.id]) == []


class TestReturn:
    def test_opening_the_link_changes_nothing_and_pressing_its_button_restores(
        self, session: Session, browser: Gateway, member: Member
    ) -> None:
        by_key(app, session, member)
        delete_account(browser)
        code = code_of("Your account was deleted")
        page = Gateway(app).get("/auth/return", query={"code": code})
        assert f'data-code="{code}"' in page.text
        assert rows(session, "deletions") == 2
        assert Gateway(app).post("/auth/return", {"code": code}).json == {"restored": "account"}
        assert rows(session, "deletions") == 0
        again = Gateway(app).post("/auth/return", {"code": code})
        assert (again.status, again.json["errors"][0]["code"]) == (422, "code_refused")
        back = Gateway(app)
        assert back.post("/auth/login", {"email": ADDRESS, "password": PASSWORD}).status == 200
        assert back.get("/user/self").json["orgId"] == str(member.organization_id)
        assert rows(session, "api_keys where revoked_at is null") == 0

    def test_address_that_was_taken_meanwhile(self, session: Session, browser: Gateway) -> None:
        delete_account(browser)
        a_user(session, email=ADDRESS)
        code = code_of("Your account was deleted")
        answer = Gateway(app).post("/auth/return", {"code": code})
        assert (answer.status, answer.json["code"]) == (409, "address_in_use")
        assert rows(session, "deletions") == 2

    def test_organization_comes_back_as_it_was(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        key, owner = by_key(app, session, member), as_member(organizations, session, member)
        owner.delete("/settings/organization")
        code = code_of("Analytical Engines was deleted")
        assert Gateway(app).post("/auth/return", {"code": code}).json == {
            "restored": "organization"
        }
        assert key.get("/user/self").status == 200
        assert owner.get("/settings/organization").status == 200

    def test_organization_whose_owner_is_deleted_waits_for_them(
        self, session: Session, member: Member, browser: Gateway
    ) -> None:
        as_member(organizations, session, member).delete("/settings/organization")
        of_organization = code_of("Analytical Engines was deleted")
        delete_account(browser)
        refused = Gateway(app).post("/auth/return", {"code": of_organization})
        assert (refused.status, refused.json["code"]) == (409, "nobody_to_return_to")
        of_account = code_of("Your account was deleted")
        assert Gateway(app).post("/auth/return", {"code": of_account}).status == 200
        assert Gateway(app).post("/auth/return", {"code": of_organization}).status == 200

    def test_nothing_comes_back_once_erasing_has_begun(
        self, session: Session, browser: Gateway
    ) -> None:
        delete_account(browser)
        code = code_of("Your account was deleted")
        session.execute(text("update deletions set erasing_at = now()"))
        assert Gateway(app).post("/auth/return", {"code": code}).status == 422

    def test_server_without_email_shows_the_link(
        self, browser: Gateway, configure: Configure
    ) -> None:
        configure(MAIL_TRANSPORT="none")
        url = delete_account(browser)["returnUrl"]
        code = str(httpx.URL(url).params["code"])
        assert Gateway(app).post("/auth/return", {"code": code}).status == 200


class TestReminder:
    def test_is_sent_once_two_days_before_the_end_with_a_link_that_works(
        self, session: Session, browser: Gateway
    ) -> None:
        delete_account(browser)
        first = code_of("Your account was deleted")
        assert request_due_deletions() == 0
        later(session, 12.5)
        assert request_due_deletions() == 1
        work_off()
        request_due_deletions()
        work_off()
        subjects = [mail.subject for mail in sent_mails()]
        assert subjects.count("Your account will be erased") == 1
        second = code_of("Your account will be erased")
        assert first != second
        assert Gateway(app).post("/auth/return", {"code": second}).status == 200
        assert Gateway(app).post("/auth/return", {"code": first}).status == 422

    def test_owners_of_an_organization_get_theirs(self, session: Session, member: Member) -> None:
        as_member(organizations, session, member).delete("/settings/organization")
        later(session, 13)
        request_due_deletions()
        work_off()
        code = code_of("Analytical Engines will be erased")
        assert Gateway(app).post("/auth/return", {"code": code}).status == 200


class TestErase:
    @pytest.fixture(autouse=True)
    def _platform(self, respx_mock: respx.MockRouter) -> None:
        self.revoked = respx_mock.post(REVOKED).respond(200, json={})

    def fill(self, session: Session, organization: Organization, member: Member) -> None:
        """Give an organization one of what matters."""
        channel = a_bluesky_channel(session, organization)
        root = a_post(session, channel, created_by=member.user_id)
        a_post(session, channel, parent=root, created_by=member.user_id)
        file = a_media(
            session,
            organization,
            uploaded_by=member.user_id,
            key=f"files/{organization.id}/{new_id()}/a.png",
        )
        storage.put(file.key, b"x", content_type="image/png")
        storage.put(f"incoming/{organization.id}/a/b", b"x", content_type="image/png")
        with unit_of_work() as inside:
            notify(inside, organization.id, NotificationKind.INFO, title="t", content="c")

    def test_organization_is_gone_and_its_grants_are_given_back(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        self.fill(session, organization, member)
        other = an_organization(session)
        kept = str(other.id)
        self.fill(session, other, a_member(session, other))
        as_member(organizations, session, member).delete("/settings/organization")
        later(session, 13)
        request_due_deletions()
        work_off()
        assert rows(session, "posts") == 4  # not yet
        later(session, 1.1)
        request_due_deletions()
        work_off()
        assert self.revoked.call_count == 1
        assert (
            self.revoked.calls.last.request.headers["authorization"] == "Bearer old-refresh-token"
        )
        session.expire_all()
        assert session.scalars(text("select id::text from organizations")).all() == [kept]
        assert (rows(session, "posts"), rows(session, "channels"), rows(session, "media")) == (
            2,
            1,
            1,
        )
        assert rows(session, "deletions") == 0
        assert {key.split("/")[1] for key in keys()} == {kept}
        assert [mail.subject for mail in sent_mails()][-1] == "Analytical Engines was erased"

    def test_platform_that_does_not_answer_keeps_nothing(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        self.fill(session, organization, member)
        self.revoked.mock(side_effect=httpx.ConnectError("gone"))
        as_member(organizations, session, member).delete("/settings/organization")
        erase_all(session)
        assert rows(session, "organizations") == 0

    def test_process_that_is_killed_between_pages_goes_on(
        self,
        session: Session,
        member: Member,
        organization: Organization,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """At each page in turn the process ends; the message comes back, and the next one goes on."""
        self.fill(session, organization, member)
        as_member(organizations, session, member).delete("/settings/organization")
        later(session, 14.1)
        monkeypatch.setattr(erase, "PAGE_SIZE", 1)
        body = json.dumps({"organizationId": str(organization.id)})
        event = {"Records": [{"messageId": "m", "body": body, "attributes": {}}]}
        real, kills, counts = erase._page, 0, []

        def page(*args: Any) -> int:
            nonlocal kills
            done = real(*args)
            if done:
                kills += 1
                raise KeyboardInterrupt
            return done

        monkeypatch.setattr(erase, "_page", page)
        for _ in range(20):
            counts.append(rows(session, "posts"))
            try:
                handler(event, CONTEXT)
            except KeyboardInterrupt:
                continue
            break
        assert kills >= 4
        assert counts[:3] == [2, 1, 0]
        assert (rows(session, "organizations"), rows(session, "deletions")) == (0, 0)
        assert handler(event, CONTEXT) == {"batchItemFailures": []}
        assert [mail.subject for mail in sent_mails()].count("Analytical Engines was erased") == 1

    def test_run_without_time_is_continued_by_a_message(
        self, session: Session, member: Member, organization: Organization
    ) -> None:
        self.fill(session, organization, member)
        as_member(organizations, session, member).delete("/settings/organization")
        later(session, 14.1)
        request_due_deletions()
        hurried = SimpleNamespace(
            **{**vars(CONTEXT), "get_remaining_time_in_millis": lambda: 30_000}
        )
        assert work_off(hurried) > 3
        assert rows(session, "organizations") == 0

    def test_nothing_of_a_person_is_left_in_any_table(
        self, session: Session, browser: Gateway, member: Member, organization: Organization
    ) -> None:
        """The tables are those of the catalog, so that a new one is read too."""
        team = an_organization(session, name="Difference Engines")
        a_member(session, team)
        mine = Member(
            id=new_id(), organization_id=team.id, user_id=member.user_id, role=Role.EDITOR
        )
        session.add(mine)
        session.add(
            Login(
                id=new_id(),
                user_id=member.user_id,
                provider=LoginProvider.GITHUB,
                issuer="https://github.com",
                subject="s-1815",
                email=ADDRESS,
            )
        )
        session.flush()
        self.fill(session, organization, member)
        self.fill(session, team, mine)
        notify(
            session, team.id, NotificationKind.INFO, title="t", content=f"{NAME} reconnected it."
        )
        notify(session, team.id, NotificationKind.INFO, title="t", content="A post was published.")
        by_key(app, session, member, scopes=("read",))
        by_grant(app, session, mine)
        browser.post("/user/email", {"email": "new@lovelace.example"})
        browser.post("/user/personal", {"fullname": NAME, "bio": f"Known as {NAME}."})
        hashes = [
            value.hex()
            for (value,) in session.execute(
                text(
                    "select renew_hash from sessions where user_id = :id union all select key_hash from api_keys"
                    " where created_by = :id and organization_id <> :team union all"
                    " select token_hash from oauth_grants where user_id = :id"
                ),
                {"id": member.user_id, "team": team.id},
            )
        ]
        words = [ADDRESS, NAME, NETWORK, "s-1815", "new@lovelace.example", PASSWORD_HASH, *hashes]
        before = everything(session)
        missing = [word for word in words if word not in before]
        assert missing == [], "the test plants what it looks for"
        delete_account(browser)
        erase_all(session)
        left = everything(session)
        # The other owner's password is the same.
        found = [word for word in words if word in left and word != PASSWORD_HASH]
        assert found == []
        assert rows(session, "users") == 1
        made = session.execute(
            text("select count(*), count(created_by) from posts where organization_id = :id"),
            {"id": team.id},
        ).one()
        assert tuple(made) == (2, 0)
        assert rows(session, "media where uploaded_by is null") == 1
        assert "A post was published." in left
        assert [mail.to for mail in sent_mails()][-1] == (ADDRESS,)
        assert [mail.subject for mail in sent_mails()][-1] == "Your account was erased"

    def test_account_waits_for_its_organizations(
        self, session: Session, browser: Gateway, organization: Organization, member: Member
    ) -> None:
        delete_account(browser)
        later(session, 14.1)
        assert request_due_deletions() == 1
        assert work_off() == 2  # the organization, then the account
        assert (rows(session, "users"), rows(session, "organizations")) == (0, 0)
        actions = list(session.scalars(text("select action from audit_events order by at, id")))
        assert actions[-2:] == ["organization.erased", "account.erased"]


class TestTables:
    def test_whatever_an_organization_has_goes_with_its_row(self) -> None:
        """What is not deleted in pages must not hold up the row."""
        holding = [
            f"{table.name}.{column.name}"
            for table in Base.metadata.sorted_tables
            if table.name not in LARGE_TABLES
            for column in table.columns
            for key in column.foreign_keys
            if key.column.table.name in {"organizations", *LARGE_TABLES} and not key.ondelete
        ]
        assert holding == []

    def test_what_a_person_is_named_in_lets_them_go(self) -> None:
        holding = [
            f"{table.name}.{column.name}"
            for table in Base.metadata.sorted_tables
            for column in table.columns
            for key in column.foreign_keys
            if key.column.table.name == "users" and not key.ondelete
        ]
        assert holding == []


def everything(session: Session) -> str:
    """Return the text of every row of every table in the catalog; bytes are in hexadecimal digits."""
    tables = session.scalars(
        text(
            "select quote_ident(table_name) from information_schema.tables"
            " where table_schema = 'public' and table_type = 'BASE TABLE'"
        )
    )
    return "\n".join(
        row
        for table in list(tables)
        for row in session.scalars(text(f"select to_jsonb(t)::text from {table} t"))
    )

"""Do passkeys sign their owners in, and nobody by an old, copied, removed or foreign one?

The authenticator is one that we did not write (`soft-fido2`).
"""

import base64
from typing import Any

import pytest
from soft_fido2 import Fido2Authenticator
from sqlalchemy import text
from sqlalchemy.orm import Session as DbSession

from functions.identity.app import app
from shared.identity.models import User
from shared.organizations.models import Member
from tests.builders import PASSWORD, a_member, a_user, an_organization
from tests.conftest import Configure
from tests.gateway import Answer, Gateway, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

EMAIL = "ada@example.com"
ORIGIN = "https://roost.example.com"


@pytest.fixture(autouse=True)
def _server(aws: None, configure: Configure) -> None:
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)
    configure(PUBLIC_URL=ORIGIN)


@pytest.fixture
def member(session: DbSession) -> Member:
    return a_member(session, an_organization(session), a_user(session, email=EMAIL))


@pytest.fixture
def browser(member: Member) -> Gateway:
    browser = Gateway(app)
    assert log_in(browser).json == {"login": True}
    return browser


def log_in(browser: Gateway) -> Answer:
    return browser.post("/auth/login", {"email": EMAIL, "password": PASSWORD})


class Key:
    """An authenticator in a browser on a page of `origin`."""

    def __init__(self, *, origin: str = ORIGIN, counts: bool = True) -> None:
        self.origin = origin
        self.device = Fido2Authenticator(disableCounter=not counts)

    def make(self, options: dict[str, Any], **flags: bool) -> dict[str, Any]:
        asked = {**options, "origin": self.origin}
        made: dict[str, Any] = self.device.credential_create(asked, atteStmtFmt="none", **flags)
        made["response"]["transports"] = ["internal", "hybrid", "pigeon"]
        return made

    def sign(self, options: dict[str, Any], **flags: bool) -> dict[str, Any]:
        signed: dict[str, Any] = self.device.credential_request(
            {**options, "origin": self.origin}, **flags
        )
        return signed


def add(browser: Gateway, key: Key, **flags: bool) -> Answer:
    options = browser.post("/user/passkeys")
    assert options.status == 201, options.text
    made = key.make(options.json["options"], **flags)
    return browser.post("/user/passkeys/finish", {"passkey": made, "name": "Laptop"})


@pytest.fixture
def key(browser: Gateway) -> Key:
    key = Key()
    added = add(browser, key)
    assert added.status == 201, added.text
    assert len(added.json["recoveryCodes"]) == 10
    return key


def sign_in(key: Key, there: Gateway | None = None, **flags: bool) -> Answer:
    there = there or Gateway(app)
    options = there.post("/auth/passkey/options").json["options"]
    return there.post("/auth/passkey", {"passkey": key.sign(options, **flags)})


def refused(answer: Answer) -> bool:
    return answer.status == 422 and answer.json["errors"][0]["code"] == "passkey_refused"


class TestAdding:
    def test_is_listed_mailed_and_proves_the_session(self, browser: Gateway, key: Key) -> None:
        (listed,) = browser.get("/user/factors").json["factors"]
        assert (listed["kind"], listed["name"]) == ("passkey", "Laptop")
        assert sent_mails()[-1].subject == "A second factor was added"
        assert browser.post("/user/api-key", {}).status == 201

    def test_transports_are_those_that_there_are(self, session: DbSession, key: Key) -> None:
        assert session.scalar(text("select transports from factors")) == ["hybrid", "internal"]

    def test_asks_for_a_discoverable_one_and_no_known_one(
        self, browser: Gateway, key: Key, member: Member
    ) -> None:
        options = browser.post("/user/passkeys").json["options"]
        assert options["rp"]["id"] == "roost.example.com"
        chosen = options["authenticatorSelection"]
        assert (chosen["residentKey"], chosen["userVerification"]) == ("required", "required")
        assert len(options["excludeCredentials"]) == 1
        assert _decoded(options["user"]["id"]) == member.user_id.bytes

    def test_challenge_works_once(self, browser: Gateway) -> None:
        options = browser.post("/user/passkeys").json["options"]
        first, second = Key().make(options), Key().make(options)
        assert browser.post("/user/passkeys/finish", {"passkey": first}).status == 201
        assert refused(browser.post("/user/passkeys/finish", {"passkey": second}))

    def test_challenge_ends_after_five_minutes(self, session: DbSession, browser: Gateway) -> None:
        made = Key().make(browser.post("/user/passkeys").json["options"])
        session.execute(text("update challenges set expires_at = now()"))
        assert refused(browser.post("/user/passkeys/finish", {"passkey": made}))

    def test_challenge_of_another_person_is_refused(
        self, session: DbSession, browser: Gateway
    ) -> None:
        made = Key().make(browser.post("/user/passkeys").json["options"])
        other: User = a_user(session)
        a_member(session, an_organization(session), other)
        there = Gateway(app)
        there.post("/auth/login", {"email": other.email, "password": PASSWORD})
        assert refused(there.post("/user/passkeys/finish", {"passkey": made}))

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "https://evil.roost.example.com", "http://roost.example.com"],
    )
    def test_another_origin_is_refused(self, browser: Gateway, origin: str) -> None:
        assert refused(add(browser, Key(origin=origin)))

    def test_one_that_did_not_verify_its_user_is_refused(self, browser: Gateway) -> None:
        assert refused(add(browser, Key(), uv=False))

    @pytest.mark.parametrize(
        "passkey",
        [
            {},
            {"response": {}},
            {"response": {"clientDataJSON": "!"}},
            {"response": {"clientDataJSON": "W10"}},
            {"response": {"clientDataJSON": "eyJjaGFsbGVuZ2UiOjF9"}},
        ],
    )
    def test_nonsense_is_refused(self, browser: Gateway, passkey: dict[str, Any]) -> None:
        assert refused(browser.post("/user/passkeys/finish", {"passkey": passkey}))
        assert refused(Gateway(app).post("/auth/passkey", {"passkey": passkey}))

    def test_answer_without_the_rest_is_refused(self, browser: Gateway) -> None:
        made = Key().make(browser.post("/user/passkeys").json["options"])
        del made["response"]["attestationObject"]
        assert refused(browser.post("/user/passkeys/finish", {"passkey": made}))


class TestLogin:
    def test_signs_in_without_an_address(self, browser: Gateway, key: Key, member: Member) -> None:
        there = Gateway(app)
        assert sign_in(key, there).json == {"login": True}
        assert there.get("/user/self").json["id"] == str(member.user_id)
        (shown,) = [one for one in there.get("/user/sessions").json["sessions"] if one["current"]]
        assert shown["methods"] == ["passkey"]
        assert there.post("/user/api-key", {}).status == 201

    def test_challenge_is_bound_to_the_browser_and_works_once(self, key: Key) -> None:
        there = Gateway(app)
        options = there.post("/auth/passkey/options").json["options"]
        kept, signed = dict(there.cookies), key.sign(options)
        assert refused(Gateway(app).post("/auth/passkey", {"passkey": signed}))
        assert there.post("/auth/passkey", {"passkey": signed}).status == 200
        assert refused(
            Gateway(app, cookies=kept).post("/auth/passkey", {"passkey": key.sign(options)})
        )

    def test_one_that_did_not_verify_its_user_is_refused(self, key: Key) -> None:
        assert refused(sign_in(key, uv=False))

    @pytest.mark.parametrize("signature", ["é", "!", "", "AAAA"])
    def test_answer_that_cannot_be_read_is_refused(self, key: Key, signature: str) -> None:
        there = Gateway(app)
        signed = key.sign(there.post("/auth/passkey/options").json["options"])
        signed["response"]["signature"] = signature
        assert refused(there.post("/auth/passkey", {"passkey": signed}))

    def test_unknown_one_is_refused(self, key: Key) -> None:
        assert refused(sign_in(Key()))

    def test_forged_signature_is_refused(self, key: Key) -> None:
        stranger = Key()
        there = Gateway(app)
        options = there.post("/auth/passkey/options").json["options"]
        forged = {**stranger.sign(options)}
        forged["id"] = forged["rawId"] = key.sign(options)["id"]
        assert refused(there.post("/auth/passkey", {"passkey": forged}))

    def test_counter_that_goes_back_is_refused_and_mailed(
        self, session: DbSession, key: Key
    ) -> None:
        assert sign_in(key).status == 200
        session.execute(text("update factors set sign_count = 100"))
        assert refused(sign_in(key))
        subjects = [mail.subject for mail in sent_mails()]
        assert "A passkey of your account may have been copied" in subjects
        assert session.scalar(text("select sign_count from factors")) == 100

    def test_synced_one_that_counts_nothing_is_accepted(
        self, session: DbSession, browser: Gateway
    ) -> None:
        synced = Key(counts=False)
        assert add(browser, synced).status == 201
        for _ in range(2):
            assert sign_in(synced).json == {"login": True}
        assert session.scalar(text("select sign_count from factors")) == 0

    def test_removed_one_is_useless_at_once(self, browser: Gateway, key: Key) -> None:
        (listed,) = browser.get("/user/factors").json["factors"]
        there = Gateway(app)
        options = there.post("/auth/passkey/options").json["options"]
        assert browser.delete(f"/user/factors/{listed['id']}").status == 200
        assert refused(there.post("/auth/passkey", {"passkey": key.sign(options)}))

    def test_challenge_that_adds_signs_nobody_in(self, browser: Gateway, key: Key) -> None:
        options = browser.post("/user/passkeys").json["options"]
        signed = key.sign({**options, "rpId": options["rp"]["id"]})
        there = Gateway(app, cookies={"__Host-passkey": options["challenge"]})
        assert refused(there.post("/auth/passkey", {"passkey": signed}))


class TestSecondFactor:
    def test_password_and_passkey_sign_in(self, key: Key) -> None:
        there = Gateway(app)
        assert log_in(there).json == {"mfa": True, "methods": ["passkey", "recovery_code"]}
        options = there.post("/auth/mfa/options").json["options"]
        assert len(options["allowCredentials"]) == 1
        signed = key.sign(options)
        assert there.post("/auth/mfa", {"passkey": signed}).json == {"login": True}
        (shown,) = [one for one in there.get("/user/sessions").json["sessions"] if one["current"]]
        assert sorted(shown["methods"]) == ["passkey", "password"]

    def test_passkey_of_another_person_is_refused(
        self, session: DbSession, browser: Gateway, key: Key
    ) -> None:
        other: User = a_user(session)
        a_member(session, an_organization(session), other)
        theirs = Gateway(app)
        theirs.post("/auth/login", {"email": other.email, "password": PASSWORD})
        stranger = Key()
        assert add(theirs, stranger).status == 201
        there = Gateway(app)
        log_in(there)
        options = there.post("/auth/mfa/options").json["options"]
        assert refused(there.post("/auth/mfa", {"passkey": stranger.sign(options)}))

    def test_nothing_waits_without_the_cookie(self, key: Key) -> None:
        answer = Gateway(app).post("/auth/mfa/options")
        assert (answer.status, answer.json["code"]) == (401, "second_factor_over")

    def test_confirms_the_identity(self, session: DbSession, browser: Gateway, key: Key) -> None:
        session.execute(text("update sessions set authenticated_at = now() - interval '1 hour'"))
        assert browser.post("/user/api-key", {}).json["methods"] == ["passkey"]
        options = browser.post("/user/confirm/options").json["options"]
        signed = key.sign(options)
        assert browser.post("/user/confirm", {"passkey": signed}).json == {"confirmed": True}
        assert browser.post("/user/api-key", {}).status == 201
        assert refused(browser.post("/user/confirm", {"passkey": signed}))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_relying_party_is_read_off_the_settings(
    browser: Gateway, configure: Configure, key: Key
) -> None:
    """Another origin counts only where the operator lists it."""
    console = Key(origin="https://console.roost.example.com")
    assert refused(add(browser, console))
    configure(PUBLIC_URL=ORIGIN, CORS_ORIGINS="https://console.roost.example.com")
    assert add(browser, console).status == 201
    assert sign_in(console).json == {"login": True}

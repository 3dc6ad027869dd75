"""Does anything give access after its end? People, sessions, seats, keys, invitations and offers in any order.

A model says what is live. After every step each session, seat and key is tried against the model, nothing that works once works
twice, and every organization has an owner.
"""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.orm import Session

from functions.identity.app import app as identity
from functions.organizations.app import app as organizations
from functions.public_api.app import app as public_api
from shared.core.ids import OrganizationId, UserId
from shared.identity import passwords
from shared.identity.models import User
from shared.organizations.models import Role
from tests.builders import a_member, a_user, an_organization
from tests.conftest import Configure
from tests.gateway import Answer, Gateway, put_app_secret
from tests.mails import make_mails_queue, sent_mails, verify_sender

_FIRST_ADDRESS = IPv4Address("10.0.0.0")
_ROLES = ("VIEWER", "USER", "EDITOR", "ADMIN", "SUPERADMIN")
_MAY_GIVE = ("ADMIN", "SUPERADMIN")


@dataclass(eq=False)
class Person:
    id: UserId
    email: str
    password: str


@dataclass(eq=False)
class SignedIn:
    """A session: the browser in which it is, and whether it lets in."""

    person: Person
    browser: Gateway
    is_live: bool = True


@dataclass(eq=False)
class Key:
    person: Person
    organization: OrganizationId
    id: str
    secret: str
    is_live: bool = True


@dataclass(eq=False)
class Invited:
    organization: OrganizationId
    giver: Person
    role: str
    token: str


@dataclass(eq=False)
class Offered:
    organization: OrganizationId
    giver: Person
    receiver: Person
    id: str


@dataclass
class Model:
    """What ought to be: the role of each seat, and all sessions and keys that there ever were."""

    seats: dict[tuple[OrganizationId, Person], str] = field(default_factory=dict)
    sessions: list[SignedIn] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    def organizations_of(self, person: Person) -> list[OrganizationId]:
        return [organization for organization, one in self.seats if one is person]

    def owners(self, organization: OrganizationId) -> list[Person]:
        return [
            person
            for (one, person), role in self.seats.items()
            if one == organization and role == "SUPERADMIN"
        ]

    def end_keys(self, person: Person, organization: OrganizationId | None = None) -> None:
        for key in self.keys:
            if key.person is person and organization in (None, key.organization):
                key.is_live = False

    def end_sessions(self, person: Person, besides: SignedIn | None = None) -> None:
        for one in self.sessions:
            if one.person is person and one is not besides:
                one.is_live = False


class Access(RuleBasedStateMachine):
    """What people do. A rule that is refused changes nothing, in the model either."""

    sessions = Bundle("sessions")
    invitations = Bundle("invitations")
    offers = Bundle("offers")
    database: Session
    numbers: Iterator[int]

    @initialize(target=sessions)
    def begin(self) -> MultipleResults[SignedIn]:
        """Begin with two organizations whose members are signed in and have keys where their role allows it."""
        self.model = Model()
        self.used: list[tuple[SignedIn, str, dict[str, str]]] = []
        people = [self.register() for _ in range(4)]
        for roles in (("SUPERADMIN", "ADMIN", "EDITOR"), ("VIEWER", "SUPERADMIN")):
            organization = an_organization(self.database)
            for person, role in zip(people, roles, strict=False):
                user = self.database.get_one(User, person.id)
                a_member(self.database, organization, user, role=Role(_stored(role)))
                self.model.seats[organization.id, person] = role
        started = [self.sign_in(person) for person in people]
        for one in started:
            for organization_id in self.model.organizations_of(one.person):
                if self.model.seats[organization_id, one.person] in _MAY_GIVE:
                    self._make_a_key(one, organization_id)
        return multiple(*started)

    def register(self) -> Person:
        number = next(self.numbers)
        password = f"quiet otters {number} at dawn"
        user = a_user(
            self.database,
            email=f"person{number}@example.org",
            password_hash=passwords.hash_password(password),
        )
        return Person(user.id, user.email, password)

    @rule(target=sessions, one=sessions)
    def sign_in_again(self, one: SignedIn) -> SignedIn:
        return self.sign_in(one.person)

    def sign_in(self, person: Person) -> SignedIn:
        browser = self._browser()
        answer = browser.post("/auth/login", {"email": person.email, "password": person.password})
        assert answer.json == {"login": True}
        signed_in = SignedIn(person, browser)
        self.model.sessions.append(signed_in)
        return signed_in

    @rule(one=sessions)
    def sign_out(self, one: SignedIn) -> None:
        one.browser.app = identity
        kept = dict(one.browser.cookies)
        assert one.browser.post("/user/logout").status == 200
        one.browser.cookies = kept  # as somebody who copied them
        one.is_live = False

    @rule(one=sessions)
    def end_the_others(self, one: SignedIn) -> None:
        answer = self._call(one, identity, "DELETE", "/user/sessions")
        if self._was_allowed(one, answer):
            self.model.end_sessions(one.person, besides=one)

    @rule(one=sessions, number=st.integers(0, 3))
    def change_password(self, one: SignedIn, number: int) -> None:
        new = f"loud badgers {number} by night"
        assume(new != one.person.password)
        body = {"current": one.person.password, "password": new}
        if self._was_allowed(one, self._call(one, identity, "POST", "/user/password", body)):
            one.person.password = new
            self.model.end_sessions(one.person, besides=one)

    @rule(target=sessions, one=sessions)
    def reset_by_mail(self, one: SignedIn) -> SignedIn:
        person = one.person
        browser, before = self._browser(), len(sent_mails())
        assert browser.post("/auth/forgot", {"email": person.email}).status == 200
        found = re.search(
            r"forgot-return\?token=([\w.-]+)", "".join(mail.body for mail in sent_mails()[before:])
        )
        assume(found)  # a second email has to wait
        assert found
        person.password = f"brave herons {next(self.numbers)} up north"
        body = {"token": found[1], "password": person.password, "repeatPassword": person.password}
        answer = browser.post("/auth/forgot-return", body)
        assert answer.status == 200, answer.text
        again = self._browser().post("/auth/forgot-return", body)
        assert again.status != 200 or again.json.get("reset") is False, again.text
        self.model.end_sessions(person)
        self.model.end_keys(person)
        return self.sign_in(person)

    @rule(one=sessions)
    def found_an_organization(self, one: SignedIn) -> None:
        answer = self._call(one, organizations, "POST", "/organizations", {"name": "Roost Ltd"})
        if self._was_allowed(one, answer):
            self.model.seats[OrganizationId(UUID(answer.json["id"])), one.person] = "SUPERADMIN"

    @rule(one=sessions, data=st.data())
    def make_a_key(self, one: SignedIn, data: st.DataObject) -> None:
        self._make_a_key(one, self._pick(data, one))

    def _make_a_key(self, one: SignedIn, organization: OrganizationId) -> None:
        answer = self._call(one, identity, "POST", "/user/api-key", {"name": "a"}, organization)
        allowed = one.is_live and self.model.seats[organization, one.person] in _MAY_GIVE
        assert (answer.status in (200, 201)) == allowed, answer.text
        if allowed:
            key = Key(one.person, organization, answer.json["id"], answer.json["key"])
            self.model.keys.append(key)

    @rule(one=sessions, data=st.data())
    def revoke_a_key(self, one: SignedIn, data: st.DataObject) -> None:
        assume(self.model.keys)
        key = data.draw(st.sampled_from(self.model.keys))
        role = self.model.seats.get((key.organization, one.person))
        path = f"/user/api-key/{key.id}"
        answer = self._call(one, identity, "DELETE", path, organization=key.organization)
        assert answer.status == 200 or not (one.is_live and role in _MAY_GIVE and key.is_live)
        if answer.status == 200:
            assert one.is_live
            assert role in _MAY_GIVE
            key.is_live = False

    @rule(target=invitations, one=sessions, role=st.sampled_from(_ROLES[:-1]), data=st.data())
    def invite(self, one: SignedIn, role: str, data: st.DataObject) -> Invited:
        organization = self._pick(data, one)
        answer = self._call(one, organizations, "POST", "/settings/team", {"role": role, "link": True}, organization)  # fmt: skip
        allowed = one.is_live and self.model.seats[organization, one.person] in _MAY_GIVE
        assert (answer.status == 201) == allowed, answer.text
        assume(allowed)
        return Invited(organization, one.person, role, answer.json["url"].partition("org=")[2])

    @rule(one=sessions, invited=consumes(invitations))
    def join(self, one: SignedIn, invited: Invited) -> None:
        seat = (invited.organization, one.person)
        before = self.model.seats.get(seat)
        body = {"org": invited.token}
        answer = self._call(one, identity, "POST", "/user/join-org", body)
        if not one.is_live:
            assert answer.status == 401
            return
        may_give = self.model.seats.get((invited.organization, invited.giver)) in _MAY_GIVE
        if before is None:
            assert (answer.status == 200) == may_give, answer.text
        if answer.status == 200 and before is None:
            self.model.seats[seat] = invited.role
        self.used.append((one, "/user/join-org", body))

    @rule(one=sessions, role=st.sampled_from(_ROLES[:-1]), data=st.data())
    def change_a_role(self, one: SignedIn, role: str, data: st.DataObject) -> None:
        organization = self._pick(data, one)
        other = self._pick_member(data, organization)
        before = self.model.seats.get((organization, other))
        path = f"/settings/team/{other.id}"
        answer = self._call(one, organizations, "PUT", path, {"role": role}, organization)
        if self._managed(one, organization, other, answer):
            self.model.seats[organization, other] = role
            if before in _MAY_GIVE and role not in _MAY_GIVE:
                self.model.end_keys(other, organization)
            elif before != role and _ROLES.index(role) < _ROLES.index(str(before)):
                self._read_keys(other, organization)

    @rule(one=sessions, data=st.data())
    def remove(self, one: SignedIn, data: st.DataObject) -> None:
        organization = self._pick(data, one)
        other = self._pick_member(data, organization)
        assume(other is not one.person)
        path = f"/settings/team/{other.id}"
        answer = self._call(one, organizations, "DELETE", path, organization=organization)
        if self._managed(one, organization, other, answer):
            del self.model.seats[organization, other]
            self.model.end_keys(other, organization)

    @rule(one=sessions, data=st.data())
    def leave(self, one: SignedIn, data: st.DataObject) -> None:
        organization = self._pick(data, one)
        answer = self._call(one, organizations, "POST", "/organizations/leave", {}, organization)
        owners = self.model.owners(organization)
        allowed = one.is_live and owners != [one.person]
        assert (answer.status == 200) == allowed, answer.text
        if allowed:
            del self.model.seats[organization, one.person]
            self.model.end_keys(one.person, organization)

    @rule(target=offers, one=sessions, data=st.data())
    def offer_ownership(self, one: SignedIn, data: st.DataObject) -> Offered:
        organization = self._pick(data, one)
        other = self._pick_member(data, organization)
        body = {"userId": str(other.id), "stepsDown": True}
        answer = self._call(one, organizations, "POST", "/organizations/ownership", body, organization)  # fmt: skip
        if answer.status == 201:
            assert one.is_live
            assert self.model.seats[organization, one.person] == "SUPERADMIN"
            assert (organization, other) in self.model.seats
        assume(answer.status == 201)
        return Offered(organization, one.person, other, answer.json["id"])

    @rule(one=sessions, offered=consumes(offers))
    def accept_ownership(self, one: SignedIn, offered: Offered) -> None:
        seats, organization = self.model.seats, offered.organization
        path = f"/organizations/ownership/{offered.id}/accept"
        answer = self._call(one, organizations, "POST", path, {}, organization)
        if answer.status != 200:
            return
        assert one.is_live
        assert one.person is offered.receiver
        assert seats.get((organization, offered.giver)) == "SUPERADMIN"
        assert (organization, one.person) in seats
        seats[organization, one.person] = "SUPERADMIN"
        if offered.giver is not one.person:
            seats[organization, offered.giver] = "ADMIN"
            self._read_keys(offered.giver, organization)
        again = self._call(one, organizations, "POST", path, {}, organization)
        assert again.status == 404

    @invariant()
    def sessions_let_in_while_they_live(self) -> None:
        for one in self.model.sessions:
            answer = self._call(one, identity, "GET", "/user/sessions")
            assert answer.status == (200 if one.is_live else 401), answer.text

    @invariant()
    def seats_are_those_of_the_model(self) -> None:
        found = self.database.execute(
            text("select organization_id, user_id, role from members where user_id = any(:people)"),
            {"people": [person.id for person in self._people()]},
        )
        assert {(row.organization_id, row.user_id): row.role for row in found} == {
            (organization, person.id): _stored(role)
            for (organization, person), role in self.model.seats.items()
        }

    @invariant()
    def every_organization_has_an_owner(self) -> None:
        for organization in {organization for organization, _ in self.model.seats}:
            assert self.model.owners(organization)

    @invariant()
    def keys_let_in_while_they_live(self) -> None:
        for key in self.model.keys:
            assert self._lets_in(key) == key.is_live

    @invariant()
    def what_works_once_works_once(self) -> None:
        for one, path, body in self.used:
            if one.is_live:
                assert self._call(one, identity, "POST", path, body).status != 200
        self.used.clear()

    def _browser(self) -> Gateway:
        """Return a browser at an address of its own, since guesses and sign-ins are counted for each."""
        number = next(self.numbers)
        return Gateway(identity, address=str(_FIRST_ADDRESS + number))

    def _call(
        self,
        one: SignedIn,
        app: object,
        method: str,
        path: str,
        body: object = None,
        organization: OrganizationId | None = None,
    ) -> Answer:
        browser = self._browser()
        browser.app = app
        browser.cookies = dict(one.browser.cookies)
        headers = {"showorg": str(organization)} if organization else {}
        return browser.call(method, path, body, headers=headers)

    def _pick(self, data: st.DataObject, one: SignedIn) -> OrganizationId:
        theirs = self.model.organizations_of(one.person)
        assume(theirs)
        return data.draw(st.sampled_from(theirs))

    def _pick_member(self, data: st.DataObject, organization: OrganizationId) -> Person:
        return data.draw(
            st.sampled_from([person for one, person in self.model.seats if one == organization])
        )

    def _was_allowed(self, one: SignedIn, answer: Answer) -> bool:
        assert (answer.status in (200, 201)) == one.is_live, answer.text
        return one.is_live

    def _managed(
        self, one: SignedIn, organization: OrganizationId, other: Person, answer: Answer
    ) -> bool:
        """Return whether a seat was changed, which only an administrator may, and of an owner only an owner."""
        own, theirs = (self.model.seats.get((organization, each)) for each in (one.person, other))
        if answer.status == 200:
            assert one.is_live
            assert own in _MAY_GIVE
            assert theirs is not None
            assert theirs != "SUPERADMIN" or own == "SUPERADMIN"
        return answer.status == 200

    def _lets_in(self, key: Key) -> bool:
        gateway = self._browser()
        gateway.app, gateway.headers = public_api, {"authorization": key.secret}
        return gateway.get("/public/v1/is-connected").status == 200

    def _read_keys(self, person: Person, organization: OrganizationId) -> None:
        """Take over what a demotion left of somebody who still may have keys: either is right."""
        for key in self.model.keys:
            if key.person is person and key.organization == organization:
                key.is_live = key.is_live and self._lets_in(key)

    def _people(self) -> list[Person]:
        return [one.person for one in self.model.sessions]


def _stored(role: str) -> str:
    return {"SUPERADMIN": "owner", "USER": "member"}.get(role, role.lower())


@pytest.fixture(autouse=True)
def _mails(aws: None, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_ROUNDS", 4)
    put_app_secret()
    verify_sender()
    make_mails_queue(configure)
    rates = ("new_organizations", "keys", "invitations", "joining", "writes", "reads", "confirm")
    configure(RATE_LIMITS=json.dumps(dict.fromkeys(rates, 100_000)))


def run(session: Session, most: int, steps: int) -> None:
    class Here(Access):
        database = session
        numbers = itertools.count(1)  # of all histories: addresses on the network are counted

    run_state_machine_as_test(
        Here,
        settings=examples(
            max_examples=most,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_nothing_gives_access_after_its_end(session: Session) -> None:
    run(session, most=3, steps=25)


@pytest.mark.broad
def test_nothing_gives_access_after_its_end_in_long_histories(session: Session) -> None:
    run(session, most=15, steps=40)

"""Whether every route that clients of the console know answers, or is listed as not built, with the reason.

The tables are the routes around accounts and organizations that existing clients call: the server, signing in, the person, and
the settings of an organization.
"""

import re

import pytest
from sqlalchemy.orm import Session

from functions.apps.app import app as third_party
from functions.identity.app import app as identity
from local.docs.openapi import apps
from shared.access.policy import POLICY
from shared.organizations.models import Member, Organization, Role
from shared.web.routing import Route
from tests.builders import a_member
from tests.gateway import Gateway, as_member

pytestmark = pytest.mark.usefixtures("aws")

BUILT = """
    GET    /                                          a text: the server runs
    GET    /health                                    the server's state
    GET    /monitor/queue/{name}                      whether due posts move

    GET    /auth/can-register                         whether new accounts are accepted
    POST   /auth/register                             an account, with an organization or an invitation
    POST   /auth/login                                a session
    POST   /auth/forgot                               a mailed link to reset the password
    POST   /auth/forgot-return                        the new password
    GET    /auth/oauth/{provider}                     the address at a login provider
    POST   /auth/oauth/{provider}/exists              a session, or the token to register with
    POST   /auth/activate                             an active account
    POST   /auth/resend-activation                    another link

    GET    /user/self                                 the caller and their organization
    GET    /user/personal                             the profile
    POST   /user/personal                             change it
    GET    /user/impersonate                          people whom a super admin may act as
    POST   /user/impersonate                          act as one
    GET    /user/email-notifications                  which emails are wanted
    POST   /user/email-notifications                  change it
    POST   /user/api-key/rotate                       a new key in place of the only one
    POST   /user/join-org                             use an invitation
    GET    /user/organizations                        the person's organizations
    POST   /user/change-org                           choose one
    POST   /user/delete-account                       delete the account
    POST   /user/logout                               end the session
    GET    /user/oauth-app                            the organization's app
    POST   /user/oauth-app                            create it
    PUT    /user/oauth-app                            change it
    DELETE /user/oauth-app                            delete it
    POST   /user/oauth-app/rotate-secret              a new secret
    GET    /user/approved-apps                        the apps that members allowed
    DELETE /user/approved-apps/{grant_id}             take that back

    GET    /oauth/authorize                           what an app asks for
    POST   /oauth/authorize                           allow or deny it
    POST   /oauth/token                               a token for a code
    POST   /oauth/register                            register an app
    GET    /oauth/userinfo                            who consented
    POST   /oauth/userinfo                            the same
    GET    /.well-known/oauth-authorization-server    how to get a token
    GET    /.well-known/oauth-protected-resource      what tokens are for

    GET    /settings/team                             members and invitations
    POST   /settings/team                             invite somebody
    DELETE /settings/team/{user_id}                   remove a member
    GET    /settings/shortlink                        whether links are shortened
    POST   /settings/shortlink                        change it
    GET    /notifications                             how many are unread
    GET    /notifications/list                        read them
    GET    /announcements                             what operators announce
    POST   /announcements                             announce something
    DELETE /announcements/{announcement_id}           take it back
"""
NOT_BUILT = {
    "GET /user/subscription": "It comes with payments.",
    "GET /user/subscription/tiers": "It comes with payments.",
    "POST /auth/oauth/{provider}/redirect": "Only Apple sends its answer as a form, and Apple is not offered.",
    "GET /auth/oauth-mobile-callback": "There is no mobile application.",
    "POST /user/switch": "Operators do not exchange two people's logins.",
    "POST /user/t": "Visitors are not tracked.",
    "GET /user/chatbase-token": "No third party's widget gets a token.",
    "GET /user/agent-media-sso": "No third party's widget gets a token.",
    "POST /settings/team/add": "Nobody becomes a member without accepting an invitation.",
    "GET /settings/github": "Stars of repositories are not tracked.",
    "POST /settings/github": "Stars of repositories are not tracked.",
    "GET /settings/github/url": "Stars of repositories are not tracked.",
    "GET /settings/organizations/{id}": "Stars of repositories are not tracked.",
    "GET /settings/organizations/{id}/{github}": "Stars of repositories are not tracked.",
    "POST /settings/organizations/{id}": "Stars of repositories are not tracked.",
    "DELETE /settings/repository/{id}": "Stars of repositories are not tracked.",
}
# Each alias, and the route that it is another name of.
ALIASES = {
    "GET /user/oauth-app": "GET /oauth/app",
    "POST /user/oauth-app": "POST /oauth/app",
    "PUT /user/oauth-app": "PUT /oauth/app",
    "DELETE /user/oauth-app": "DELETE /oauth/app",
    "POST /user/oauth-app/rotate-secret": "POST /oauth/app/rotate",
    "GET /user/approved-apps": "GET /oauth/grants",
    "DELETE /user/approved-apps/{grant_id}": "DELETE /oauth/grants/{grant_id}",
    "POST /user/api-key/rotate": "POST /user/api-key/{key_id}/rotate",
}


def without_names(route: str) -> str:
    """Leave out the names of parameters, which clients do not see."""
    return re.sub(r"{\w+}", "{}", route)


def known() -> list[str]:
    """List the routes of the first table."""
    lines = [line.split() for line in BUILT.splitlines() if line.strip()]
    return [f"{words[0]} {words[1]}" for words in lines]


def answering() -> set[str]:
    """List the routes of all functions."""
    return {
        without_names(f"{method} {route.path}")
        for app in apps()
        for route in app.router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }


def test_what_is_known_answers() -> None:
    routes = answering()
    assert [route for route in known() if without_names(route) not in routes] == []


def test_what_is_not_built_does_not() -> None:
    """A route that is built moves to the first table."""
    routes = answering()
    assert [route for route in NOT_BUILT if without_names(route) in routes] == []


def test_each_route_stands_in_one_table_once() -> None:
    every = [*known(), *NOT_BUILT]
    assert len(every) == len(set(map(without_names, every)))
    assert all(reason.endswith(".") for reason in NOT_BUILT.values())


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_has_the_same_policy(alias: str) -> None:
    assert POLICY[alias] == POLICY[ALIASES[alias]]


class TestAliases:
    @pytest.fixture
    def caller(self, session: Session, member: Member) -> Gateway:
        return as_member(third_party, session, member)

    def test_the_organizations_app(self, caller: Gateway) -> None:
        body = {"name": "Newsroom", "redirectUrl": "https://newsroom.example/connected"}
        made = caller.post("/user/oauth-app", body)
        assert (made.status, made.json["name"]) == (201, "Newsroom")
        assert caller.get("/user/oauth-app").json == caller.get("/oauth/app").json
        changed = caller.put("/user/oauth-app", {"name": "Desk"})
        assert (changed.status, changed.json["name"]) == (200, "Desk")
        rotated = caller.post("/user/oauth-app/rotate-secret")
        assert rotated.status == 200
        assert rotated.json["clientSecret"] != made.json["clientSecret"]
        assert caller.delete("/user/oauth-app").status == 200
        assert caller.get("/oauth/app").status == 404

    def test_what_members_allowed(self, caller: Gateway) -> None:
        assert caller.get("/user/approved-apps").json == caller.get("/oauth/grants").json
        unknown = caller.delete("/user/approved-apps/00000000-0000-0000-0000-000000000000")
        assert unknown.status == 404


class TestRotateOnlyKey:
    @pytest.fixture
    def caller(self, session: Session, member: Member) -> Gateway:
        return as_member(identity, session, member)

    def test_the_only_key_is_replaced_at_once(self, caller: Gateway) -> None:
        made = caller.post("/user/api-key", {"name": "Zapier", "scopes": ["read"]}).json
        answer = caller.post("/user/api-key/rotate")
        assert (answer.status, list(answer.json)) == (201, ["apiKey"])
        (listed,) = caller.get("/user/api-key").json["keys"]
        assert (listed["id"], listed["name"], listed["scopes"]) == (made["id"], "Zapier", ["read"])
        assert answer.json["apiKey"].endswith(listed["hint"])
        assert answer.json["apiKey"] != made["key"]
        for key, status in ((made["key"], 401), (answer.json["apiKey"], 200)):
            program = Gateway(identity, {"authorization": key})
            assert program.get("/user/self").status == status

    @pytest.mark.parametrize(("keys", "words"), [(0, "no API key yet"), (2, "You see 2 API keys")])
    def test_otherwise_the_routes_are_named(self, caller: Gateway, keys: int, words: str) -> None:
        for _ in range(keys):
            caller.post("/user/api-key", {})
        answer = caller.post("/user/api-key/rotate")
        assert (answer.status, answer.json["code"]) == (409, "not_one_api_key")
        assert words in answer.json["detail"]
        assert "POST /user/api-key" in answer.json["detail"]

    def test_editors_may_not(self, session: Session, organization: Organization) -> None:
        editor = as_member(identity, session, a_member(session, organization, role=Role.EDITOR))
        assert editor.post("/user/api-key/rotate").status == 403

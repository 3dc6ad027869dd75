"""Whether every route says who may call it, and every row says it of a route."""

from datetime import timedelta

import pytest

from local.docs.openapi import apps
from shared.access.policy import POLICY, Per, Rate, Rule, Who, reaches, rule_for
from shared.billing.sections import Section
from shared.organizations.models import Role
from shared.web import deps
from shared.web.routing import Route

# Routes that write in autocommit: what they record stays, whatever they answer. The others here change at most one row.
IN_AUTOCOMMIT = {
    "POST /auth/login",
    "POST /auth/mfa",
    "POST /auth/mfa/options",
    "POST /auth/passkey",
    "POST /auth/passkey/options",
    "POST /auth/renew",
    "POST /device/token",
    "POST /oauth/revoke",
    "POST /oauth/token",
    "POST /user/confirm/options",
    "POST /user/logout",
    "POST /user/passkeys",
    "GET /notifications/list",
    "POST /media/{media_id}/parts",
    "POST /posts/valid",
    "POST /user/change-org",
}


def _routes() -> dict[str, Route]:
    return {
        f"{method} {route.path}": route
        for app in apps()
        for route in app.router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }


def test_every_route_of_every_function_is_one_of_ours() -> None:
    foreign = [
        route for app in apps() for route in app.router.routes if not isinstance(route, Route)
    ]
    assert not foreign


def test_every_row_has_a_route() -> None:
    assert sorted(set(POLICY) - set(_routes())) == []


def test_every_route_enforces_its_row() -> None:
    for key, route in _routes().items():
        assert route.rule is POLICY[key]


def test_every_route_that_writes_has_a_transaction() -> None:
    """Without one, a request that fails half-way leaves the first half."""
    without = {
        key
        for key, route in _routes().items()
        if POLICY[key].writes
        and any(needed.call is deps._reading for needed in route.dependant.dependencies)
    }
    assert without == IN_AUTOCOMMIT


def test_route_without_a_row_cannot_be_made() -> None:
    with pytest.raises(LookupError, match="GET /nobody/said has no row"):
        rule_for("GET", "/nobody/said")


def test_only_these_routes_are_open_to_everybody() -> None:
    """Opening another one is a decision: it belongs in this list."""
    public = {key for key, rule in POLICY.items() if rule.who is Who.PUBLIC}
    assert {key for key in public if not key.startswith(("GET /auth/", "POST /auth/"))} == {
        "GET /",
        "GET /docs",
        "GET /docs/{file}",
        "GET /health",
        "GET /health/ready",
        "GET /monitor/queue/{queue}",
        "GET /openapi.json",
        "POST /user/logout",
        "GET /app",
        "GET /app/ownership/{offer_id}",
        "GET /user/unsubscribe",
        "POST /user/unsubscribe",
        "GET /app/integrations/social/{provider}",
        "POST /app/integrations/social/{provider}",
        "GET /oauth/authorize",
        "GET /oauth/authorize/{issuer}",
        "POST /oauth/revoke",
        "POST /oauth/token",
        "POST /oauth/register",
        "POST /device/code",
        "POST /device/token",
        "GET /device",
        "GET /.well-known/security.txt",
        "GET /.well-known/oauth-protected-resource",
        "GET /.well-known/oauth-protected-resource/{name}",
        "GET /.well-known/oauth-authorization-server",
        "GET /.well-known/oauth-authorization-server/{name}",
    }


def test_what_the_public_may_write_is_limited() -> None:
    exempt = {"POST /user/logout"}
    unlimited = {
        key
        for key, rule in POLICY.items()
        if rule.who is Who.PUBLIC and not key.startswith("GET") and rule.rate is None
    }
    assert unlimited - exempt == set()


@pytest.mark.parametrize(
    ("role", "needed", "reached"),
    [
        (Role.OWNER, Role.ADMIN, True),
        (Role.ADMIN, Role.ADMIN, True),
        (Role.EDITOR, Role.ADMIN, False),
        (Role.MEMBER, Role.EDITOR, False),
        (Role.VIEWER, Role.VIEWER, True),
        (Role.VIEWER, Role.MEMBER, False),
    ],
)
def test_role_reaches_what_is_below_it(role: Role, needed: Role, reached: bool) -> None:
    assert reaches(role, needed) is reached


def test_route_has_a_limit_or_a_reason_to_have_none() -> None:
    with pytest.raises(ValueError, match="not both"):
        Rule(Who.VIEWER, rate=Rate("x", 1, timedelta(hours=1)), unlimited="It is cheap.")


def test_flags_and_numbers_of_a_plan_are_not_mixed_up() -> None:
    with pytest.raises(ValueError, match="names a flag"):
        Rule(Who.VIEWER, flag=Section.CHANNELS)
    with pytest.raises(ValueError, match="names a flag"):
        Rule(Who.VIEWER, Section.PUBLIC_API)


def test_public_route_cannot_be_counted_by_organization() -> None:
    with pytest.raises(ValueError, match="counted by address or session"):
        Rule(Who.PUBLIC, rate=Rate("x", 1, timedelta(hours=1), Per.ORGANIZATION))

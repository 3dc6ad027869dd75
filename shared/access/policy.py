"""Who may call each route, which plan limit it belongs to, and how often it may be called.

One row a route, and every route has one: `shared/web/routing.py` refuses to make a route without a row, and a test
finds rows without a route. A feature adds its rows in its own section, and its section to `POLICY`.

Plan limits are declared and shown in the API's document; nothing is counted against them and no route refuses for one.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from shared.core.config import Feature
from shared.organizations.models import Role


class Who(StrEnum):
    """The least that a caller must be. Roles may be proven by a session or by an API key."""

    PUBLIC = "anybody"
    VIEWER = "viewer"
    MEMBER = "member"
    EDITOR = "editor"
    ADMIN = "admin"
    OWNER = "owner"
    SUPER_ADMIN = "super admin"


class Limit(StrEnum):
    """An allowance of the plan that a route belongs to. Declared only: none is counted yet."""

    CHANNELS = "channels"
    POSTS_PER_MONTH = "posts_per_month"
    TEAM_MEMBERS = "team_members"
    WEBHOOKS = "webhooks"


class Per(StrEnum):
    """Whose calls are counted together."""

    ADDRESS = "address"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `times` calls a `window`; routes that share a `name` share the count."""

    name: str
    times: int
    window: timedelta
    per: Per = Per.ORGANIZATION


SIGN_IN = Rate("sign_in", 60, timedelta(minutes=10), Per.ADDRESS)
SIGN_UP = Rate("sign_up", 30, timedelta(hours=1), Per.ADDRESS)
MAIL = Rate("mail", 20, timedelta(hours=1), Per.ADDRESS)
COMPOSE = Rate("compose", 600, timedelta(minutes=1))
CONNECT = Rate("connect", 120, timedelta(minutes=10))
MENTIONS = Rate("mentions", 300, timedelta(minutes=1))
CALLBACK = Rate("callback", 120, timedelta(minutes=10), Per.ADDRESS)
UPLOAD = Rate("upload", 600, timedelta(minutes=10))


@dataclass(frozen=True, slots=True)
class Rule:
    """One row.

    `person`: an API key does not do, whatever its role. `reads_profile`: the statement that says who is calling also
    brings what `GET /user/self` shows. `feature`: what must not be switched off.
    """

    who: Who
    limit: Limit | None = None
    rate: Rate | None = None
    person: bool = False
    reads_profile: bool = False
    feature: Feature | None = None

    def __post_init__(self) -> None:
        if self.rate and (self.rate.per is Per.ADDRESS) != (self.who is Who.PUBLIC):
            raise ValueError("public routes are counted by address, all others by organization")


PERSON = Rule(Who.VIEWER, person=True)

ROOT = {
    "GET /": Rule(Who.PUBLIC),
    "GET /health": Rule(Who.PUBLIC),
    "GET /health/ready": Rule(Who.PUBLIC),
    "GET /openapi.json": Rule(Who.PUBLIC, feature=Feature.REFERENCE),
    "GET /docs": Rule(Who.PUBLIC, feature=Feature.REFERENCE),
}
AUTH = {
    "GET /auth/can-register": Rule(Who.PUBLIC),
    "POST /auth/register": Rule(Who.PUBLIC, rate=SIGN_UP),
    "GET /auth/activate": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/activate": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/resend-activation": Rule(Who.PUBLIC, rate=MAIL),
    "POST /auth/login": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/renew": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/forgot": Rule(Who.PUBLIC, rate=MAIL),
    "GET /auth/forgot-return": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/forgot-return": Rule(Who.PUBLIC, rate=SIGN_IN),
}
USER = {
    "GET /user/self": Rule(Who.VIEWER, reads_profile=True),
    "GET /user/personal": Rule(Who.VIEWER, person=True, reads_profile=True),
    "POST /user/personal": PERSON,
    "GET /user/email-notifications": PERSON,
    "POST /user/email-notifications": PERSON,
    "GET /user/organizations": PERSON,
    "POST /user/change-org": PERSON,
    "POST /user/logout": Rule(Who.PUBLIC),
    "GET /user/sessions": PERSON,
    "DELETE /user/sessions/{session_id}": PERSON,
    "GET /user/impersonate": Rule(Who.SUPER_ADMIN, feature=Feature.IMPERSONATION),
    "POST /user/impersonate": Rule(Who.SUPER_ADMIN, feature=Feature.IMPERSONATION),
    "GET /user/api-key": Rule(Who.ADMIN, feature=Feature.API_KEYS),
    "POST /user/api-key": Rule(Who.ADMIN, person=True, feature=Feature.API_KEYS),
    "DELETE /user/api-key/{key_id}": Rule(Who.ADMIN, person=True, feature=Feature.API_KEYS),
}
ORGANIZATIONS = {
    "GET /settings/organization": Rule(Who.VIEWER),
    "PUT /settings/organization": Rule(Who.ADMIN),
    "GET /settings/team": Rule(Who.ADMIN, Limit.TEAM_MEMBERS),
}
NOTIFICATIONS = {
    "GET /notifications": PERSON,
    "GET /notifications/list": PERSON,
    "POST /notifications/read": PERSON,
}
INTEGRATIONS = {
    "GET /integrations": Rule(Who.VIEWER),
    "GET /integrations/list": Rule(Who.VIEWER),
    "GET /integrations/providers": Rule(Who.VIEWER),
    "GET /integrations/social/{provider}": Rule(Who.EDITOR, Limit.CHANNELS, rate=CONNECT),
    "POST /integrations/social/{provider}/connect": Rule(Who.EDITOR, Limit.CHANNELS, rate=CONNECT),
    "POST /integrations/social-connect/{provider}": Rule(Who.EDITOR, Limit.CHANNELS, rate=CONNECT),
    "POST /integrations/provider/{channel_id}/connect": Rule(Who.EDITOR, rate=CONNECT),
    "POST /integrations/disable": Rule(Who.EDITOR),
    "POST /integrations/enable": Rule(Who.EDITOR, Limit.CHANNELS),
    "POST /integrations/mentions": Rule(Who.MEMBER, rate=MENTIONS),
    "DELETE /integrations": Rule(Who.EDITOR),
    "GET /integrations/{channel_id}": Rule(Who.VIEWER),
    "DELETE /integrations/{channel_id}": Rule(Who.EDITOR),
    "GET /integrations/{channel_id}/pages": Rule(Who.EDITOR, rate=CONNECT),
    "POST /integrations/{channel_id}/settings": Rule(Who.EDITOR),
    "POST /integrations/{channel_id}/time": Rule(Who.EDITOR),
    "POST /integrations/{channel_id}/nickname": Rule(Who.EDITOR),
    # Where platforms send browsers back to: the state is what proves the right to go on.
    "GET /app/integrations/social/{provider}": Rule(Who.PUBLIC, rate=CALLBACK),
    "POST /app/integrations/social/{provider}": Rule(Who.PUBLIC, rate=CALLBACK),
}
MEDIA = {
    "GET /media": Rule(Who.VIEWER),
    "POST /media": Rule(Who.MEMBER, rate=UPLOAD),
    "POST /media/information": Rule(Who.MEMBER),
    "GET /media/{media_id}": Rule(Who.VIEWER),
    "PUT /media/{media_id}": Rule(Who.MEMBER),
    "DELETE /media/{media_id}": Rule(Who.MEMBER),
    "POST /media/{media_id}/parts": Rule(Who.MEMBER),
    "POST /media/{media_id}/complete": Rule(Who.MEMBER),
    "DELETE /media/{media_id}/upload": Rule(Who.MEMBER),
}
POSTS = {
    "GET /posts": Rule(Who.VIEWER),
    "POST /posts": Rule(Who.MEMBER, Limit.POSTS_PER_MONTH, rate=COMPOSE),
    "GET /posts/list": Rule(Who.VIEWER),
    "GET /posts/group/{group_id}": Rule(Who.VIEWER),
    "DELETE /posts/group/{group_id}": Rule(Who.MEMBER),
    "GET /posts/{post_id}": Rule(Who.VIEWER),
    "POST /posts/valid": Rule(Who.MEMBER, rate=COMPOSE),
    "POST /posts/should-shortlink": Rule(Who.VIEWER),
    "GET /posts/find-slot": Rule(Who.VIEWER),
    "GET /posts/find-slot/{channel_id}": Rule(Who.VIEWER),
    "GET /posts/tags": Rule(Who.VIEWER),
    "POST /posts/tags": Rule(Who.MEMBER),
    "PUT /posts/tags/{tag_id}": Rule(Who.MEMBER),
    "DELETE /posts/tags/{tag_id}": Rule(Who.MEMBER),
    "PUT /posts/{post_id}": Rule(Who.MEMBER, rate=COMPOSE),
    "DELETE /posts/{post_id}": Rule(Who.MEMBER),
    "PUT /posts/{post_id}/date": Rule(Who.MEMBER, rate=COMPOSE),
    "PUT /posts/{post_id}/status": Rule(Who.MEMBER, rate=COMPOSE),
    "POST /posts/{post_id}/duplicate": Rule(Who.MEMBER, Limit.POSTS_PER_MONTH, rate=COMPOSE),
    "POST /posts/{post_id}/confirm": Rule(Who.MEMBER),
    "POST /posts/{post_id}/resend": Rule(Who.MEMBER, rate=COMPOSE),
    "GET /posts/{post_id}/history": Rule(Who.VIEWER),
}

POLICY: dict[str, Rule] = {
    **ROOT,
    **AUTH,
    **USER,
    **ORGANIZATIONS,
    **NOTIFICATIONS,
    **INTEGRATIONS,
    **MEDIA,
    **POSTS,
}

_RANK = (Role.VIEWER, Role.MEMBER, Role.EDITOR, Role.ADMIN, Role.OWNER)


def rule_for(method: str, path: str) -> Rule:
    """Return the row of a route, `path` as it was declared (`/posts/{post_id}`).

    Raises:
        LookupError: nobody has said who may call it.
    """
    try:
        return POLICY[f"{method} {path}"]
    except KeyError as error:
        raise LookupError(
            f"{method} {path} has no row in shared/access/policy.py: say who may call it"
        ) from error


def reaches(role: Role, needed: Role) -> bool:
    """Say whether `role` is `needed` or more."""
    return _RANK.index(role) >= _RANK.index(needed)

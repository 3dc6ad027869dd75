"""Who may call each route, which plan limit it belongs to, and how often it may be called.

One row a route, and every route has one: `shared/web/routing.py` refuses to make a route without a row, and a test
finds rows without a route. A feature adds its rows in its own section, and its section to `POLICY`.

Plan limits are declared and shown in the API's document; nothing is counted against them and no route refuses for one.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from shared.core.config import Feature, SettingsRefused, settings
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
    """At most `times` calls a `window`; routes that share a `name` share the count.

    A `rolling` window looks back from each call; the others begin with the first call and end as a whole. `times` is
    the default: `RATE_LIMITS` may say another number for the name.
    """

    name: str
    times: int
    window: timedelta
    per: Per = Per.ORGANIZATION
    rolling: bool = False

    @property
    def allowed(self) -> int:
        """How many calls this installation allows."""
        return settings().calls_allowed(self.name, self.times)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a rate limit is left."""

    limit: int
    remaining: int
    resets_in_seconds: int


SIGN_IN = Rate("sign_in", 60, timedelta(minutes=10), Per.ADDRESS)
SIGN_UP = Rate("sign_up", 30, timedelta(hours=1), Per.ADDRESS)
MAIL = Rate("mail", 20, timedelta(hours=1), Per.ADDRESS)
COMPOSE = Rate("compose", 600, timedelta(minutes=1))
CONNECT = Rate("connect", 120, timedelta(minutes=10))
MENTIONS = Rate("mentions", 300, timedelta(minutes=1))
CALLBACK = Rate("callback", 120, timedelta(minutes=10), Per.ADDRESS)
UPLOAD = Rate("upload", 600, timedelta(minutes=10))
KEYS = Rate("keys", 30, timedelta(minutes=10))
WEBHOOKS = Rate("webhooks", 60, timedelta(minutes=1))
CONSENT = Rate("consent", 60, timedelta(minutes=10))
TOKENS = Rate("tokens", 60, timedelta(minutes=1), Per.ADDRESS)
REGISTER = Rate("register_program", 20, timedelta(hours=1), Per.ADDRESS)
DEVICES = Rate("devices", 30, timedelta(minutes=10), Per.ADDRESS)
DEVICE_POLLS = Rate("device_polls", 60, timedelta(minutes=1), Per.ADDRESS)
TOOLS = Rate("mcp", 300, timedelta(minutes=1))
# The public API. The first is `API_LIMIT`; existing clients know it, and that it looks back from each call.
PUBLIC_COMPOSE = Rate("public_compose", 90, timedelta(hours=1), rolling=True)
PUBLIC_READ = Rate("public_read", 600, timedelta(minutes=1))
PUBLIC_WRITE = Rate("public_write", 300, timedelta(minutes=1))
PUBLIC_UPLOAD = Rate("public_upload", 120, timedelta(minutes=1))
PUBLIC_ASK = Rate("public_ask", 120, timedelta(minutes=1))  # what asks a platform


@dataclass(frozen=True, slots=True)
class Rule:
    """One row.

    `person`: an API key does not do, whatever its role. `program`: nothing else does. `reads_profile`: the statement that says who is calling also
    brings what `GET /user/self` shows. `feature`: what must not be switched off. `writes`: a method that may change something needs a key that may
    write; False where the method does not say it, and whatever writes asks `ActingMember.require` itself.
    """

    who: Who
    limit: Limit | None = None
    rate: Rate | None = None
    person: bool = False
    program: bool = False
    reads_profile: bool = False
    feature: Feature | None = None
    writes: bool = True

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
    "GET /docs/{file}": Rule(Who.PUBLIC, feature=Feature.REFERENCE),
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
_KEYS = Rule(Who.ADMIN, rate=KEYS, person=True, feature=Feature.API_KEYS)
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
    "POST /user/api-key": _KEYS,
    "PUT /user/api-key/{key_id}": _KEYS,
    "POST /user/api-key/{key_id}/rotate": _KEYS,
    "DELETE /user/api-key/{key_id}": _KEYS,
}
ORGANIZATIONS = {
    "GET /settings/organization": Rule(Who.VIEWER),
    "PUT /settings/organization": Rule(Who.ADMIN),
    "GET /settings/team": Rule(Who.ADMIN, Limit.TEAM_MEMBERS),
    "GET /customers": Rule(Who.VIEWER),
    "POST /customers": Rule(Who.EDITOR),
    "PUT /customers/{customer_id}": Rule(Who.EDITOR),
    "DELETE /customers/{customer_id}": Rule(Who.EDITOR),
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
    "PUT /integrations/{channel_id}/customer": Rule(Who.EDITOR),
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
    # Where mails link to until there is a console.
    "GET /app/posts/{post_id}": Rule(Who.VIEWER),
}

_WEBHOOKS = Rule(Who.ADMIN, rate=WEBHOOKS, feature=Feature.WEBHOOKS)
AUTOMATION = {
    "GET /webhooks": Rule(Who.EDITOR, feature=Feature.WEBHOOKS),
    "POST /webhooks": Rule(Who.ADMIN, Limit.WEBHOOKS, rate=WEBHOOKS, feature=Feature.WEBHOOKS),
    "PUT /webhooks": _WEBHOOKS,
    "POST /webhooks/send": _WEBHOOKS,
    "GET /webhooks/{webhook_id}": Rule(Who.EDITOR, feature=Feature.WEBHOOKS),
    "PUT /webhooks/{webhook_id}": _WEBHOOKS,
    "DELETE /webhooks/{webhook_id}": _WEBHOOKS,
    "POST /webhooks/{webhook_id}/rotate": _WEBHOOKS,
    "POST /webhooks/{webhook_id}/test": _WEBHOOKS,
    "GET /webhooks/{webhook_id}/deliveries": Rule(Who.EDITOR, feature=Feature.WEBHOOKS),
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": _WEBHOOKS,
}
_OAUTH = Feature.OAUTH_PROVIDER
_APPS = Rule(Who.ADMIN, rate=CONSENT, person=True, feature=_OAUTH)
OAUTH_PROVIDER = {
    "GET /oauth/authorize": Rule(Who.PUBLIC, rate=TOKENS, feature=_OAUTH),
    "POST /oauth/authorize": Rule(Who.MEMBER, rate=CONSENT, person=True, feature=_OAUTH),
    "POST /oauth/token": Rule(Who.PUBLIC, rate=TOKENS, feature=_OAUTH),
    "POST /oauth/register": Rule(Who.PUBLIC, rate=REGISTER, feature=_OAUTH),
    "GET /oauth/userinfo": Rule(Who.VIEWER, program=True, reads_profile=True, feature=_OAUTH),
    "POST /oauth/userinfo": Rule(
        Who.VIEWER, program=True, reads_profile=True, writes=False, feature=_OAUTH
    ),
    "GET /oauth/app": Rule(Who.ADMIN, person=True, feature=_OAUTH),
    "POST /oauth/app": _APPS,
    "PUT /oauth/app": _APPS,
    "DELETE /oauth/app": _APPS,
    "POST /oauth/app/rotate": _APPS,
    "GET /oauth/grants": Rule(Who.VIEWER, person=True, feature=_OAUTH),
    "DELETE /oauth/grants/{grant_id}": Rule(Who.VIEWER, person=True, feature=_OAUTH),
    "POST /device/code": Rule(Who.PUBLIC, rate=DEVICES, feature=_OAUTH),
    "POST /device/token": Rule(Who.PUBLIC, rate=DEVICE_POLLS, feature=_OAUTH),
    "GET /device": Rule(Who.PUBLIC, rate=TOKENS, feature=_OAUTH),
    "POST /device/approve": Rule(Who.MEMBER, rate=CONSENT, person=True, feature=_OAUTH),
    "GET /.well-known/oauth-protected-resource": Rule(Who.PUBLIC, feature=_OAUTH),
    "GET /.well-known/oauth-protected-resource/{name}": Rule(Who.PUBLIC, feature=_OAUTH),
    "GET /.well-known/oauth-authorization-server": Rule(Who.PUBLIC, feature=_OAUTH),
    "GET /.well-known/oauth-authorization-server/{name}": Rule(Who.PUBLIC, feature=_OAUTH),
}
_READS = Rule(Who.VIEWER, rate=PUBLIC_READ, program=True)
_WRITES = Rule(Who.MEMBER, rate=PUBLIC_WRITE, program=True)
_ASKS = Rule(Who.MEMBER, rate=PUBLIC_ASK, program=True)
_UPLOADS = Rule(Who.MEMBER, rate=PUBLIC_UPLOAD, program=True)
PUBLIC_API = {
    "GET /public/v1/is-connected": _READS,
    "GET /public/v1/integrations": _READS,
    "GET /public/v1/groups": _READS,
    "GET /public/v1/social/{provider}": Rule(
        Who.EDITOR, Limit.CHANNELS, rate=PUBLIC_ASK, program=True
    ),
    "DELETE /public/v1/integrations/{channel_id}": Rule(
        Who.EDITOR, rate=PUBLIC_WRITE, program=True
    ),
    "GET /public/v1/integration-settings/{channel_id}": _READS,
    "POST /public/v1/integration-trigger/{channel_id}": _ASKS,
    "GET /public/v1/find-slot": _READS,
    "GET /public/v1/find-slot/{channel_id}": _READS,
    "GET /public/v1/posts": _READS,
    "POST /public/v1/posts": Rule(
        Who.MEMBER, Limit.POSTS_PER_MONTH, rate=PUBLIC_COMPOSE, program=True
    ),
    "GET /public/v1/posts/{post_id}": _READS,
    "PUT /public/v1/posts/{post_id}": _WRITES,
    "DELETE /public/v1/posts/{post_id}": _WRITES,
    "DELETE /public/v1/posts/group/{group_id}": _WRITES,
    "GET /public/v1/posts/{post_id}/missing": _ASKS,
    "PUT /public/v1/posts/{post_id}/settings": _WRITES,
    "PUT /public/v1/posts/{post_id}/status": _WRITES,
    "PUT /public/v1/posts/{post_id}/release-id": _WRITES,
    "GET /public/v1/analytics/{channel_id}": Rule(Who.VIEWER, rate=PUBLIC_ASK, program=True),
    "GET /public/v1/analytics/post/{post_id}": Rule(Who.VIEWER, rate=PUBLIC_ASK, program=True),
    "POST /public/v1/upload": _UPLOADS,
    "POST /public/v1/upload-from-url": _UPLOADS,
    "GET /public/v1/notifications": _READS,
    "POST /public/v1/generate-video": _ASKS,
    "POST /public/v1/video/function": _ASKS,
    "GET /public/v1/users": _READS,
}
# One address for all tools: each says for itself what it needs (shared/public_api/tools.py).
_TOOLS = Rule(Who.VIEWER, rate=TOOLS, program=True, writes=False)
MCP = {
    "POST /mcp": _TOOLS,
    "POST /mcp/{api_key}": _TOOLS,
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
    **AUTOMATION,
    **OAUTH_PROVIDER,
    **PUBLIC_API,
    **MCP,
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


def check_rate_limits() -> None:
    """Hold `RATE_LIMITS` against the rates there are.

    Raises:
        SettingsRefused: it names one that does not exist.
    """
    known = {rule.rate.name for rule in POLICY.values() if rule.rate}
    if unknown := sorted(settings().rate_limits.keys() - known):
        raise SettingsRefused(
            f"RATE_LIMITS: there is no limit {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )


def reaches(role: Role, needed: Role) -> bool:
    """Say whether `role` is `needed` or more."""
    return _RANK.index(role) >= _RANK.index(needed)

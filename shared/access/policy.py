"""The policy of each route: who may call it, whether it writes, what of a plan it needs, and its rate limit.

Every route has exactly one row: `shared/web/routing.py` refuses to create a route without a row, and a test finds rows
without a route. A feature adds its rows in its own section, and its section to `POLICY`. Defaults for `writes` and the rate
limit follow from the method (`complete`).

The flag of a plan is checked with the role. What is counted is checked by the feature, in the transaction that uses it; the row
only declares it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from shared.billing.sections import FLAGS, Action, Section, binds
from shared.core.config import Feature, SettingsRefused, settings
from shared.organizations.models import Role


class Who(StrEnum):
    """The minimum that a caller must be. A session or an API key can prove a role."""

    PUBLIC = "anybody"
    VIEWER = "viewer"
    MEMBER = "member"
    EDITOR = "editor"
    ADMIN = "admin"
    OWNER = "owner"
    SUPER_ADMIN = "super admin"


class Per(StrEnum):
    """Whose calls are counted together."""

    ADDRESS = "address"
    ORGANIZATION = "organization"
    PRINCIPAL = "principal"  # the signed-in person, the API key, or the grant
    SESSION = "session"  # the session that a renew token names


PUBLIC_COUNTS = frozenset({Per.ADDRESS, Per.SESSION})
"""The ways to count calls of public routes, where the caller is not known yet."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `times` calls per `window`; routes with the same `name` share the count.

    A `rolling` window looks back from each call, with a precision of a sixtieth of its length. Other windows begin with
    the first call and end all at once. `times` is the default, which `RATE_LIMITS` can override by name. `in_memory`: each
    function environment counts on its own, so that a read does not write; otherwise the database counts for all of them.
    """

    name: str
    times: int
    window: timedelta
    per: Per = Per.ORGANIZATION
    rolling: bool = False
    in_memory: bool = False

    @property
    def allowed(self) -> int:
        """The number of calls that this installation allows."""
        return settings().calls_allowed(self.name, self.times)


@dataclass(frozen=True, slots=True)
class Quota:
    """The remaining calls of a rate limit."""

    limit: int
    remaining: int
    resets_in_seconds: int


# The limits of routes without their own rate.
READS = Rate("reads", 1_200, timedelta(minutes=1), Per.PRINCIPAL, in_memory=True)
WRITES = Rate("writes", 300, timedelta(minutes=1), Per.PRINCIPAL)
READS_BY_ADDRESS = Rate(
    "reads_by_address", 1_200, timedelta(minutes=1), Per.ADDRESS, in_memory=True
)
WRITES_BY_ADDRESS = Rate("writes_by_address", 300, timedelta(minutes=1), Per.ADDRESS)
# A whole office may sign in from one address in the morning; guesses of a password are slowed per account.
SIGN_IN = Rate("sign_in", 300, timedelta(minutes=10), Per.ADDRESS)
CONFIRM = Rate("confirm", 30, timedelta(minutes=10), Per.PRINCIPAL)
RENEW = Rate("renew", 30, timedelta(minutes=1), Per.SESSION)
SIGN_UP = Rate("sign_up", 30, timedelta(hours=1), Per.ADDRESS)
MAIL = Rate("mail", 20, timedelta(hours=1), Per.ADDRESS)
# Email services send these for all their users, from a few addresses.
UNSUBSCRIBE = Rate("unsubscribe", 600, timedelta(minutes=1), Per.ADDRESS)
COMPOSE = Rate("compose", 600, timedelta(minutes=1))
CONNECT = Rate("connect", 120, timedelta(minutes=10))
MENTIONS = Rate("mentions", 300, timedelta(minutes=1))
CALLBACK = Rate("callback", 120, timedelta(minutes=10), Per.ADDRESS)
UPLOAD = Rate("upload", 600, timedelta(minutes=10))
KEYS = Rate("keys", 30, timedelta(minutes=10))
INVITATIONS = Rate("invitations", 60, timedelta(hours=1))
JOINING = Rate("joining", 30, timedelta(minutes=10), Per.PRINCIPAL)
NEW_ORGANIZATIONS = Rate("new_organizations", 10, timedelta(hours=1), Per.PRINCIPAL)
WEBHOOKS = Rate("webhooks", 60, timedelta(minutes=1))
CONSENT = Rate("consent", 60, timedelta(minutes=10))
TOKENS = Rate("tokens", 60, timedelta(minutes=1), Per.ADDRESS)
REGISTER = Rate("register_program", 20, timedelta(hours=1), Per.ADDRESS)
DEVICES = Rate("devices", 30, timedelta(minutes=10), Per.ADDRESS)
DEVICE_POLLS = Rate("device_polls", 60, timedelta(minutes=1), Per.ADDRESS)
TOOLS = Rate("mcp", 300, timedelta(minutes=1))
# The public API. The first is `API_LIMIT`; existing clients rely on it and on its rolling window.
PUBLIC_COMPOSE = Rate("public_compose", 90, timedelta(hours=1), rolling=True)
PUBLIC_READ = Rate("public_read", 600, timedelta(minutes=1))
PUBLIC_WRITE = Rate("public_write", 300, timedelta(minutes=1))
PUBLIC_UPLOAD = Rate("public_upload", 120, timedelta(minutes=1))
PUBLIC_ASK = Rate("public_ask", 120, timedelta(minutes=1))  # routes that call a platform
# Files that posts name by external addresses, on any route: each is a request to someone else's server.
FETCHES = Rate("fetches", 300, timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Rule:
    """One row.

    Attributes:
        limit: the level or flow of the plan that the route raises or uses.
        flag: the flag that the plan must include.
        action: what the route does there; None: the method decides.
        person: API keys and grants are refused, whatever their role.
        program: only API keys and grants are accepted.
        consent: a member's consent covers it, so grants are accepted. The consent page says what that is.
        reads_profile: the statement that identifies the caller also returns what `GET /user/self` shows.
        feature: the feature that must not be switched off.
        writes: it starts or changes something, which a read-only key, another site and a prefetch may not do. None: the
            method decides.
        judges_itself: the code behind this route calls `ActingMember.require` before it writes, so a read-only key is
            accepted.
        proposes: a key or consent that only proposes is accepted, because what it schedules waits for approval.
        returns: a platform sends browsers back to this page.
        by_cookie: a public route that uses or sets our cookies, so other sites may not send it.
        personal: a route about the person only: the organization or impersonation that a request names is ignored, and
            the person need not belong to any.
        in_company: a session that came through a company login is accepted, although the route is personal.
        self_only: a super admin who acts as the member is refused, and the session must not end before the change is made.
        fresh: the person must have proven their identity in the last ten minutes, with a second factor if they have one.
        whole: only callers who see the whole organization are accepted, because it changes or lists what all customers share.
        unlimited: why the route needs no rate limit. Every other row has one.
    """

    who: Who
    limit: Section | None = None
    rate: Rate | None = None
    person: bool = False
    program: bool = False
    consent: bool = False
    reads_profile: bool = False
    feature: Feature | None = None
    writes: bool | None = None
    judges_itself: bool = False
    proposes: bool = False
    returns: bool = False
    by_cookie: bool = False
    personal: bool = False
    in_company: bool = False
    self_only: bool = False
    fresh: bool = False
    whole: bool = False
    unlimited: str = ""
    flag: Section | None = None
    action: Action | None = None

    def __post_init__(self) -> None:
        if self.rate and (self.rate.per in PUBLIC_COUNTS) != (self.who is Who.PUBLIC):
            raise ValueError(
                "public routes are counted by address or session, all others by organization or principal"
            )
        if self.fresh and not (self.person and self.self_only):
            raise ValueError("only a person proves their identity, and only for themselves")
        if self.limit in FLAGS or not (self.flag is None or self.flag in FLAGS):
            raise ValueError("`flag` names a flag of the plan, `limit` a level or a flow")
        if self.rate and self.unlimited:
            raise ValueError("a route has a rate limit or a reason to have none, not both")

    @property
    def is_theirs_alone(self) -> bool:
        """Return whether a super admin who acts as the member is refused: also whatever deletes something."""
        return self.self_only or self.action is Action.DELETE

    @property
    def needs_plan(self) -> bool:
        """Return whether a plan may refuse it."""
        action = self.action or Action.CREATE
        return any(section and binds(section, action) for section in (self.limit, self.flag))


_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ACTIONS = {"POST": Action.CREATE, "PUT": Action.UPDATE, "DELETE": Action.DELETE}


def complete(method: str, rule: Rule) -> Rule:
    """Fill in a row's defaults: whether the route writes, its action, and its rate limit."""
    writes = method not in _READING if rule.writes is None else rule.writes
    rate = rule.rate
    if rate is None and not rule.unlimited:
        if rule.who is Who.PUBLIC:
            rate = WRITES_BY_ADDRESS if writes else READS_BY_ADDRESS
        else:
            rate = WRITES if writes else READS
    action = rule.action or _ACTIONS.get(method, Action.READ)
    if (writes, rate, action) == (rule.writes, rule.rate, rule.action):
        return rule
    return replace(rule, writes=writes, rate=rate, action=action)


def _consented(rows: Mapping[str, Rule]) -> dict[str, Rule]:
    """Allow OAuth grants on every row that allows programs: the consent page lists what these rows are about."""
    return {
        key: rule if rule.person or rule.who is Who.PUBLIC else replace(rule, consent=True)
        for key, rule in rows.items()
    }


PERSON = Rule(Who.VIEWER, person=True)
_PERSONAL = Rule(Who.VIEWER, person=True, personal=True)

# For super admins. What an operator does there is not about an organization, so they need not belong to any.
_OPERATES = Rule(Who.SUPER_ADMIN, person=True, personal=True)
ADMIN = {
    "GET /admin/people": _OPERATES,
    "DELETE /admin/people/{user_id}/sessions": _OPERATES,
    "GET /admin/organizations": _OPERATES,
    "GET /admin/errors": _OPERATES,
    "GET /admin/errors/platforms": _OPERATES,
    "GET /admin/stats": _OPERATES,
}

_STATIC = "It needs no database."
ROOT = {
    "GET /": Rule(Who.PUBLIC, unlimited=_STATIC),
    "GET /health": Rule(Who.PUBLIC, unlimited=_STATIC),
    "GET /health/ready": Rule(Who.PUBLIC),
    # Monitors ask it without a key. It says no more than whether due posts are published.
    "GET /monitor/queue/{queue}": Rule(Who.PUBLIC),
    "GET /.well-known/security.txt": Rule(Who.PUBLIC, unlimited=_STATIC),
    "GET /openapi.json": Rule(Who.PUBLIC, feature=Feature.REFERENCE, unlimited=_STATIC),
    "GET /docs": Rule(Who.PUBLIC, feature=Feature.REFERENCE, unlimited=_STATIC),
    "GET /docs/{file}": Rule(Who.PUBLIC, feature=Feature.REFERENCE, unlimited=_STATIC),
}
AUTH = {
    "GET /auth/can-register": Rule(Who.PUBLIC),
    "POST /auth/register": Rule(Who.PUBLIC, rate=SIGN_UP, by_cookie=True),
    "GET /auth/activate": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/activate": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "POST /auth/resend-activation": Rule(Who.PUBLIC, rate=MAIL),
    "POST /auth/login": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "GET /auth/login": Rule(Who.PUBLIC),
    "POST /auth/mfa": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "POST /auth/mfa/options": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "POST /auth/passkey/options": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "POST /auth/passkey": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "GET /auth/oauth": Rule(Who.PUBLIC),
    # It begins a login and sets a cookie, although clients know it as a GET.
    "GET /auth/oauth/{provider}": Rule(Who.PUBLIC, rate=SIGN_IN, writes=True, by_cookie=True),
    # Providers send browsers back here; the state in the browser's cookie proves the right to continue.
    "GET /auth/oauth/{provider}/callback": Rule(
        Who.PUBLIC, rate=SIGN_IN, writes=True, returns=True
    ),
    "POST /auth/oauth/{provider}/exists": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "POST /auth/company": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    # Issuers send browsers back here; the state in the browser's cookie proves the right to continue.
    "GET /auth/company/{connection_id}/callback": Rule(
        Who.PUBLIC, rate=SIGN_IN, writes=True, returns=True
    ),
    "POST /auth/renew": Rule(Who.PUBLIC, rate=RENEW, by_cookie=True),
    "POST /auth/forgot": Rule(Who.PUBLIC, rate=MAIL),
    "GET /auth/forgot-return": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/forgot-return": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "POST /auth/recovery": Rule(Who.PUBLIC, rate=MAIL),
    "GET /auth/recover": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/recover": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "GET /auth/stop-recovery": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/stop-recovery": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "GET /auth/confirm-email": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/confirm-email": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "GET /auth/undo-email": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/undo-email": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
    "GET /auth/return": Rule(Who.PUBLIC, rate=SIGN_IN),
    "POST /auth/return": Rule(Who.PUBLIC, rate=SIGN_IN, by_cookie=True),
}
_OWN = Rule(Who.VIEWER, person=True, personal=True, self_only=True)
_OWN_FRESH = replace(_OWN, rate=CONFIRM, fresh=True)
_KEYS = Rule(
    Who.ADMIN, rate=KEYS, person=True, feature=Feature.API_KEYS, self_only=True, fresh=True
)
USER = {
    "GET /user/self": Rule(Who.VIEWER, consent=True, reads_profile=True),
    "GET /user/personal": Rule(Who.VIEWER, person=True, reads_profile=True),
    "POST /user/personal": PERSON,
    "GET /user/email-notifications": PERSON,
    "POST /user/email-notifications": PERSON,
    "GET /user/organizations": replace(_PERSONAL, in_company=True),
    "POST /user/change-org": replace(_PERSONAL, in_company=True),
    "POST /user/join-org": Rule(
        Who.VIEWER, Section.TEAM_MEMBERS, JOINING, person=True, personal=True, self_only=True
    ),
    # Invitations link here until there is a console.
    "GET /app": Rule(Who.PUBLIC),
    # The token in the link proves the right to unsubscribe.
    "GET /user/unsubscribe": Rule(Who.PUBLIC),
    "POST /user/unsubscribe": Rule(Who.PUBLIC, rate=UNSUBSCRIBE),
    "POST /user/logout": Rule(Who.PUBLIC, by_cookie=True),
    "GET /user/sessions": _PERSONAL,
    "GET /user/audit": _PERSONAL,
    "DELETE /user/sessions": _OWN,
    "DELETE /user/sessions/{session_id}": _OWN,
    "POST /user/confirm": replace(_OWN, rate=CONFIRM),
    "POST /user/password": _OWN_FRESH,
    "POST /user/email": _OWN_FRESH,
    "DELETE /user/account": _OWN_FRESH,
    # The same, as existing clients call it.
    "POST /user/delete-account": _OWN_FRESH,
    "GET /user/logins": _PERSONAL,
    "POST /user/logins": _OWN_FRESH,
    "DELETE /user/logins/{login_id}": _OWN_FRESH,
    "GET /user/factors": _PERSONAL,
    "POST /user/factors": _OWN_FRESH,
    "POST /user/factors/{factor_id}/confirm": _OWN_FRESH,
    "DELETE /user/factors/{factor_id}": _OWN_FRESH,
    "POST /user/passkeys": _OWN_FRESH,
    "POST /user/passkeys/finish": _OWN_FRESH,
    "POST /user/confirm/options": replace(_OWN, rate=CONFIRM),
    "POST /user/recovery-codes": _OWN_FRESH,
    "GET /user/recovery": _PERSONAL,
    "GET /user/devices": _PERSONAL,
    "DELETE /user/devices/{device_id}": _OWN,
    "GET /user/impersonate": Rule(Who.SUPER_ADMIN, person=True, feature=Feature.IMPERSONATION),
    "POST /user/impersonate": Rule(Who.SUPER_ADMIN, person=True, feature=Feature.IMPERSONATION),
    "GET /user/api-key": Rule(Who.ADMIN, feature=Feature.API_KEYS),
    "POST /user/api-key": _KEYS,
    "PUT /user/api-key/{key_id}": _KEYS,
    "POST /user/api-key/rotate": _KEYS,
    "POST /user/api-key/{key_id}/rotate": _KEYS,
    "DELETE /user/api-key/{key_id}": _KEYS,
}
_GIVES_SEATS = Rule(Who.ADMIN, person=True, self_only=True, fresh=True)
_INVITES = replace(_GIVES_SEATS, limit=Section.TEAM_MEMBERS, rate=INVITATIONS, reads_profile=True)
# A key must not switch off the approval that its posts wait for.
_APPROVAL = Rule(Who.ADMIN, person=True, self_only=True, whole=True)
_LETS_IN = Rule(Who.OWNER, rate=KEYS, person=True, self_only=True, fresh=True, whole=True)
ORGANIZATIONS = {
    "GET /settings/company-login": Rule(Who.OWNER, person=True, whole=True),
    "PUT /settings/company-login": _LETS_IN,
    "DELETE /settings/company-login": _LETS_IN,
    "POST /settings/company-login/domains": _LETS_IN,
    "POST /settings/company-login/domains/{domain_id}/verify": _LETS_IN,
    "DELETE /settings/company-login/domains/{domain_id}": _LETS_IN,
    "GET /settings/organization": Rule(Who.VIEWER),
    # It decides whether the owners get an email about impersonations.
    "PUT /settings/organization": Rule(Who.ADMIN, self_only=True),
    "GET /settings/approval": Rule(Who.VIEWER),
    "PUT /settings/approval": _APPROVAL,
    "PUT /settings/approval/{customer_id}": _APPROVAL,
    "DELETE /settings/approval/{customer_id}": _APPROVAL,
    "DELETE /settings/organization": Rule(
        Who.OWNER, person=True, self_only=True, fresh=True, whole=True
    ),
    "GET /settings/shortlink": Rule(Who.ADMIN),
    "POST /settings/shortlink": Rule(Who.ADMIN),
    "GET /settings/security": Rule(Who.ADMIN),
    "PUT /settings/security": Rule(Who.ADMIN, person=True, self_only=True, fresh=True, whole=True),
    "GET /settings/recoveries": Rule(Who.ADMIN, person=True),
    "POST /settings/recoveries/{recovery_id}/stop": _GIVES_SEATS,
    "POST /settings/recoveries/{recovery_id}/agree": _GIVES_SEATS,
    "GET /settings/team": Rule(Who.ADMIN, Section.TEAM_MEMBERS),
    "POST /settings/team": _INVITES,
    "POST /settings/team/invitations/{invitation_id}/resend": _INVITES,
    "DELETE /settings/team/invitations/{invitation_id}": Rule(
        Who.ADMIN, person=True, self_only=True
    ),
    # Enabling a member takes a seat.
    "PUT /settings/team/{user_id}": replace(
        _GIVES_SEATS, limit=Section.TEAM_MEMBERS, action=Action.CREATE
    ),
    "DELETE /settings/team/{user_id}": _GIVES_SEATS,
    "POST /organizations": Rule(
        Who.VIEWER, rate=NEW_ORGANIZATIONS, person=True, personal=True, self_only=True
    ),
    "POST /organizations/leave": Rule(Who.VIEWER, person=True, self_only=True, fresh=True),
    "GET /settings/audit": Rule(Who.ADMIN, whole=True),
    "GET /organizations/ownership": PERSON,
    "POST /organizations/ownership": Rule(
        Who.OWNER, rate=INVITATIONS, person=True, reads_profile=True, self_only=True, fresh=True
    ),
    "DELETE /organizations/ownership/{offer_id}": Rule(Who.VIEWER, person=True, self_only=True),
    "POST /organizations/ownership/{offer_id}/accept": Rule(
        Who.VIEWER, person=True, self_only=True, fresh=True
    ),
    # Offers of ownership link here until there is a console.
    "GET /app/ownership/{offer_id}": Rule(Who.PUBLIC),
    "GET /customers": Rule(Who.VIEWER, consent=True),
    "POST /customers": Rule(Who.EDITOR, whole=True),
    "PUT /customers/{customer_id}": Rule(Who.EDITOR, whole=True),
    "DELETE /customers/{customer_id}": Rule(Who.EDITOR, whole=True),
}
NOTIFICATIONS = {
    "GET /notifications": PERSON,
    # Reading the first page marks everything as read.
    "GET /notifications/list": Rule(Who.VIEWER, person=True, writes=True),
    "POST /notifications/read": PERSON,
    "GET /announcements": replace(_PERSONAL, in_company=True),
    "POST /announcements": _OPERATES,
    "DELETE /announcements/{announcement_id}": _OPERATES,
}
INTEGRATIONS = _consented(
    {
        "GET /integrations": Rule(Who.VIEWER),
        "GET /integrations/list": Rule(Who.VIEWER),
        "GET /integrations/providers": Rule(Who.VIEWER),
        # It starts a connection, although clients know it as a GET.
        "GET /integrations/social/{provider}": Rule(
            Who.EDITOR, Section.CHANNELS, rate=CONNECT, writes=True, action=Action.CREATE
        ),
        "POST /integrations/social/{provider}/connect": Rule(
            Who.EDITOR, Section.CHANNELS, rate=CONNECT
        ),
        "POST /integrations/social-connect/{provider}": Rule(
            Who.EDITOR, Section.CHANNELS, rate=CONNECT
        ),
        "POST /integrations/provider/{channel_id}/connect": Rule(Who.EDITOR, rate=CONNECT),
        "POST /integrations/disable": Rule(Who.EDITOR),
        "POST /integrations/enable": Rule(Who.EDITOR, Section.CHANNELS),
        "POST /integrations/mentions": Rule(Who.MEMBER, rate=MENTIONS),
        "DELETE /integrations": Rule(Who.EDITOR),
        "GET /integrations/{channel_id}": Rule(Who.VIEWER),
        "DELETE /integrations/{channel_id}": Rule(Who.EDITOR),
        "GET /integrations/{channel_id}/pages": Rule(Who.EDITOR, rate=CONNECT),
        "POST /integrations/{channel_id}/settings": Rule(Who.EDITOR),
        "POST /integrations/{channel_id}/time": Rule(Who.EDITOR),
        "POST /integrations/{channel_id}/nickname": Rule(Who.EDITOR),
        "PUT /integrations/{channel_id}/customer": Rule(Who.ADMIN, whole=True),
        # Platforms send browsers back here; the state proves the right to continue.
        "GET /app/integrations/social/{provider}": Rule(
            Who.PUBLIC, rate=CALLBACK, writes=True, returns=True
        ),
        "POST /app/integrations/social/{provider}": Rule(Who.PUBLIC, rate=CALLBACK, by_cookie=True),
    }
)
MEDIA = _consented(
    {
        # Files belong to no customer yet, so the library is closed to a caller who is limited to some.
        "GET /media": Rule(Who.VIEWER, whole=True),
        "POST /media": Rule(Who.MEMBER, Section.STORAGE, rate=UPLOAD, whole=True, proposes=True),
        "POST /media/information": Rule(Who.MEMBER, whole=True, proposes=True),
        "GET /media/storage": Rule(Who.VIEWER),
        "GET /media/{media_id}": Rule(Who.VIEWER, whole=True),
        "PUT /media/{media_id}": Rule(Who.MEMBER, whole=True),
        "DELETE /media/{media_id}": Rule(Who.MEMBER, whole=True),
        "POST /media/{media_id}/parts": Rule(Who.MEMBER, whole=True, proposes=True),
        "POST /media/{media_id}/complete": Rule(Who.MEMBER, whole=True, proposes=True),
        "DELETE /media/{media_id}/upload": Rule(Who.MEMBER, whole=True, proposes=True),
    }
)
# Whatever queues a post counts it, unless it is counted already.
_QUEUES = Rule(
    Who.MEMBER, Section.POSTS_PER_MONTH, rate=COMPOSE, action=Action.CREATE, proposes=True
)
_DECIDES = Rule(
    Who.VIEWER,
    Section.POSTS_PER_MONTH,
    rate=COMPOSE,
    action=Action.CREATE,
    person=True,
    self_only=True,
)
POSTS = _consented(
    {
        "GET /posts": Rule(Who.VIEWER),
        "POST /posts": _QUEUES,
        "GET /posts/list": Rule(Who.VIEWER),
        "GET /posts/reviews": Rule(Who.VIEWER),
        # Only people decide. A viewer who may approve is a client.
        "POST /posts/{post_id}/review": _DECIDES,
        "POST /posts/group/{group_id}/review": _DECIDES,
        "GET /posts/group/{group_id}": Rule(Who.VIEWER),
        "DELETE /posts/group/{group_id}": Rule(Who.MEMBER),
        "GET /posts/{post_id}": Rule(Who.VIEWER),
        "POST /posts/valid": Rule(Who.MEMBER, rate=COMPOSE, proposes=True),
        "POST /posts/should-shortlink": Rule(Who.VIEWER),
        "GET /posts/find-slot": Rule(Who.VIEWER),
        "GET /posts/find-slot/{channel_id}": Rule(Who.VIEWER),
        "GET /posts/tags": Rule(Who.VIEWER),
        "POST /posts/tags": Rule(Who.MEMBER),
        "PUT /posts/tags/{tag_id}": Rule(Who.MEMBER, whole=True),
        "DELETE /posts/tags/{tag_id}": Rule(Who.MEMBER, whole=True),
        "PUT /posts/{post_id}": _QUEUES,
        "DELETE /posts/{post_id}": Rule(Who.MEMBER),
        "PUT /posts/{post_id}/date": _QUEUES,
        "PUT /posts/{post_id}/status": _QUEUES,
        "POST /posts/{post_id}/duplicate": _QUEUES,
        "POST /posts/{post_id}/confirm": Rule(Who.MEMBER),
        "POST /posts/{post_id}/resend": replace(_QUEUES, proposes=False),
        "GET /posts/{post_id}/history": Rule(Who.VIEWER),
        # Emails link here until there is a console.
        "GET /app/posts/{post_id}": Rule(Who.VIEWER),
    }
)

# Webhooks are notified of the posts of all customers, so a caller who is limited to some neither sees nor changes them.
_READS_WEBHOOKS = Rule(Who.EDITOR, feature=Feature.WEBHOOKS, whole=True)
_WEBHOOKS = replace(_READS_WEBHOOKS, who=Who.ADMIN, rate=WEBHOOKS)
AUTOMATION = {
    "GET /webhooks": _READS_WEBHOOKS,
    "POST /webhooks": replace(_WEBHOOKS, limit=Section.WEBHOOKS),
    "PUT /webhooks": _WEBHOOKS,
    "POST /webhooks/send": _WEBHOOKS,
    "GET /webhooks/{webhook_id}": _READS_WEBHOOKS,
    "PUT /webhooks/{webhook_id}": _WEBHOOKS,
    "DELETE /webhooks/{webhook_id}": _WEBHOOKS,
    "POST /webhooks/{webhook_id}/rotate": _WEBHOOKS,
    "POST /webhooks/{webhook_id}/test": _WEBHOOKS,
    "GET /webhooks/{webhook_id}/deliveries": _READS_WEBHOOKS,
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": _WEBHOOKS,
}
_APPS_FEATURE = Feature.APPS
_MANAGE_APPS = Rule(Who.ADMIN, rate=CONSENT, person=True, feature=_APPS_FEATURE, self_only=True)
_CONSENTS = Rule(Who.MEMBER, rate=CONSENT, person=True, feature=_APPS_FEATURE, self_only=True)
_USERINFO = Rule(
    Who.VIEWER, program=True, consent=True, reads_profile=True, writes=False, feature=_APPS_FEATURE
)
_OWN_APP = Rule(Who.ADMIN, person=True, feature=_APPS_FEATURE)
_GRANTS = Rule(Who.VIEWER, person=True, feature=_APPS_FEATURE)
_ENDS_GRANT = replace(_GRANTS, self_only=True)
APPS = {
    "GET /oauth/authorize": Rule(Who.PUBLIC, rate=TOKENS, feature=_APPS_FEATURE),
    "GET /oauth/authorize/{issuer}": Rule(Who.PUBLIC, rate=TOKENS, feature=_APPS_FEATURE),
    "POST /oauth/authorize": _CONSENTS,
    "POST /oauth/token": Rule(Who.PUBLIC, rate=TOKENS, feature=_APPS_FEATURE),
    "POST /oauth/revoke": Rule(Who.PUBLIC, rate=TOKENS, feature=_APPS_FEATURE),
    "POST /oauth/register": Rule(Who.PUBLIC, rate=REGISTER, feature=_APPS_FEATURE),
    "GET /oauth/userinfo": _USERINFO,
    "POST /oauth/userinfo": _USERINFO,
    "GET /oauth/app": _OWN_APP,
    "POST /oauth/app": _MANAGE_APPS,
    "PUT /oauth/app": _MANAGE_APPS,
    "DELETE /oauth/app": _MANAGE_APPS,
    "POST /oauth/app/rotate": _MANAGE_APPS,
    "GET /oauth/grants": _GRANTS,
    "DELETE /oauth/grants/{grant_id}": _ENDS_GRANT,
    # Aliases.
    "GET /user/oauth-app": _OWN_APP,
    "POST /user/oauth-app": _MANAGE_APPS,
    "PUT /user/oauth-app": _MANAGE_APPS,
    "DELETE /user/oauth-app": _MANAGE_APPS,
    "POST /user/oauth-app/rotate-secret": _MANAGE_APPS,
    "GET /user/approved-apps": _GRANTS,
    "DELETE /user/approved-apps/{grant_id}": _ENDS_GRANT,
    "POST /device/code": Rule(Who.PUBLIC, rate=DEVICES, feature=_APPS_FEATURE),
    "POST /device/token": Rule(Who.PUBLIC, rate=DEVICE_POLLS, feature=_APPS_FEATURE),
    "GET /device": Rule(Who.PUBLIC, rate=TOKENS, feature=_APPS_FEATURE),
    "POST /device/approve": _CONSENTS,
    "GET /.well-known/oauth-protected-resource": Rule(Who.PUBLIC, feature=_APPS_FEATURE),
    "GET /.well-known/oauth-protected-resource/{name}": Rule(Who.PUBLIC, feature=_APPS_FEATURE),
    "GET /.well-known/oauth-authorization-server": Rule(Who.PUBLIC, feature=_APPS_FEATURE),
    "GET /.well-known/oauth-authorization-server/{name}": Rule(Who.PUBLIC, feature=_APPS_FEATURE),
}
_API = Section.PUBLIC_API
_READS = Rule(Who.VIEWER, rate=PUBLIC_READ, program=True, flag=_API)
_WRITES = Rule(Who.MEMBER, rate=PUBLIC_WRITE, program=True, flag=_API)
_REQUEUES = replace(_WRITES, limit=Section.POSTS_PER_MONTH, action=Action.CREATE, proposes=True)
_ASKS = Rule(Who.MEMBER, rate=PUBLIC_ASK, program=True, flag=_API)
_UPLOADS = Rule(
    Who.MEMBER, Section.STORAGE, rate=PUBLIC_UPLOAD, program=True, flag=_API, proposes=True
)
PUBLIC_API = _consented(
    {
        "GET /public/v1/is-connected": _READS,
        "GET /public/v1/integrations": _READS,
        "GET /public/v1/groups": _READS,
        # It starts a connection, as the canonical route does.
        "GET /public/v1/social/{provider}": Rule(
            Who.EDITOR,
            Section.CHANNELS,
            rate=PUBLIC_ASK,
            program=True,
            writes=True,
            flag=_API,
            action=Action.CREATE,
        ),
        "DELETE /public/v1/integrations/{channel_id}": Rule(
            Who.EDITOR, rate=PUBLIC_WRITE, program=True, flag=_API
        ),
        "GET /public/v1/integration-settings/{channel_id}": _READS,
        "POST /public/v1/integration-trigger/{channel_id}": replace(_ASKS, proposes=True),
        "GET /public/v1/find-slot": _READS,
        "GET /public/v1/find-slot/{channel_id}": _READS,
        "GET /public/v1/posts": _READS,
        "POST /public/v1/posts": Rule(
            Who.MEMBER,
            Section.POSTS_PER_MONTH,
            rate=PUBLIC_COMPOSE,
            program=True,
            flag=_API,
            proposes=True,
        ),
        "GET /public/v1/posts/{post_id}": _READS,
        "PUT /public/v1/posts/{post_id}": _REQUEUES,
        "DELETE /public/v1/posts/{post_id}": _WRITES,
        "DELETE /public/v1/posts/group/{group_id}": _WRITES,
        "GET /public/v1/posts/{post_id}/missing": _ASKS,
        "PUT /public/v1/posts/{post_id}/settings": replace(_WRITES, proposes=True),
        "PUT /public/v1/posts/{post_id}/status": _REQUEUES,
        "PUT /public/v1/posts/{post_id}/release-id": _WRITES,
        "GET /public/v1/analytics/{channel_id}": replace(_ASKS, who=Who.VIEWER),
        "GET /public/v1/analytics/post/{post_id}": replace(_ASKS, who=Who.VIEWER),
        "POST /public/v1/upload": _UPLOADS,
        "POST /public/v1/upload-from-url": _UPLOADS,
        "GET /public/v1/notifications": _READS,
        "POST /public/v1/generate-video": _ASKS,
        "POST /public/v1/video/function": _ASKS,
        "GET /public/v1/users": _READS,
    }
)
# One address for all tools; each declares what it needs (shared/public_api/tools.py).
_TOOLS = Rule(Who.VIEWER, rate=TOOLS, program=True, consent=True, judges_itself=True, flag=_API)
MCP = {
    "POST /mcp": _TOOLS,
    "POST /mcp/{api_key}": _TOOLS,
}

_ROWS = {
    **ROOT,
    **AUTH,
    **USER,
    **ORGANIZATIONS,
    **NOTIFICATIONS,
    **INTEGRATIONS,
    **MEDIA,
    **POSTS,
    **AUTOMATION,
    **APPS,
    **PUBLIC_API,
    **MCP,
    **ADMIN,
}
POLICY: dict[str, Rule] = {key: complete(key.partition(" ")[0], row) for key, row in _ROWS.items()}
"""Every row, complete."""

_RANK = (Role.VIEWER, Role.MEMBER, Role.EDITOR, Role.ADMIN, Role.OWNER)


def rule_for(method: str, path: str) -> Rule:
    """Return the row of a route, `path` as it was declared (`/posts/{post_id}`).

    Raises:
        LookupError: it has no row.
    """
    try:
        return complete(method, POLICY[f"{method} {path}"])
    except KeyError as error:
        raise LookupError(
            f"{method} {path} has no row in shared/access/policy.py: say who may call it"
        ) from error


def check_rate_limits() -> None:
    """Check that `RATE_LIMITS` names only existing rates.

    Raises:
        SettingsRefused: it names one that does not exist.
    """
    known = {FETCHES.name, *(rule.rate.name for rule in POLICY.values() if rule.rate)}
    if unknown := sorted(settings().rate_limits.keys() - known):
        raise SettingsRefused(
            f"RATE_LIMITS: there is no limit {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )


def reaches(role: Role, needed: Role) -> bool:
    """Return whether `role` is `needed` or higher."""
    return _RANK.index(role) >= _RANK.index(needed)

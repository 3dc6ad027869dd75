"""Which action of the audit log does each route that writes record, or why none? A new route without a line fails.

The walk sends every route a request that changes something, as far as one can be made up, and compares what was recorded with
the table. What it cannot make up is proven by the tests of the feature.
"""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.access.policy import POLICY
from shared.audit.entries import Action
from tests.functions.test_principals import GUARDED, World, fingerprint
from tests.functions.test_principals import world as world_of_principals
from tests.gateway import as_member, as_operator, by_key

world = world_of_principals

RECORDED = """
    POST /auth/register: account.registered, session.started, login.added
    POST /auth/activate: account.activated, account.sessions_ended, api_key.revoked, grant.revoked, session.started, login.added
    POST /auth/login: session.started, account.login_refused, login.added
    GET /auth/oauth/{provider}/callback: session.started, session.confirmed, login.added, account.activated
    POST /auth/oauth/{provider}/exists: session.started, session.confirmed, login.added, account.activated
    POST /auth/renew: session.ended
    POST /auth/forgot-return: account.password_changed, account.activated, account.sessions_ended, api_key.revoked, grant.revoked
    POST /auth/confirm-email: account.email_changed, account.sessions_ended
    POST /auth/undo-email: account.email_restored, account.sessions_ended, api_key.revoked, grant.revoked
    GET /auth/company/{connection_id}/callback: session.started, member.joined, account.registered, account.activated, account.sessions_ended, api_key.revoked, grant.revoked
    PUT /settings/company-login: company_login.created, company_login.updated
    DELETE /settings/company-login: company_login.deleted
    POST /settings/company-login/domains: company_domain.added
    POST /settings/company-login/domains/{domain_id}/verify: company_domain.proven
    DELETE /settings/company-login/domains/{domain_id}: company_domain.removed
    POST /auth/mfa: session.started, login.added
    POST /auth/passkey: session.started, login.added
    POST /user/passkeys/finish: factor.added, session.confirmed, account.sessions_ended
    POST /auth/recover: recovery.started, recovery.stopped, recovery.finished, recovery.agreed
    POST /auth/stop-recovery: recovery.stopped
    POST /settings/recoveries/{recovery_id}/stop: recovery.objected, recovery.stopped
    POST /settings/recoveries/{recovery_id}/agree: recovery.agreed
    POST /user/factors/{factor_id}/confirm: factor.added, session.confirmed, account.sessions_ended
    DELETE /user/factors/{factor_id}: factor.removed, account.sessions_ended
    POST /user/recovery-codes: recovery_codes.replaced, account.sessions_ended
    DELETE /user/devices/{device_id}: device.forgotten
    PUT /settings/security: organization.security_changed
    PUT /settings/approval: organization.updated
    PUT /settings/approval/{customer_id}: customer.updated
    DELETE /settings/approval/{customer_id}: customer.updated
    POST /auth/return: account.restored, organization.restored
    POST /user/delete-account: account.deleted, account.sessions_ended, organization.deleted, api_key.revoked, grant.revoked
    DELETE /user/account: account.deleted, account.sessions_ended, organization.deleted, api_key.revoked, grant.revoked
    DELETE /settings/organization: organization.deleted, api_key.revoked, grant.revoked
    POST /posts/{post_id}/review: post.approved, post.declined
    POST /posts/group/{group_id}/review: post.approved, post.declined
    POST /user/personal: account.updated
    POST /user/email-notifications: account.mails_changed
    POST /user/unsubscribe: account.mails_changed
    POST /user/logout: session.ended
    DELETE /user/sessions: account.sessions_ended
    DELETE /user/sessions/{session_id}: session.ended
    POST /user/confirm: session.confirmed, account.login_refused
    POST /user/password: account.password_changed, account.sessions_ended, account.login_refused, api_key.revoked, grant.revoked
    POST /user/email: account.email_changed, account.sessions_ended
    DELETE /user/logins/{login_id}: login.removed, account.sessions_ended
    POST /user/impersonate: impersonation.started, impersonation.ended
    POST /user/api-key: api_key.created
    PUT /user/api-key/{key_id}: api_key.updated
    POST /user/api-key/{key_id}/rotate: api_key.rotated
    DELETE /user/api-key/{key_id}: api_key.revoked
    POST /user/api-key/rotate: api_key.rotated
    POST /user/oauth-app: app.created
    PUT /user/oauth-app: app.updated
    DELETE /user/oauth-app: app.deleted
    POST /user/oauth-app/rotate-secret: app.secret_rotated
    DELETE /user/approved-apps/{grant_id}: grant.revoked
    PUT /settings/organization: organization.updated
    POST /settings/shortlink: organization.updated
    PUT /settings/team/{user_id}: member.updated, api_key.revoked, grant.revoked
    DELETE /settings/team/{user_id}: member.removed, api_key.revoked, grant.revoked
    POST /settings/team: invitation.created
    POST /settings/team/invitations/{invitation_id}/resend: invitation.resent
    DELETE /settings/team/invitations/{invitation_id}: invitation.revoked
    POST /organizations/ownership: ownership.offered
    DELETE /organizations/ownership/{offer_id}: ownership.withdrawn
    POST /organizations/ownership/{offer_id}/accept: ownership.accepted, member.updated, api_key.revoked, grant.revoked
    POST /user/join-org: member.joined
    POST /organizations: organization.created
    POST /organizations/leave: member.left, api_key.revoked, grant.revoked
    POST /customers: customer.created
    PUT /customers/{customer_id}: customer.updated
    DELETE /customers/{customer_id}: customer.deleted
    POST /announcements: announcement.created
    DELETE /announcements/{announcement_id}: announcement.deleted
    DELETE /admin/people/{user_id}/sessions: account.sessions_ended
    POST /integrations/social/{provider}/connect: channel.connected
    POST /integrations/social-connect/{provider}: channel.connected
    GET /app/integrations/social/{provider}: channel.connected
    POST /app/integrations/social/{provider}: channel.connected
    POST /integrations/provider/{channel_id}/connect: channel.connected
    POST /integrations/disable: channel.updated
    POST /integrations/enable: channel.updated
    DELETE /integrations: channel.deleted, post.deleted
    DELETE /integrations/{channel_id}: channel.deleted, post.deleted
    DELETE /public/v1/integrations/{channel_id}: channel.deleted, post.deleted
    POST /integrations/{channel_id}/settings: channel.updated
    POST /integrations/{channel_id}/time: channel.updated
    POST /integrations/{channel_id}/nickname: channel.updated
    PUT /integrations/{channel_id}/customer: channel.updated
    POST /media/{media_id}/complete: media.uploaded
    POST /public/v1/upload: media.uploaded
    POST /public/v1/upload-from-url: media.uploaded
    POST /media/information: media.updated
    PUT /media/{media_id}: media.updated
    DELETE /media/{media_id}: media.deleted
    POST /posts: post.composed, post.edited
    POST /public/v1/posts: post.composed, post.edited
    PUT /posts/{post_id}: post.edited
    PUT /public/v1/posts/{post_id}: post.edited
    PUT /public/v1/posts/{post_id}/settings: post.edited
    PUT /posts/{post_id}/date: post.rescheduled, post.queued
    PUT /posts/{post_id}/status: post.queued, post.cancelled
    PUT /public/v1/posts/{post_id}/status: post.queued, post.cancelled
    POST /posts/{post_id}/duplicate: post.duplicated
    POST /posts/{post_id}/confirm: post.confirmed
    POST /posts/{post_id}/resend: post.resent
    PUT /public/v1/posts/{post_id}/release-id: post.release_named
    DELETE /posts/{post_id}: post.deleted, post.rest_deleted
    DELETE /public/v1/posts/{post_id}: post.deleted, post.rest_deleted
    DELETE /posts/group/{group_id}: post.deleted, post.rest_deleted
    DELETE /public/v1/posts/group/{group_id}: post.deleted, post.rest_deleted
    POST /posts/tags: tag.created
    PUT /posts/tags/{tag_id}: tag.updated
    DELETE /posts/tags/{tag_id}: tag.deleted
    POST /webhooks: webhook.created
    PUT /webhooks: webhook.updated
    PUT /webhooks/{webhook_id}: webhook.updated
    DELETE /webhooks/{webhook_id}: webhook.deleted
    POST /webhooks/{webhook_id}/rotate: webhook.secret_rotated
    POST /webhooks/{webhook_id}/test: webhook.tested
    POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver: webhook.redelivered
    POST /oauth/authorize: app.allowed, app.denied
    POST /device/approve: app.allowed, app.denied
    POST /oauth/token: grant.created, grant.revoked
    POST /device/token: grant.created
    POST /oauth/revoke: grant.revoked
    POST /oauth/register: app.registered
    POST /oauth/app: app.created
    PUT /oauth/app: app.updated
    DELETE /oauth/app: app.deleted
    POST /oauth/app/rotate: app.secret_rotated
    DELETE /oauth/grants/{grant_id}: grant.revoked
    POST /mcp: post.composed, post.edited, post.rescheduled, post.queued, post.cancelled, post.deleted, media.uploaded, channel.deleted
    POST /mcp/{api_key}: post.composed, post.edited, post.rescheduled, post.queued, post.cancelled, post.deleted, media.uploaded, channel.deleted
"""
NOT_RECORDED = {
    "POST /auth/recovery": "it sends an email; opening its link is recorded",
    "POST /user/passkeys": "it begins to add a passkey; adding it is recorded",
    "POST /auth/passkey/options": "it begins a sign-in; its end is recorded",
    "POST /auth/mfa/options": "it begins to prove a factor; the session is recorded",
    "POST /user/confirm/options": "it begins to prove a factor; the proof is recorded",
    "POST /user/factors": "it begins to add a factor; confirming it is recorded",
    "POST /auth/resend-activation": "it sends an email; opening its link is recorded",
    "POST /auth/forgot": "it sends an email; the new password is recorded",
    "POST /auth/company": "it begins a sign-in; its end is recorded",
    "GET /auth/oauth/{provider}": "it begins a sign-in; its end is recorded",
    "POST /user/logins": "it begins to add a login; adding it is recorded",
    "POST /user/change-org": "it sets a cookie of the caller",
    "GET /notifications/list": "it marks the caller's own notifications as read",
    "POST /notifications/read": "it marks the caller's own notifications as read",
    "GET /integrations/social/{provider}": "it begins to connect a channel; the channel is recorded",
    "GET /public/v1/social/{provider}": "it begins to connect a channel; the channel is recorded",
    "POST /integrations/mentions": "it asks a platform and stores nothing",
    "POST /public/v1/integration-trigger/{channel_id}": "it asks a platform and stores nothing",
    "POST /public/v1/generate-video": "this server generates no videos",
    "POST /public/v1/video/function": "this server generates no videos",
    "POST /media": "it begins an upload; the file is recorded when it is complete",
    "POST /media/{media_id}/parts": "it signs addresses for the parts of an upload",
    "DELETE /media/{media_id}/upload": "nobody has seen the file of an upload that is given up",
    "POST /posts/valid": "it checks a draft and stores nothing",
    "POST /posts/should-shortlink": "it looks at a text and stores nothing",
    "POST /webhooks/send": "it sends an example to an address and stores nothing",
    "POST /device/code": "nobody is signed in yet; the consent is recorded",
}
"""Why a route that writes records nothing."""
# Marks of use, and what a request leaves whether it changes something or not.
BESIDE = {
    *("rate_limits", "audit_events", "audit_addresses", "idempotency_keys"),
    *("oauth_states", "challenges"),  # what has begun; its end is recorded
}


def table() -> dict[str, set[str]]:
    rows = (line.strip().rpartition(": ") for line in RECORDED.splitlines() if line.strip())
    return {route: set(actions.split(", ")) for route, _, actions in rows}


def test_every_route_that_writes_has_a_line() -> None:
    writing = {key for key, rule in POLICY.items() if rule.writes}
    recorded = table()
    assert recorded.keys() & NOT_RECORDED.keys() == set()
    assert recorded.keys() | NOT_RECORDED.keys() == writing


def test_the_table_has_real_actions_alone() -> None:
    assert set().union(*table().values()) <= {action.value for action in Action}


def recorded(world: World) -> dict[UUID, str]:
    rows = world.session.execute(text("select id, action from audit_events"))
    return {row.id: row.action for row in rows}


@pytest.mark.parametrize("kind", ["person", "program", "operator"])
def test_what_changes_rows_is_recorded(world: World, kind: str) -> None:
    """Rows are compared: a route that changes some records its actions, and one with a reason changes nothing to record."""
    make: Any = {"person": as_member, "program": by_key, "operator": as_operator}[kind]
    headers = make(None, world.session, world.member).headers
    world.session.execute(
        text("update users set is_super_admin = :yes"), {"yes": kind == "operator"}
    )
    expected, proven = table(), set()
    for app, method, path, rule in GUARDED:
        if not rule.writes or rule.program is not (kind == "program"):
            continue
        route = f"{method} {path}"
        before, old = fingerprint(world.session), recorded(world)
        with world.session.begin_nested() as tried:
            world.session.connection()  # without a use, there is no savepoint yet
            answer = world.send(headers, app, method, path)
            after = fingerprint(world.session)
            changed = {name for name in before if before[name] != after[name]} - BESIDE
            actions = {action for one, action in recorded(world).items() if one not in old}
            tried.rollback()
        if route in NOT_RECORDED:
            assert not actions, f"{route}: {actions}"
        elif answer.status < 300 and changed:
            assert actions, f"{route} changed {changed} and recorded nothing"
            assert actions <= expected[route], f"{route} recorded {actions}"
            proven.add(route)
    assert len(proven) >= {"person": 20, "program": 3, "operator": 20}[kind], sorted(proven)

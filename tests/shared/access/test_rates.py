"""How often may each route be called, and whose calls count together? Written down apart from the policy table.

A row that loses its rate falls back to 300 a minute: enough to guess codes, to fill mailboxes, and to wear a platform out.
"""

from datetime import timedelta

import pytest

from shared.access.policy import POLICY, Per, Rate
from tests.shared.access.test_roles import lines

MINUTE, TEN_MINUTES, HOUR = timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)
DEFAULTS = {
    Rate("reads", 1_200, MINUTE, Per.PRINCIPAL, in_memory=True),
    Rate("writes", 300, MINUTE, Per.PRINCIPAL),
    Rate("reads_by_address", 1_200, MINUTE, Per.ADDRESS, in_memory=True),
    Rate("writes_by_address", 300, MINUTE, Per.ADDRESS),
}
LIMITED = {
    Rate("sign_up", 30, HOUR, Per.ADDRESS): """
        POST /auth/register
    """,
    Rate("sign_in", 300, TEN_MINUTES, Per.ADDRESS): """
        GET /auth/activate
        POST /auth/activate
        POST /auth/login
        POST /auth/company
        GET /auth/company/{connection_id}/callback
        POST /auth/mfa
        POST /auth/mfa/options
        POST /auth/passkey/options
        POST /auth/passkey
        GET /auth/recover
        POST /auth/recover
        GET /auth/stop-recovery
        POST /auth/stop-recovery
        GET /auth/oauth/{provider}
        GET /auth/oauth/{provider}/callback
        POST /auth/oauth/{provider}/exists
        GET /auth/forgot-return
        POST /auth/forgot-return
        GET /auth/confirm-email
        POST /auth/confirm-email
        GET /auth/undo-email
        POST /auth/undo-email
        GET /auth/return
        POST /auth/return
    """,
    Rate("mail", 20, HOUR, Per.ADDRESS): """
        POST /auth/resend-activation
        POST /auth/forgot
        POST /auth/recovery
    """,
    Rate("confirm", 30, TEN_MINUTES, Per.PRINCIPAL): """
        POST /user/confirm
        POST /user/password
        POST /user/email
        POST /user/logins
        DELETE /user/logins/{login_id}
        POST /user/factors
        POST /user/factors/{factor_id}/confirm
        DELETE /user/factors/{factor_id}
        POST /user/recovery-codes
        POST /user/passkeys
        POST /user/passkeys/finish
        POST /user/confirm/options
        DELETE /user/account
        POST /user/delete-account
    """,
    Rate("renew", 30, MINUTE, Per.SESSION): """
        POST /auth/renew
    """,
    Rate("unsubscribe", 600, MINUTE, Per.ADDRESS): """
        POST /user/unsubscribe
    """,
    Rate("keys", 30, TEN_MINUTES, Per.ORGANIZATION): """
        POST /user/api-key
        PUT /user/api-key/{key_id}
        POST /user/api-key/rotate
        POST /user/api-key/{key_id}/rotate
        DELETE /user/api-key/{key_id}
        PUT /settings/company-login
        DELETE /settings/company-login
        POST /settings/company-login/domains
        POST /settings/company-login/domains/{domain_id}/verify
        DELETE /settings/company-login/domains/{domain_id}
    """,
    Rate("invitations", 60, HOUR, Per.ORGANIZATION): """
        POST /settings/team
        POST /settings/team/invitations/{invitation_id}/resend
        POST /organizations/ownership
    """,
    Rate("joining", 30, TEN_MINUTES, Per.PRINCIPAL): """
        POST /user/join-org
    """,
    Rate("new_organizations", 10, HOUR, Per.PRINCIPAL): """
        POST /organizations
    """,
    Rate("connect", 120, TEN_MINUTES, Per.ORGANIZATION): """
        GET /integrations/social/{provider}
        POST /integrations/social/{provider}/connect
        POST /integrations/social-connect/{provider}
        POST /integrations/provider/{channel_id}/connect
        GET /integrations/{channel_id}/pages
    """,
    Rate("mentions", 300, MINUTE, Per.ORGANIZATION): """
        POST /integrations/mentions
    """,
    Rate("callback", 120, TEN_MINUTES, Per.ADDRESS): """
        GET /app/integrations/social/{provider}
        POST /app/integrations/social/{provider}
    """,
    Rate("upload", 600, TEN_MINUTES, Per.ORGANIZATION): """
        POST /media
    """,
    Rate("compose", 600, MINUTE, Per.ORGANIZATION): """
        POST /posts
        POST /posts/valid
        PUT /posts/{post_id}
        PUT /posts/{post_id}/date
        PUT /posts/{post_id}/status
        POST /posts/{post_id}/duplicate
        POST /posts/{post_id}/resend
        POST /posts/group/{group_id}/review
        POST /posts/{post_id}/review
    """,
    Rate("webhooks", 60, MINUTE, Per.ORGANIZATION): """
        POST /webhooks
        PUT /webhooks
        POST /webhooks/send
        PUT /webhooks/{webhook_id}
        DELETE /webhooks/{webhook_id}
        POST /webhooks/{webhook_id}/rotate
        POST /webhooks/{webhook_id}/test
        POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
    """,
    Rate("tokens", 60, MINUTE, Per.ADDRESS): """
        GET /oauth/authorize
        GET /oauth/authorize/{issuer}
        POST /oauth/token
        POST /oauth/revoke
        GET /device
    """,
    Rate("consent", 60, TEN_MINUTES, Per.ORGANIZATION): """
        POST /user/oauth-app
        PUT /user/oauth-app
        DELETE /user/oauth-app
        POST /user/oauth-app/rotate-secret
        POST /oauth/authorize
        POST /oauth/app
        PUT /oauth/app
        DELETE /oauth/app
        POST /oauth/app/rotate
        POST /device/approve
    """,
    Rate("register_program", 20, HOUR, Per.ADDRESS): """
        POST /oauth/register
    """,
    Rate("devices", 30, TEN_MINUTES, Per.ADDRESS): """
        POST /device/code
    """,
    Rate("device_polls", 60, MINUTE, Per.ADDRESS): """
        POST /device/token
    """,
    Rate("public_read", 600, MINUTE, Per.ORGANIZATION): """
        GET /public/v1/is-connected
        GET /public/v1/integrations
        GET /public/v1/groups
        GET /public/v1/integration-settings/{channel_id}
        GET /public/v1/find-slot
        GET /public/v1/find-slot/{channel_id}
        GET /public/v1/posts
        GET /public/v1/posts/{post_id}
        GET /public/v1/notifications
        GET /public/v1/users
    """,
    Rate("public_ask", 120, MINUTE, Per.ORGANIZATION): """
        GET /public/v1/social/{provider}
        POST /public/v1/integration-trigger/{channel_id}
        GET /public/v1/posts/{post_id}/missing
        GET /public/v1/analytics/{channel_id}
        GET /public/v1/analytics/post/{post_id}
        POST /public/v1/generate-video
        POST /public/v1/video/function
    """,
    Rate("public_write", 300, MINUTE, Per.ORGANIZATION): """
        DELETE /public/v1/integrations/{channel_id}
        PUT /public/v1/posts/{post_id}
        DELETE /public/v1/posts/{post_id}
        DELETE /public/v1/posts/group/{group_id}
        PUT /public/v1/posts/{post_id}/settings
        PUT /public/v1/posts/{post_id}/status
        PUT /public/v1/posts/{post_id}/release-id
    """,
    Rate("public_compose", 90, HOUR, Per.ORGANIZATION, rolling=True): """
        POST /public/v1/posts
    """,
    Rate("public_upload", 120, MINUTE, Per.ORGANIZATION): """
        POST /public/v1/upload
        POST /public/v1/upload-from-url
    """,
    Rate("mcp", 300, MINUTE, Per.ORGANIZATION): """
        POST /mcp
        POST /mcp/{api_key}
    """,
}


@pytest.mark.parametrize("rate", LIMITED, ids=lambda rate: rate.name)
def test_each_rate_limits_its_routes(rate: Rate) -> None:
    """Finding 8.16: without its rate, the route that mails a link could be called 300 times a minute, and no test noticed."""
    assert {key for key, rule in POLICY.items() if rule.rate == rate} == lines(LIMITED[rate])


def test_every_other_route_has_a_default() -> None:
    named = set().union(*(lines(table) for table in LIMITED.values()))
    others = {rule.rate for key, rule in POLICY.items() if rule.rate and key not in named}
    assert others == DEFAULTS

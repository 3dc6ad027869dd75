"""Which role does each route ask for, and which kinds of credentials? Written down apart from the policy table.

A row of the policy that lets somebody else in than before fails here: change both, on purpose.
"""

import pytest

from shared.access.policy import POLICY, Who, reaches
from shared.billing.sections import Section
from shared.core.config import Feature
from shared.organizations.models import Role

LEAST = {
    Who.PUBLIC: """
        GET /
        GET /health
        GET /health/ready
        GET /monitor/queue/{queue}
        GET /.well-known/security.txt
        GET /openapi.json
        GET /docs
        GET /docs/{file}
        GET /auth/can-register
        POST /auth/register
        GET /auth/activate
        POST /auth/activate
        POST /auth/resend-activation
        POST /auth/login
        GET /auth/login
        POST /auth/mfa
        POST /auth/mfa/options
        POST /auth/passkey/options
        POST /auth/passkey
        POST /auth/recovery
        GET /auth/recover
        POST /auth/recover
        GET /auth/stop-recovery
        POST /auth/stop-recovery
        GET /auth/oauth
        GET /auth/oauth/{provider}
        GET /auth/oauth/{provider}/callback
        POST /auth/oauth/{provider}/exists
        POST /auth/company
        GET /auth/company/{connection_id}/callback
        POST /auth/renew
        POST /auth/forgot
        GET /auth/forgot-return
        POST /auth/forgot-return
        GET /auth/confirm-email
        POST /auth/confirm-email
        GET /auth/undo-email
        POST /auth/undo-email
        GET /auth/return
        POST /auth/return
        POST /user/logout
        GET /app
        GET /app/ownership/{offer_id}
        GET /user/unsubscribe
        POST /user/unsubscribe
        GET /app/integrations/social/{provider}
        POST /app/integrations/social/{provider}
        GET /oauth/authorize
        GET /oauth/authorize/{issuer}
        POST /oauth/revoke
        POST /oauth/token
        POST /oauth/register
        POST /device/code
        POST /device/token
        GET /device
        GET /.well-known/oauth-protected-resource
        GET /.well-known/oauth-protected-resource/{name}
        GET /.well-known/oauth-authorization-server
        GET /.well-known/oauth-authorization-server/{name}
    """,
    Who.VIEWER: """
        GET /user/self
        GET /user/personal
        POST /user/personal
        GET /user/email-notifications
        POST /user/email-notifications
        GET /user/organizations
        POST /user/change-org
        GET /user/sessions
        GET /user/audit
        DELETE /user/sessions
        DELETE /user/sessions/{session_id}
        POST /user/confirm
        POST /user/password
        POST /user/email
        DELETE /user/account
        POST /user/delete-account
        GET /user/logins
        POST /user/logins
        DELETE /user/logins/{login_id}
        GET /user/factors
        POST /user/factors
        POST /user/factors/{factor_id}/confirm
        DELETE /user/factors/{factor_id}
        POST /user/recovery-codes
        POST /user/passkeys
        POST /user/passkeys/finish
        POST /user/confirm/options
        GET /user/devices
        DELETE /user/devices/{device_id}
        GET /user/recovery
        GET /settings/organization
        GET /settings/approval
        GET /posts/reviews
        POST /posts/{post_id}/review
        POST /posts/group/{group_id}/review
        POST /organizations
        POST /organizations/leave
        POST /user/join-org
        GET /organizations/ownership
        DELETE /organizations/ownership/{offer_id}
        POST /organizations/ownership/{offer_id}/accept
        GET /customers
        GET /notifications
        GET /notifications/list
        POST /notifications/read
        GET /announcements
        GET /integrations
        GET /integrations/list
        GET /integrations/providers
        GET /integrations/{channel_id}
        GET /media
        GET /media/storage
        GET /media/{media_id}
        GET /posts
        GET /posts/list
        GET /posts/group/{group_id}
        GET /posts/{post_id}
        POST /posts/should-shortlink
        GET /posts/find-slot
        GET /posts/find-slot/{channel_id}
        GET /posts/tags
        GET /posts/{post_id}/history
        GET /app/posts/{post_id}
        GET /oauth/userinfo
        POST /oauth/userinfo
        GET /oauth/grants
        GET /user/approved-apps
        DELETE /oauth/grants/{grant_id}
        DELETE /user/approved-apps/{grant_id}
        GET /public/v1/is-connected
        GET /public/v1/integrations
        GET /public/v1/groups
        GET /public/v1/integration-settings/{channel_id}
        GET /public/v1/find-slot
        GET /public/v1/find-slot/{channel_id}
        GET /public/v1/posts
        GET /public/v1/posts/{post_id}
        GET /public/v1/analytics/{channel_id}
        GET /public/v1/analytics/post/{post_id}
        GET /public/v1/notifications
        GET /public/v1/users
        POST /mcp
        POST /mcp/{api_key}
    """,
    Who.MEMBER: """
        POST /integrations/mentions
        POST /media
        POST /media/information
        PUT /media/{media_id}
        DELETE /media/{media_id}
        POST /media/{media_id}/parts
        POST /media/{media_id}/complete
        DELETE /media/{media_id}/upload
        POST /posts
        DELETE /posts/group/{group_id}
        POST /posts/valid
        POST /posts/tags
        PUT /posts/tags/{tag_id}
        DELETE /posts/tags/{tag_id}
        PUT /posts/{post_id}
        DELETE /posts/{post_id}
        PUT /posts/{post_id}/date
        PUT /posts/{post_id}/status
        POST /posts/{post_id}/duplicate
        POST /posts/{post_id}/confirm
        POST /posts/{post_id}/resend
        POST /oauth/authorize
        POST /device/approve
        POST /public/v1/integration-trigger/{channel_id}
        POST /public/v1/posts
        PUT /public/v1/posts/{post_id}
        DELETE /public/v1/posts/{post_id}
        DELETE /public/v1/posts/group/{group_id}
        GET /public/v1/posts/{post_id}/missing
        PUT /public/v1/posts/{post_id}/settings
        PUT /public/v1/posts/{post_id}/status
        PUT /public/v1/posts/{post_id}/release-id
        POST /public/v1/upload
        POST /public/v1/upload-from-url
        POST /public/v1/generate-video
        POST /public/v1/video/function
    """,
    Who.EDITOR: """
        POST /customers
        PUT /customers/{customer_id}
        DELETE /customers/{customer_id}
        GET /integrations/social/{provider}
        POST /integrations/social/{provider}/connect
        POST /integrations/social-connect/{provider}
        POST /integrations/provider/{channel_id}/connect
        POST /integrations/disable
        POST /integrations/enable
        DELETE /integrations
        DELETE /integrations/{channel_id}
        GET /integrations/{channel_id}/pages
        POST /integrations/{channel_id}/settings
        POST /integrations/{channel_id}/time
        POST /integrations/{channel_id}/nickname
        GET /webhooks
        GET /webhooks/{webhook_id}
        GET /webhooks/{webhook_id}/deliveries
        GET /public/v1/social/{provider}
        DELETE /public/v1/integrations/{channel_id}
    """,
    Who.ADMIN: """
        PUT /integrations/{channel_id}/customer
        GET /user/api-key
        POST /user/api-key
        PUT /user/api-key/{key_id}
        POST /user/api-key/{key_id}/rotate
        POST /user/api-key/rotate
        DELETE /user/api-key/{key_id}
        PUT /settings/organization
        PUT /settings/approval
        PUT /settings/approval/{customer_id}
        DELETE /settings/approval/{customer_id}
        GET /settings/team
        POST /settings/team
        POST /settings/team/invitations/{invitation_id}/resend
        DELETE /settings/team/invitations/{invitation_id}
        PUT /settings/team/{user_id}
        GET /settings/security
        PUT /settings/security
        GET /settings/recoveries
        POST /settings/recoveries/{recovery_id}/stop
        POST /settings/recoveries/{recovery_id}/agree
        DELETE /settings/team/{user_id}
        GET /settings/shortlink
        POST /settings/shortlink
        GET /settings/audit
        POST /webhooks
        PUT /webhooks
        POST /webhooks/send
        PUT /webhooks/{webhook_id}
        DELETE /webhooks/{webhook_id}
        POST /webhooks/{webhook_id}/rotate
        POST /webhooks/{webhook_id}/test
        POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
        GET /oauth/app
        GET /user/oauth-app
        POST /oauth/app
        POST /user/oauth-app
        PUT /oauth/app
        PUT /user/oauth-app
        DELETE /oauth/app
        DELETE /user/oauth-app
        POST /oauth/app/rotate
        POST /user/oauth-app/rotate-secret
    """,
    Who.OWNER: """
        GET /settings/company-login
        PUT /settings/company-login
        DELETE /settings/company-login
        POST /settings/company-login/domains
        POST /settings/company-login/domains/{domain_id}/verify
        DELETE /settings/company-login/domains/{domain_id}
        POST /organizations/ownership
        DELETE /settings/organization
    """,
    Who.SUPER_ADMIN: """
        GET /user/impersonate
        POST /user/impersonate
        POST /announcements
        DELETE /announcements/{announcement_id}
        GET /admin/people
        DELETE /admin/people/{user_id}/sessions
        GET /admin/organizations
        GET /admin/errors
        GET /admin/errors/platforms
        GET /admin/stats
    """,
}
PERSONS_ALONE = """
    POST /posts/{post_id}/review
    POST /posts/group/{group_id}/review
    GET /user/personal
    POST /user/personal
    GET /user/email-notifications
    POST /user/email-notifications
    GET /user/organizations
    POST /user/change-org
    GET /user/sessions
    GET /user/audit
    DELETE /user/sessions
    DELETE /user/sessions/{session_id}
    POST /user/confirm
    GET /user/logins
    POST /user/password
    POST /user/email
    DELETE /user/account
    POST /user/delete-account
    POST /user/logins
    DELETE /user/logins/{login_id}
    GET /user/factors
    POST /user/factors
    POST /user/factors/{factor_id}/confirm
    DELETE /user/factors/{factor_id}
    POST /user/recovery-codes
    POST /user/passkeys
    POST /user/passkeys/finish
    POST /user/confirm/options
    GET /user/devices
    DELETE /user/devices/{device_id}
    GET /user/recovery
    PUT /settings/security
    GET /settings/recoveries
    POST /settings/recoveries/{recovery_id}/stop
    POST /settings/recoveries/{recovery_id}/agree
    GET /user/impersonate
    POST /user/impersonate
    POST /user/api-key
    PUT /user/api-key/{key_id}
    POST /user/api-key/{key_id}/rotate
    POST /user/api-key/rotate
    DELETE /user/api-key/{key_id}
    PUT /settings/team/{user_id}
    DELETE /settings/team/{user_id}
    PUT /settings/approval
    PUT /settings/approval/{customer_id}
    DELETE /settings/approval/{customer_id}
    POST /organizations
    POST /organizations/leave
    DELETE /settings/organization
    POST /settings/team
    POST /settings/team/invitations/{invitation_id}/resend
    DELETE /settings/team/invitations/{invitation_id}
    GET /organizations/ownership
    POST /organizations/ownership
    DELETE /organizations/ownership/{offer_id}
    POST /organizations/ownership/{offer_id}/accept
    POST /user/join-org
    GET /notifications
    GET /notifications/list
    POST /notifications/read
    POST /oauth/authorize
    GET /oauth/app
    GET /user/oauth-app
    POST /oauth/app
    POST /user/oauth-app
    PUT /oauth/app
    PUT /user/oauth-app
    DELETE /oauth/app
    DELETE /user/oauth-app
    POST /oauth/app/rotate
    POST /user/oauth-app/rotate-secret
    GET /oauth/grants
    GET /user/approved-apps
    DELETE /oauth/grants/{grant_id}
    DELETE /user/approved-apps/{grant_id}
    POST /device/approve
    GET /announcements
    POST /announcements
    DELETE /announcements/{announcement_id}
    GET /admin/people
    DELETE /admin/people/{user_id}/sessions
    GET /admin/organizations
    GET /admin/errors
    GET /admin/errors/platforms
    GET /admin/stats
    GET /settings/company-login
    PUT /settings/company-login
    DELETE /settings/company-login
    POST /settings/company-login/domains
    POST /settings/company-login/domains/{domain_id}/verify
    DELETE /settings/company-login/domains/{domain_id}
"""
"""What API keys and grants are refused."""
PROGRAMS_ALONE = """
    GET /oauth/userinfo
    POST /oauth/userinfo
    GET /public/v1/is-connected
    GET /public/v1/integrations
    GET /public/v1/groups
    GET /public/v1/social/{provider}
    DELETE /public/v1/integrations/{channel_id}
    GET /public/v1/integration-settings/{channel_id}
    POST /public/v1/integration-trigger/{channel_id}
    GET /public/v1/find-slot
    GET /public/v1/find-slot/{channel_id}
    GET /public/v1/posts
    POST /public/v1/posts
    GET /public/v1/posts/{post_id}
    PUT /public/v1/posts/{post_id}
    DELETE /public/v1/posts/{post_id}
    DELETE /public/v1/posts/group/{group_id}
    GET /public/v1/posts/{post_id}/missing
    PUT /public/v1/posts/{post_id}/settings
    PUT /public/v1/posts/{post_id}/status
    PUT /public/v1/posts/{post_id}/release-id
    GET /public/v1/analytics/{channel_id}
    GET /public/v1/analytics/post/{post_id}
    POST /public/v1/upload
    POST /public/v1/upload-from-url
    GET /public/v1/notifications
    POST /public/v1/generate-video
    POST /public/v1/video/function
    GET /public/v1/users
    POST /mcp
    POST /mcp/{api_key}
"""
"""What a session is refused."""
BY_KEY_ALONE = """
    GET /user/api-key
    GET /settings/organization
    GET /settings/approval
    PUT /settings/organization
    GET /settings/team
    GET /settings/shortlink
    POST /settings/shortlink
    GET /settings/audit
    GET /settings/security
    POST /customers
    PUT /customers/{customer_id}
    DELETE /customers/{customer_id}
    GET /webhooks
    POST /webhooks
    PUT /webhooks
    POST /webhooks/send
    GET /webhooks/{webhook_id}
    PUT /webhooks/{webhook_id}
    DELETE /webhooks/{webhook_id}
    POST /webhooks/{webhook_id}/rotate
    POST /webhooks/{webhook_id}/test
    GET /webhooks/{webhook_id}/deliveries
    POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
"""
"""What an API key reaches and no consent covers: the consent page says nothing of webhooks, settings or members."""
OPEN_IN_THEIR_PLACE = """
    POST /user/personal
    POST /user/email-notifications
    POST /user/change-org
    POST /user/impersonate
    POST /announcements
    POST /settings/shortlink
    POST /customers
    PUT /customers/{customer_id}
    GET /notifications/list
    POST /notifications/read
    GET /integrations/social/{provider}
    POST /integrations/social/{provider}/connect
    POST /integrations/social-connect/{provider}
    POST /integrations/provider/{channel_id}/connect
    POST /integrations/disable
    POST /integrations/enable
    POST /integrations/mentions
    POST /integrations/{channel_id}/settings
    POST /integrations/{channel_id}/time
    POST /integrations/{channel_id}/nickname
    PUT /integrations/{channel_id}/customer
    POST /media
    POST /media/information
    PUT /media/{media_id}
    POST /media/{media_id}/parts
    POST /media/{media_id}/complete
    POST /posts
    POST /posts/valid
    POST /posts/should-shortlink
    POST /posts/tags
    PUT /posts/tags/{tag_id}
    PUT /posts/{post_id}
    PUT /posts/{post_id}/date
    PUT /posts/{post_id}/status
    POST /posts/{post_id}/duplicate
    POST /posts/{post_id}/confirm
    POST /posts/{post_id}/resend
    POST /webhooks
    PUT /webhooks
    POST /webhooks/send
    PUT /webhooks/{webhook_id}
    POST /webhooks/{webhook_id}/rotate
    POST /webhooks/{webhook_id}/test
    POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
"""
"""What a super admin may change while acting as a member: posts, files, channels and the like. Nothing else that writes."""
READING_GETS_THAT_WRITE = """
    GET /notifications/list
    GET /auth/oauth/{provider}
    GET /auth/oauth/{provider}/callback
    GET /integrations/social/{provider}
    GET /app/integrations/social/{provider}
    GET /public/v1/social/{provider}
    GET /auth/company/{connection_id}/callback
"""
"""GETs that begin or change something."""
WRITES_THAT_READ = """
    POST /oauth/userinfo
"""
"""Other methods that only read."""
PROPOSABLE = """
    POST /posts
    POST /posts/valid
    PUT /posts/{post_id}
    PUT /posts/{post_id}/date
    PUT /posts/{post_id}/status
    POST /posts/{post_id}/duplicate
    POST /media
    POST /media/information
    POST /media/{media_id}/parts
    POST /media/{media_id}/complete
    DELETE /media/{media_id}/upload
    POST /public/v1/integration-trigger/{channel_id}
    POST /public/v1/posts
    PUT /public/v1/posts/{post_id}
    PUT /public/v1/posts/{post_id}/settings
    PUT /public/v1/posts/{post_id}/status
    POST /public/v1/upload
    POST /public/v1/upload-from-url
"""
"""What a key or consent that only proposes may write."""
TOOLS = """
    POST /mcp
    POST /mcp/{api_key}
"""
"""Routes that write and that a read-only key may use: the tools of `/mcp` each decide for themselves."""
BY_COOKIE = """
    POST /auth/register
    POST /auth/activate
    POST /auth/login
    POST /auth/mfa
    POST /auth/mfa/options
    POST /auth/passkey/options
    POST /auth/passkey
    POST /auth/recover
    POST /auth/stop-recovery
    GET /auth/oauth/{provider}
    POST /auth/oauth/{provider}/exists
    POST /auth/renew
    POST /auth/forgot-return
    POST /auth/confirm-email
    POST /auth/undo-email
    POST /auth/return
    POST /user/logout
    POST /app/integrations/social/{provider}
    POST /auth/company
"""
"""Public routes that use or set our cookies, so that other sites may not send them."""
RETURNS = """
    GET /auth/oauth/{provider}/callback
    GET /app/integrations/social/{provider}
    GET /auth/company/{connection_id}/callback
"""
"""Pages to which a platform sends browsers back."""
PERSONAL = """
    GET /user/organizations
    POST /user/change-org
    GET /user/sessions
    GET /user/audit
    DELETE /user/sessions
    DELETE /user/sessions/{session_id}
    POST /user/confirm
    GET /user/logins
    POST /user/password
    POST /user/email
    DELETE /user/account
    POST /user/delete-account
    POST /user/logins
    DELETE /user/logins/{login_id}
    GET /user/factors
    POST /user/factors
    POST /user/factors/{factor_id}/confirm
    DELETE /user/factors/{factor_id}
    POST /user/recovery-codes
    POST /user/passkeys
    POST /user/passkeys/finish
    POST /user/confirm/options
    GET /user/devices
    DELETE /user/devices/{device_id}
    GET /user/recovery
    POST /organizations
    POST /user/join-org
    GET /announcements
    POST /announcements
    DELETE /announcements/{announcement_id}
    GET /admin/people
    DELETE /admin/people/{user_id}/sessions
    GET /admin/organizations
    GET /admin/errors
    GET /admin/errors/platforms
    GET /admin/stats
"""
"""What ignores the organization and the impersonation that a request names."""
IN_COMPANY = """
    GET /user/organizations
    POST /user/change-org
    GET /announcements
"""
"""Personal routes that a session takes which came through a company login."""
SELF_ONLY = """
    POST /posts/{post_id}/review
    POST /posts/group/{group_id}/review
    PUT /settings/approval
    PUT /settings/approval/{customer_id}
    DELETE /settings/approval/{customer_id}
    DELETE /user/sessions
    DELETE /user/sessions/{session_id}
    POST /user/confirm
    POST /user/password
    POST /user/email
    DELETE /user/account
    POST /user/delete-account
    POST /user/logins
    DELETE /user/logins/{login_id}
    POST /user/factors
    POST /user/factors/{factor_id}/confirm
    DELETE /user/factors/{factor_id}
    POST /user/recovery-codes
    POST /user/passkeys
    POST /user/passkeys/finish
    POST /user/confirm/options
    DELETE /user/devices/{device_id}
    PUT /settings/security
    POST /settings/recoveries/{recovery_id}/stop
    POST /settings/recoveries/{recovery_id}/agree
    POST /user/api-key
    PUT /user/api-key/{key_id}
    POST /user/api-key/{key_id}/rotate
    POST /user/api-key/rotate
    DELETE /user/api-key/{key_id}
    POST /oauth/authorize
    POST /device/approve
    DELETE /oauth/grants/{grant_id}
    DELETE /user/approved-apps/{grant_id}
    POST /oauth/app
    POST /user/oauth-app
    PUT /oauth/app
    PUT /user/oauth-app
    DELETE /oauth/app
    DELETE /user/oauth-app
    POST /oauth/app/rotate
    POST /user/oauth-app/rotate-secret
    PUT /settings/team/{user_id}
    DELETE /settings/team/{user_id}
    PUT /settings/organization
    POST /organizations
    POST /organizations/leave
    DELETE /settings/organization
    POST /settings/team
    POST /settings/team/invitations/{invitation_id}/resend
    DELETE /settings/team/invitations/{invitation_id}
    POST /organizations/ownership
    DELETE /organizations/ownership/{offer_id}
    POST /organizations/ownership/{offer_id}/accept
    POST /user/join-org
    PUT /settings/company-login
    DELETE /settings/company-login
    POST /settings/company-login/domains
    POST /settings/company-login/domains/{domain_id}/verify
    DELETE /settings/company-login/domains/{domain_id}
"""
"""What nobody does in another's place."""
FRESH = """
    POST /user/password
    POST /user/email
    DELETE /user/account
    POST /user/delete-account
    POST /user/logins
    DELETE /user/logins/{login_id}
    POST /user/factors
    POST /user/factors/{factor_id}/confirm
    DELETE /user/factors/{factor_id}
    POST /user/recovery-codes
    POST /user/passkeys
    POST /user/passkeys/finish
    PUT /settings/security
    POST /settings/recoveries/{recovery_id}/stop
    POST /settings/recoveries/{recovery_id}/agree
    POST /user/api-key
    PUT /user/api-key/{key_id}
    POST /user/api-key/{key_id}/rotate
    POST /user/api-key/rotate
    DELETE /user/api-key/{key_id}
    PUT /settings/team/{user_id}
    DELETE /settings/team/{user_id}
    POST /organizations/leave
    DELETE /settings/organization
    POST /settings/team
    POST /settings/team/invitations/{invitation_id}/resend
    POST /organizations/ownership
    POST /organizations/ownership/{offer_id}/accept
    PUT /settings/company-login
    DELETE /settings/company-login
    POST /settings/company-login/domains
    POST /settings/company-login/domains/{domain_id}/verify
    DELETE /settings/company-login/domains/{domain_id}
"""
"""What wants a recent proof of identity."""
WHOLE = """
    DELETE /settings/organization
    PUT /settings/approval
    PUT /settings/approval/{customer_id}
    DELETE /settings/approval/{customer_id}
    POST /customers
    DELETE /customers/{customer_id}
    PUT /customers/{customer_id}
    PUT /integrations/{channel_id}/customer
    GET /media
    POST /media
    POST /media/information
    DELETE /media/{media_id}
    GET /media/{media_id}
    PUT /media/{media_id}
    POST /media/{media_id}/complete
    POST /media/{media_id}/parts
    DELETE /media/{media_id}/upload
    DELETE /posts/tags/{tag_id}
    PUT /posts/tags/{tag_id}
    GET /settings/audit
    PUT /settings/security
    GET /webhooks
    POST /webhooks
    PUT /webhooks
    POST /webhooks/send
    DELETE /webhooks/{webhook_id}
    GET /webhooks/{webhook_id}
    PUT /webhooks/{webhook_id}
    GET /webhooks/{webhook_id}/deliveries
    POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
    POST /webhooks/{webhook_id}/rotate
    POST /webhooks/{webhook_id}/test
    GET /settings/company-login
    PUT /settings/company-login
    DELETE /settings/company-login
    POST /settings/company-login/domains
    POST /settings/company-login/domains/{domain_id}/verify
    DELETE /settings/company-login/domains/{domain_id}
"""
PROFILES = """
    GET /user/self
    GET /user/personal
    GET /oauth/userinfo
    POST /oauth/userinfo
    POST /settings/team
    POST /settings/team/invitations/{invitation_id}/resend
    POST /organizations/ownership
"""
"""What is answered from the statement that identifies the caller."""
SWITCHED_OFF_BY = {
    Feature.REFERENCE: """
        GET /openapi.json
        GET /docs
        GET /docs/{file}
    """,
    Feature.IMPERSONATION: """
        GET /user/impersonate
        POST /user/impersonate
    """,
    Feature.API_KEYS: """
        GET /user/api-key
        POST /user/api-key
        PUT /user/api-key/{key_id}
        POST /user/api-key/{key_id}/rotate
        POST /user/api-key/rotate
        DELETE /user/api-key/{key_id}
    """,
    Feature.WEBHOOKS: """
        GET /webhooks
        POST /webhooks
        PUT /webhooks
        POST /webhooks/send
        GET /webhooks/{webhook_id}
        PUT /webhooks/{webhook_id}
        DELETE /webhooks/{webhook_id}
        POST /webhooks/{webhook_id}/rotate
        POST /webhooks/{webhook_id}/test
        GET /webhooks/{webhook_id}/deliveries
        POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
    """,
    Feature.APPS: """
        GET /oauth/authorize
        GET /oauth/authorize/{issuer}
        POST /oauth/authorize
        POST /oauth/token
        POST /oauth/revoke
        POST /oauth/register
        GET /oauth/userinfo
        POST /oauth/userinfo
        GET /oauth/app
        GET /user/oauth-app
        POST /oauth/app
        POST /user/oauth-app
        PUT /oauth/app
        PUT /user/oauth-app
        DELETE /oauth/app
        DELETE /user/oauth-app
        POST /oauth/app/rotate
        POST /user/oauth-app/rotate-secret
        GET /oauth/grants
        GET /user/approved-apps
        DELETE /oauth/grants/{grant_id}
        DELETE /user/approved-apps/{grant_id}
        POST /device/code
        POST /device/token
        GET /device
        POST /device/approve
        GET /.well-known/oauth-protected-resource
        GET /.well-known/oauth-protected-resource/{name}
        GET /.well-known/oauth-authorization-server
        GET /.well-known/oauth-authorization-server/{name}
    """,
}
"""What an operator switches off with each feature."""
PLAN_LIMITS = {
    Section.CHANNELS: """
        GET /integrations/social/{provider}
        POST /integrations/social/{provider}/connect
        POST /integrations/social-connect/{provider}
        POST /integrations/enable
        GET /public/v1/social/{provider}
    """,
    Section.POSTS_PER_MONTH: """
        POST /posts
        PUT /posts/{post_id}
        PUT /posts/{post_id}/date
        PUT /posts/{post_id}/status
        POST /posts/{post_id}/duplicate
        POST /posts/{post_id}/resend
        POST /posts/{post_id}/review
        POST /posts/group/{group_id}/review
        POST /public/v1/posts
        PUT /public/v1/posts/{post_id}
        PUT /public/v1/posts/{post_id}/status
    """,
    Section.TEAM_MEMBERS: """
        POST /settings/team
        POST /settings/team/invitations/{invitation_id}/resend
        PUT /settings/team/{user_id}
        POST /user/join-org
    """,
    Section.WEBHOOKS: """
        POST /webhooks
    """,
    Section.STORAGE: """
        POST /media
        POST /public/v1/upload
        POST /public/v1/upload-from-url
    """,
}
"""The level or flow of a plan that each route raises or uses."""
UNLIMITED = """
    GET /
    GET /health
    GET /.well-known/security.txt
    GET /openapi.json
    GET /docs
    GET /docs/{file}
"""
"""What has no rate limit."""


def lines(table: str) -> set[str]:
    return {line.strip() for line in table.splitlines() if line.strip()}


@pytest.mark.parametrize("who", list(Who))
def test_least_that_each_route_asks_for(who: Who) -> None:
    """Finding 8.16: a member could delete a channel, a viewer a file, and no test noticed."""
    assert {key for key, rule in POLICY.items() if rule.who is who} == lines(LEAST[who])


@pytest.mark.parametrize("role", list(Role))
def test_each_role_reaches_what_is_below_it_and_nothing_above(role: Role) -> None:
    """Finding 8.16: role by route, by the order of the roles that is written here."""
    order = [Who.VIEWER, Who.MEMBER, Who.EDITOR, Who.ADMIN, Who.OWNER]
    below = order[: order.index(Who(role.value)) + 1]
    may = {
        key
        for key, rule in POLICY.items()
        if rule.who in order and reaches(role, Role(rule.who.value))
    }
    assert may == set().union(*(lines(LEAST[who]) for who in below))


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (PERSONS_ALONE, "person"),
        (PROGRAMS_ALONE, "program"),
        (TOOLS, "judges_itself"),
        (BY_COOKIE, "by_cookie"),
        (RETURNS, "returns"),
        (PERSONAL, "personal"),
        (IN_COMPANY, "in_company"),
        (SELF_ONLY, "self_only"),
        (PROPOSABLE, "proposes"),
        (FRESH, "fresh"),
        (PROFILES, "reads_profile"),
        (WHOLE, "whole"),
    ],
)
def test_kinds_of_routes(table: str, column: str) -> None:
    """Finding 8.16: which routes take a session, and which a key; what other sites may send; what a request may name."""
    assert {key for key, rule in POLICY.items() if getattr(rule, column)} == lines(table)


@pytest.mark.parametrize("feature", [*Feature, None])
def test_each_feature_switches_off_its_routes(feature: Feature | None) -> None:
    """A route that forgets its feature stays open after the operator has switched the feature off."""
    named = set().union(*(lines(table) for table in SWITCHED_OFF_BY.values()))
    routes = lines(SWITCHED_OFF_BY.get(feature, "")) if feature else set(POLICY) - named
    assert {key for key, rule in POLICY.items() if rule.feature is feature} == routes


@pytest.mark.parametrize("limit", list(Section))
def test_each_plan_limit_is_declared_by_its_routes(limit: Section) -> None:
    found = {key for key, rule in POLICY.items() if rule.limit is limit and rule.needs_plan}
    assert found == lines(PLAN_LIMITS.get(limit, ""))


@pytest.mark.parametrize("flag", list(Section))
def test_programs_need_the_public_api_and_nothing_else_needs_a_flag(flag: Section) -> None:
    own_names = {"GET /oauth/userinfo", "POST /oauth/userinfo"}  # part of signing in
    expected = lines(PROGRAMS_ALONE) - own_names if flag is Section.PUBLIC_API else set()
    assert {key for key, rule in POLICY.items() if rule.flag is flag} == expected


def test_a_super_admin_writes_little_in_another_place() -> None:
    """A new route that writes is closed to super admins who act as a member, or it is listed as open."""
    writing = {
        key
        for key, rule in POLICY.items()
        if rule.writes and rule.who is not Who.PUBLIC and not rule.program
    }
    closed = {key for key in writing if POLICY[key].is_theirs_alone}
    assert writing - closed == lines(OPEN_IN_THEIR_PLACE)
    assert closed >= {key for key in writing if key.startswith("DELETE ")}


def test_consent_covers_what_its_page_says() -> None:
    """Finding 2.11: a grant with `mcp:read` read the addresses of webhooks and what was sent there."""
    open_to_keys = {
        key for key, rule in POLICY.items() if rule.who is not Who.PUBLIC and not rule.person
    }
    assert {key for key in open_to_keys if not POLICY[key].consent} == lines(BY_KEY_ALONE)


def test_reading_scope_reaches_what_reads() -> None:
    """Finding 2.11: scope by route. A key or grant for reading gets into these and no others."""
    for key, rule in POLICY.items():
        gets = key.startswith("GET ") and key not in lines(READING_GETS_THAT_WRITE)
        reads = gets or key in lines(WRITES_THAT_READ)
        assert reads is not rule.writes, key


def test_every_route_is_limited_or_says_why_not() -> None:
    """Finding 7.17: 78 of 156 routes had no rate limit, 34 of them writes."""
    for key, rule in POLICY.items():
        assert (rule.rate is None) is (key in lines(UNLIMITED)), key
        assert bool(rule.unlimited) is (rule.rate is None), key


def test_no_read_is_counted_by_a_write_unless_its_row_says_so() -> None:
    """Finding 7.17: default limits of reads are counted in the function's memory."""
    for key, rule in POLICY.items():
        if rule.rate and rule.rate.name in {"reads", "reads_by_address"}:
            assert rule.rate.in_memory, key
            assert not rule.writes, key
        elif rule.rate:
            assert not rule.rate.in_memory, key

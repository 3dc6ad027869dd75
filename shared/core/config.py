"""Declares, documents and validates all settings.

The environment is read once; an invalid or missing value stops the start with a message. `docs/configuration.md` is
generated from this file. Secrets are not settings: a setting names the secret, and `shared/aws/secrets.py` reads it.
"""

import functools
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SettingsRefused(Exception):
    """The settings are invalid; the message names each variable and its valid values."""


def _setting(default: Any, effect: str, needed_by: str) -> Any:
    """Declare a setting with its description for the generated documentation."""
    return Field(default=default, description=effect, json_schema_extra={"needed_by": needed_by})


class Feature(StrEnum):
    """A feature that an operator can turn off; `shared/access/policy.py` lists the routes of each."""

    API_KEYS = "api_keys"
    IMPERSONATION = "impersonation"
    APPS = "apps"
    REFERENCE = "reference"
    WEBHOOKS = "webhooks"


class Settings(BaseSettings):
    """All settings. A variable's name is the field's name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    stage: Literal["local", "test", "dev", "prod"] = _setting(
        "local",
        "Name of the environment. `prod` refuses settings that are only safe on a laptop.",
        "all",
    )
    public_url: str = _setting(
        "http://127.0.0.1:3000",
        "Origin of the API and the console, without a trailing slash.",
        "HTTP functions, emails",
    )
    frontend_url: str = _setting(
        "",
        "Origin and path of the console; empty: `PUBLIC_URL` + `/app`. OAuth callbacks are below it.",
        "channels, emails",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        "Additional origins (comma-separated) that may call the API with credentials.",
        "HTTP functions",
    )
    security_contact: str = _setting(
        "",
        "Where to report a vulnerability, a `mailto:` or `https:` address; `/.well-known/security.txt` shows it.",
        "root",
    )
    trusted_proxies: int = _setting(
        0,
        "How many proxies before API Gateway append to X-Forwarded-For; CloudFront is one.",
        "HTTP functions",
    )
    api_limit: int = Field(
        default=90,
        ge=1,
        description="Rate limit: `POST /public/v1/posts` calls of an organization in any hour.",
        json_schema_extra={"needed_by": "public_api"},
    )
    rate_limits: dict[str, Annotated[int, Field(ge=1)]] = _setting(
        {},
        'JSON: overrides for the rate limits in `shared/access/policy.py`, such as `{"public_read": 1200}`; '
        "`API_LIMIT` is short for its `public_compose`.",
        "HTTP functions",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", "Least severe log line written.", "all"
    )
    tracing: bool = _setting(
        False, "Record traces with X-Ray and continue them through messages and schedules.", "all"
    )
    sentry_dsn: str = _setting(
        "", "Sentry-compatible address for unexpected errors; empty: errors are only logged.", "all"
    )

    # Database
    database_url: str = _setting(
        "",
        "`postgresql://user:password@host:port/name`; overrides the next four.",
        "everything with a database",
    )
    database_host: str = _setting("", "Cluster endpoint.", "everything with a database")
    database_port: int = _setting(5432, "Cluster port.", "everything with a database")
    database_name: str = _setting("roost", "Database.", "everything with a database")
    database_user: str = _setting(
        "roost", "Role; in AWS it logs in with an IAM token.", "everything with a database"
    )
    database_pool_size: int = _setting(
        1,
        "Connections of one process; a Lambda environment needs one.",
        "everything with a database",
    )
    database_may_sleep: bool = _setting(
        False,
        "Close connections at the end of each invocation, so that a cluster with a minimum capacity of 0 can pause.",
        "everything with a database",
    )
    database_behind_proxy: bool = _setting(
        False,
        "Prepare no statements, because a proxy (RDS Proxy, PgBouncer) shares connections between transactions.",
        "everything with a database",
    )
    database_ca_file: str = _setting(
        "",
        "CA bundle to verify the cluster's certificate.",
        "everything with a database",
    )
    database_admin_secret_name: str = _setting(
        "",
        "Secret with `username` and `password` of the cluster's administrator, who creates the functions' role.",
        "migrate",
    )

    # AWS resources
    aws_region: str = _setting("us-east-1", "Region; Lambda sets it.", "all")
    publish_queue_url: str = _setting(
        "", "Queue of due parts.", "posts, prepare, publish, reconcile"
    )
    stage_queue_url: str = _setting(
        "", "Queue of parts whose media are staged.", "posts, prepare, reconcile, stage"
    )
    variants_queue_url: str = _setting("", "Queue of uploads that need variants.", "media")
    webhooks_queue_url: str = _setting(
        "", "Queue of messages to webhooks.", "posts, publish, reconcile, automation"
    )
    mails_queue_url: str = _setting(
        "", "Queue of emails about accounts.", "identity, organizations, reconcile"
    )
    erase_queue_url: str = _setting(
        "", "Queue of deleted accounts and organizations that are to be erased.", "reconcile, erase"
    )
    schedule_group: str = _setting(
        "", "EventBridge schedule group of the environment.", "posts, publish, reconcile"
    )
    schedule_role_arn: str = _setting(
        "", "Role that the Scheduler assumes to fire a target.", "posts, publish, reconcile"
    )
    schedule_target_arn: str = _setting(
        "", "Alias of the prepare function that schedules fire.", "posts, publish, reconcile"
    )
    schedule_dead_letter_arn: str = _setting(
        "", "Dead-letter queue of the schedules.", "posts, publish, reconcile"
    )
    kms_key_id: str = _setting("", "KMS key that encrypts tokens.", "channels, publish")
    app_secret_name: str = _setting(
        "roost/app",
        "Secret with `jwtKeys` and `passwordPepper` (each JSON: id to key, newest last).",
        "HTTP functions, migrate",
    )
    providers_secret_name: str = _setting(
        "roost/providers",
        "Secret with the client ids and secrets of the platforms and external logins.",
        "channels, publish, identity",
    )

    # Media
    media_bucket: str = _setting("", "Bucket of uploads and variants.", "media, stage, variants")
    media_public_url: str = _setting("", "Public origin of the bucket's objects.", "media, publish")
    s3_endpoint_url: str = _setting(
        "",
        "Object storage other than S3 (R2, MinIO, any compatible); empty: S3.",
        "media, stage, variants",
    )
    s3_region: str = _setting(
        "",
        "Region in the object storage's signatures (R2: `auto`); empty: `AWS_REGION`.",
        "media, stage, variants",
    )
    s3_credentials_secret: str = _setting(
        "",
        "Secret with `accessKeyId` and `secretAccessKey` of that storage; empty: the function's role.",
        "media, stage, variants",
    )
    s3_addressing: Literal["", "path", "virtual"] = _setting(
        "",
        "Where the bucket's name goes, in the path or in the host; empty: in the path if `S3_ENDPOINT_URL` is set.",
        "media, stage, variants",
    )
    media_max_image_bytes: int = _setting(50 * 1024**2, "Largest picture.", "media")
    media_max_video_bytes: int = _setting(5 * 1024**3, "Largest video.", "media")

    media_quota_bytes: int = Field(
        default=100 * 1024**3,
        ge=0,
        description="Storage limit of an organization; `0`: no limit.",
        json_schema_extra={"needed_by": "media, public_api, mcp"},
    )

    # Email
    mail_transport: Literal["ses", "smtp", "none"] = _setting(
        "ses",
        "How emails are sent. `none`: accounts are active at once.",
        "everything that sends email",
    )
    mail_from: str = _setting("Roost <roost@localhost>", "Sender.", "everything that sends email")
    smtp_host: str = _setting(
        "", "SMTP server, with `MAIL_TRANSPORT=smtp`.", "everything that sends email"
    )
    smtp_port: int = _setting(587, "SMTP port.", "everything that sends email")
    smtp_security: Literal["starttls", "tls", "none"] = _setting(
        "starttls", "SMTP transport security.", "everything that sends email"
    )
    smtp_user: str = _setting("", "SMTP user; empty: no login.", "everything that sends email")
    smtp_secret_name: str = _setting(
        "", "Secret with `smtpPassword`, needed with `SMTP_USER`.", "everything that sends email"
    )

    digest_after_minutes: int = _setting(
        60, "How long published posts are collected for one digest.", "digest"
    )

    # Accounts
    disable_registration: bool = _setting(
        False,
        "Refuse new accounts once the first exists, and new organizations.",
        "identity, organizations",
    )
    disallow_plus: bool = _setting(False, "Refuse addresses with a plus sign.", "identity")
    password_range_url: str = _setting(
        "",
        "Server of leaked passwords that answers range queries (`https://api.pwnedpasswords.com/range`): it is asked when a "
        "password is set, and learns five digits of its hash. Empty: none is asked.",
        "identity",
    )
    access_token_seconds: int = _setting(900, "Lifetime of a session's access token.", "identity")
    session_days: int = _setting(30, "Lifetime of a session that is not renewed.", "identity")

    # External logins; client secrets are in the providers' secret
    generic_oauth: bool = _setting(
        False, "Offer signing in with an OpenID provider of your own.", "identity"
    )
    oauth_url: str = _setting(
        "",
        "That provider's issuer, exactly as it calls itself in its `/.well-known/openid-configuration`.",
        "identity",
    )
    oauth_client_id: str = _setting("", "Our client id at that provider.", "identity")
    oauth_scope: str = _setting(
        "openid profile email",
        "Scopes (separated by spaces) requested from that provider.",
        "identity",
    )
    oauth_display_name: str = _setting(
        "OpenID Connect", "That provider's name on the sign-in page.", "identity"
    )
    oauth_logo_url: str = _setting(
        "", "Address of that provider's logo for the sign-in page.", "identity"
    )
    oauth_auth_url: str = _setting(
        "", "Authorization endpoint, instead of the one that provider describes.", "identity"
    )
    oauth_token_url: str = _setting(
        "", "Token endpoint, instead of the one that provider describes.", "identity"
    )
    oauth_userinfo_url: str = _setting(
        "", "Userinfo endpoint, instead of the one that provider describes.", "identity"
    )

    # Audit log
    audit_days: int = Field(
        default=400,
        ge=31,
        description="How long entries of the audit log are kept; whole months are dropped.",
        json_schema_extra={"needed_by": "migrate"},
    )

    # Plans
    billing: bool = _setting(
        False,
        "Whether plans limit what organizations may use: posts a month, channels, members, webhooks, storage and "
        "the public API. `off`: nothing is limited or counted.",
        "all",
    )

    # Publishing
    arm_threshold_seconds: int = _setting(
        840,
        "A post that is due sooner gets a delayed message, a later one a schedule; at most 900.",
        "posts, publish",
    )
    arm_lead_seconds: int = _setting(
        240, "How long before its time a schedule fires.", "posts, publish"
    )
    arm_spread_seconds: int = _setting(
        480, "Maximum additional lead, spread by a hash of the id.", "posts, publish"
    )
    lease_seconds: int = _setting(
        75,
        "How long an attempt may be silent; must exceed the publish function's timeout.",
        "publish",
    )
    max_late_hours: int = _setting(
        24, "A post that is later than this fails instead of being published.", "publish"
    )

    publish_at_once_per_host: int = Field(
        default=4,
        ge=1,
        description="How many posts an organization sends at once to one named server.",
        json_schema_extra={"needed_by": "publish"},
    )
    publish_at_once_per_organization: int = Field(
        default=8,
        ge=1,
        description="How many posts an organization sends at once to all named servers.",
        json_schema_extra={"needed_by": "publish"},
    )
    stage_at_once_per_organization: int = Field(
        default=5,
        ge=1,
        description="For how many posts an organization's media are staged at once; below the stage function's `MaximumConcurrency`.",
        json_schema_extra={"needed_by": "stage"},
    )

    webhooks_at_once_per_host: int = Field(
        default=3,
        ge=1,
        description="How many webhook messages an organization sends at once to one host.",
        json_schema_extra={"needed_by": "deliver_webhooks"},
    )
    webhooks_at_once_per_organization: int = Field(
        default=5,
        ge=1,
        description="How many webhook messages an organization sends at once; below the function's `MaximumConcurrency`.",
        json_schema_extra={"needed_by": "deliver_webhooks"},
    )

    # Providers
    provider_base_urls: dict[str, str] = _setting(
        {},
        "JSON: base address per provider slug, instead of the platform's. `plc.directory` and the host of a `did:web` "
        "account, are keys too: where a Bluesky account's document is fetched.",
        "channels, publish",
    )
    mastodon_url: str = _setting(
        "https://mastodon.social", "The instance of the provider `mastodon`.", "channels, publish"
    )
    disabled_features: Annotated[frozenset[Feature], NoDecode] = _setting(
        frozenset(),
        "Features (comma-separated) to turn off; their routes answer 404: `api_keys` (creating "
        "and listing them), `impersonation`, `apps` (third-party apps), `reference` "
        "(`/docs`, `/openapi.json`), `webhooks` (creating and changing them).",
        "HTTP functions",
    )
    hidden_providers: Annotated[tuple[str, ...], NoDecode] = _setting(
        (), "Provider slugs (comma-separated) to turn off.", "channels"
    )
    allow_loopback_addresses: bool = _setting(
        False,
        "Let members enter http addresses on this machine (the sandbox). `prod` refuses it.",
        "channels, publish",
    )

    test_names_server: str = _setting(
        "",
        "The server (`host:port`) that is asked for TXT records of names that end in `.test`; `make run` has one. `prod` "
        "refuses it.",
        "organizations, reconcile",
    )

    @field_validator("cors_origins", "hidden_providers", "disabled_features", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()]
            if isinstance(value, str)
            else value
        )

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.stage == "prod" and self.allow_loopback_addresses:
            raise ValueError("ALLOW_LOOPBACK_ADDRESSES must not be set if STAGE is prod")
        if self.stage == "prod" and self.test_names_server:
            raise ValueError("TEST_NAMES_SERVER must not be set if STAGE is prod")
        if self.security_contact and not self.security_contact.startswith(("mailto:", "https:")):
            raise ValueError("SECURITY_CONTACT must begin with mailto: or https:")
        if self.stage == "prod" and not self.public_url.startswith("https://"):
            raise ValueError("PUBLIC_URL must begin with https:// if STAGE is prod")
        if not 0 < self.arm_threshold_seconds <= 900:
            raise ValueError(
                "ARM_THRESHOLD_SECONDS must be from 1 to 900, the longest delay of a queue"
            )
        if self.mail_transport == "smtp" and not self.smtp_host:
            raise ValueError("SMTP_HOST must be set if MAIL_TRANSPORT is smtp")
        if self.mail_transport == "smtp" and self.smtp_user and not self.smtp_secret_name:
            raise ValueError("SMTP_SECRET_NAME must be set if SMTP_USER is set")
        if self.generic_oauth and not (self.oauth_url and self.oauth_client_id):
            raise ValueError("OAUTH_URL and OAUTH_CLIENT_ID must be set if GENERIC_OAUTH is true")
        return self

    @property
    def console_url(self) -> str:
        """The console's address, without a trailing slash."""
        return (self.frontend_url or f"{self.public_url}/app").rstrip("/")

    @property
    def cookies_are_secure(self) -> bool:
        """True if the public address is https, so that cookies are `Secure`."""
        return self.public_url.startswith("https://")

    def calls_allowed(self, rate: str, default: int) -> int:
        """Return the number of calls of the rate limit `rate`: `default`, or the operator's override."""
        return {"public_compose": self.api_limit, **self.rate_limits}.get(rate, default)

    @property
    def max_late(self) -> timedelta:
        """How late a post may be published."""
        return timedelta(hours=self.max_late_hours)

    @property
    def lease(self) -> timedelta:
        """How long an attempt may be silent."""
        return timedelta(seconds=self.lease_seconds)


@functools.cache
def settings() -> Settings:
    """Return the process's settings, read from the environment once.

    Raises:
        SettingsRefused: a variable has a value that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsRefused(_sentences(error)) from error


def _sentences(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]).upper()
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message} (given: {problem['input']!r})" if name else message)
    return "The settings are invalid. " + "; ".join(lines)

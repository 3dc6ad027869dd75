"""Which settings there are, what each does, and whether the ones given make sense.

The environment is read once; a wrong or missing value stops the start with a sentence. `docs/configuration.md` is
generated from this file. Secrets are not settings: a setting names the secret, `shared/aws/secrets.py` reads it.
"""

import functools
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SettingsRefused(Exception):
    """The environment cannot be used; the message names each variable and what it must be."""


def _setting(default: Any, effect: str, needed_by: str) -> Any:
    """Declare a setting with its text for the generated documentation."""
    return Field(default=default, description=effect, json_schema_extra={"needed_by": needed_by})


class Feature(StrEnum):
    """What an operator can turn off; `shared/access/policy.py` lists the routes of each."""

    API_KEYS = "api_keys"
    IMPERSONATION = "impersonation"
    APPS = "apps"
    REFERENCE = "reference"
    WEBHOOKS = "webhooks"


class Settings(BaseSettings):
    """Every setting. The variable's name is the field's in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    stage: Literal["local", "test", "dev", "prod"] = _setting(
        "local",
        "Which environment this is. `prod` refuses settings that are only safe on a laptop.",
        "all",
    )
    public_url: str = _setting(
        "http://127.0.0.1:3000",
        "Origin of the API and the console, without a trailing slash.",
        "HTTP functions, mails",
    )
    frontend_url: str = _setting(
        "",
        "Origin and path of the console; empty: `PUBLIC_URL` + `/app`. OAuth callbacks land below it.",
        "channels, mails",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        "Further origins (comma-separated) that may call the API with credentials.",
        "HTTP functions",
    )
    trusted_proxies: int = _setting(
        0,
        "How many proxies before API Gateway append to X-Forwarded-For; CloudFront is one.",
        "HTTP functions",
    )
    api_limit: int = Field(
        default=90,
        ge=1,
        description="How many `POST /public/v1/posts` an organization may send in any hour.",
        json_schema_extra={"needed_by": "public_api"},
    )
    rate_limits: dict[str, Annotated[int, Field(ge=1)]] = _setting(
        {},
        'JSON: other numbers for the rate limits that `shared/access/policy.py` names, such as `{"public_read": 1200}`; '
        "`API_LIMIT` is short for its `public_compose`.",
        "HTTP functions",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", "Least severe log line written.", "all"
    )
    tracing: bool = _setting(
        False, "Record traces with X-Ray and hand them on in messages and schedules.", "all"
    )
    sentry_dsn: str = _setting(
        "", "Sentry-compatible address for unexpected errors; empty: none is sent.", "all"
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
        "roost", "Role; in AWS it logs in by an IAM token.", "everything with a database"
    )
    database_pool_size: int = _setting(
        1,
        "Connections of one process; a Lambda environment needs one.",
        "everything with a database",
    )
    database_may_sleep: bool = _setting(
        False,
        "Close connections at the end of each invocation, so that a cluster whose least capacity is 0 can pause.",
        "everything with a database",
    )
    database_behind_proxy: bool = _setting(
        False,
        "Prepare no statements, because a proxy (RDS Proxy, PgBouncer) shares connections between transactions.",
        "everything with a database",
    )
    database_ca_file: str = _setting(
        "",
        "Bundle that the cluster's certificate is checked against.",
        "everything with a database",
    )
    database_admin_secret_name: str = _setting(
        "",
        "Secret with `username` and `password` of the cluster's administrator, who makes the role that the functions log in as.",
        "migrate",
    )

    # AWS resources
    aws_region: str = _setting("us-east-1", "Region; Lambda sets it.", "all")
    publish_queue_url: str = _setting(
        "", "Queue of parts due on the second.", "posts, prepare, publish, reconcile"
    )
    stage_queue_url: str = _setting(
        "", "Queue of parts whose media are to be moved ahead.", "posts, prepare, reconcile, stage"
    )
    variants_queue_url: str = _setting(
        "", "Queue of uploads whose variants are to be made.", "media"
    )
    webhooks_queue_url: str = _setting(
        "", "Queue of messages to webhooks.", "posts, publish, reconcile, automation"
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
        "", "Queue for firings that could not be delivered.", "posts, publish, reconcile"
    )
    kms_key_id: str = _setting("", "Key that seals tokens.", "channels, publish")
    app_secret_name: str = _setting(
        "roost/app",
        "Secret that holds `jwtKeys` (JSON: key id to key, newest last).",
        "HTTP functions",
    )
    providers_secret_name: str = _setting(
        "roost/providers",
        "Secret that holds client ids and secrets of platforms.",
        "channels, publish",
    )

    # Media
    media_bucket: str = _setting("", "Bucket of uploads and variants.", "media, stage, variants")
    media_public_url: str = _setting(
        "", "Origin under which the bucket's objects are served to everybody.", "media, publish"
    )
    s3_endpoint_url: str = _setting(
        "",
        "Object storage other than S3 (R2, MinIO, any compatible); empty: S3.",
        "media, stage, variants",
    )
    s3_region: str = _setting(
        "",
        "Region the object storage signs with (R2: `auto`); empty: `AWS_REGION`.",
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
        description="How much an organization may have stored; `0`: no limit.",
        json_schema_extra={"needed_by": "media, public_api, mcp"},
    )

    # Mail
    mail_transport: Literal["ses", "smtp", "none"] = _setting(
        "ses", "How mails leave. `none`: accounts are active at once.", "auth, digest"
    )
    mail_from: str = _setting("Roost <roost@localhost>", "Sender.", "auth, digest")
    smtp_host: str = _setting("", "SMTP server, with `MAIL_TRANSPORT=smtp`.", "auth, digest")
    smtp_port: int = _setting(587, "SMTP port.", "auth, digest")
    smtp_security: Literal["starttls", "tls", "none"] = _setting(
        "starttls", "SMTP transport security.", "auth, digest"
    )
    smtp_user: str = _setting("", "SMTP user; empty: the server asks for none.", "auth, digest")
    smtp_secret_name: str = _setting(
        "", "Secret that holds `smtpPassword`, with `SMTP_USER`.", "everything that sends mail"
    )

    digest_after_minutes: int = _setting(
        60, "How long successes are collected before one email lists them.", "digest"
    )

    # Accounts
    disable_registration: bool = _setting(
        False, "Refuse new accounts once the first exists.", "identity"
    )
    disallow_plus: bool = _setting(False, "Refuse addresses with a plus sign.", "identity")
    access_token_seconds: int = _setting(900, "Life of the session's access token.", "identity")
    session_days: int = _setting(30, "Life of a session that is not renewed.", "identity")

    # Publishing
    arm_threshold_seconds: int = _setting(
        840,
        "A post due sooner gets a delayed message (at most 900), a later one a schedule.",
        "posts, publish",
    )
    arm_lead_seconds: int = _setting(
        240, "How long before its time a schedule fires.", "posts, publish"
    )
    arm_spread_seconds: int = _setting(
        480, "By how much more, spread by a hash of the id.", "posts, publish"
    )
    lease_seconds: int = _setting(
        75, "How long an attempt may be silent; above the publish function's timeout.", "publish"
    )
    max_late_hours: int = _setting(
        24, "A post that is more than this late fails instead of being published.", "publish"
    )

    publish_at_once_per_host: int = Field(
        default=4,
        ge=1,
        description="How many posts of one organization are sent at once to one server that its members named.",
        json_schema_extra={"needed_by": "publish"},
    )
    publish_at_once_per_organization: int = Field(
        default=8,
        ge=1,
        description="How many posts of one organization are sent at once to all servers that its members named.",
        json_schema_extra={"needed_by": "publish"},
    )
    stage_at_once_per_organization: int = Field(
        default=5,
        ge=1,
        description="How many posts' media of one organization are moved at once; below the stage function's `MaximumConcurrency`.",
        json_schema_extra={"needed_by": "stage"},
    )

    webhooks_at_once_per_host: int = Field(
        default=3,
        ge=1,
        description="How many webhook messages of one organization are sent at once to one host.",
        json_schema_extra={"needed_by": "deliver_webhooks"},
    )
    webhooks_at_once_per_organization: int = Field(
        default=5,
        ge=1,
        description="How many webhook messages of one organization are sent at once; below the function's `MaximumConcurrency`.",
        json_schema_extra={"needed_by": "deliver_webhooks"},
    )

    # Providers
    provider_base_urls: dict[str, str] = _setting(
        {},
        "JSON: base address per provider slug, instead of the platform's. `plc.directory`, and the host of a `did:web` "
        "account, are keys too: where a Bluesky account's document is fetched.",
        "channels, publish",
    )
    mastodon_url: str = _setting(
        "https://mastodon.social", "The instance of the provider `mastodon`.", "channels, publish"
    )
    disabled_features: Annotated[frozenset[Feature], NoDecode] = _setting(
        frozenset(),
        "Features (comma-separated) switched off, their routes answering 404: `api_keys` (making "
        "and listing them), `impersonation`, `apps` (third-party apps), `reference` "
        "(`/docs`, `/openapi.json`), `webhooks` (making and changing them).",
        "HTTP functions",
    )
    hidden_providers: Annotated[tuple[str, ...], NoDecode] = _setting(
        (), "Provider slugs (comma-separated) not offered.", "channels"
    )
    allow_loopback_addresses: bool = _setting(
        False,
        "Let members name http addresses on this machine (the sandbox). `prod` refuses it.",
        "channels, publish",
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
            raise ValueError("ALLOW_LOOPBACK_ADDRESSES must not be set where STAGE is prod")
        if self.stage == "prod" and not self.public_url.startswith("https://"):
            raise ValueError("PUBLIC_URL must begin with https:// where STAGE is prod")
        if not 0 < self.arm_threshold_seconds <= 900:
            raise ValueError(
                "ARM_THRESHOLD_SECONDS must be from 1 to 900: a queue holds a message no longer"
            )
        if self.mail_transport == "smtp" and not self.smtp_host:
            raise ValueError("SMTP_HOST must be set where MAIL_TRANSPORT is smtp")
        if self.mail_transport == "smtp" and self.smtp_user and not self.smtp_secret_name:
            raise ValueError("SMTP_SECRET_NAME must be set where SMTP_USER is")
        return self

    @property
    def console_url(self) -> str:
        """Where the console is served, without a trailing slash."""
        return (self.frontend_url or f"{self.public_url}/app").rstrip("/")

    @property
    def cookies_are_secure(self) -> bool:
        """Cookies carry `Secure` where the public address is https."""
        return self.public_url.startswith("https://")

    def calls_allowed(self, rate: str, default: int) -> int:
        """Return how many calls the limit `rate` allows; `default` unless the environment says otherwise."""
        return {"public_compose": self.api_limit, **self.rate_limits}.get(rate, default)

    @property
    def max_late(self) -> timedelta:
        """How late a post may be and still be sent."""
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
        said = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {said} (given: {problem['input']!r})" if name else said)
    return "The settings cannot be used. " + "; ".join(lines)

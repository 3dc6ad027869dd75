"""The parts of a system that exist on a laptop: functions, routes, queues, timers and stores."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = "123456789012"
REGION = "us-east-1"
STACK = "roost-local"


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One Lambda function. `code` is the folder its handler is imported from."""

    logical_id: str
    name: str
    runtime: str
    handler: str
    code: Path
    timeout_seconds: int
    memory_mb: int
    environment: Mapping[str, str]
    async_retries: int
    dead_letter_arn: str | None
    may_recur: bool

    @property
    def arn(self) -> str:
        """The unqualified ARN."""
        return arn_of("lambda", f"function:{self.name}")


@dataclass(frozen=True, slots=True)
class Route:
    """A method (or `ANY`) and path of the HTTP API, and the function that handles it."""

    method: str
    path: str
    function: str

    @property
    def key(self) -> str:
        """API Gateway's name of the route."""
        return f"{self.method} {self.path}" if self.path != "$default" else "$default"


@dataclass(frozen=True, slots=True)
class QueueSource:
    """An event source mapping from a queue to a function."""

    function: str
    queue_arn: str
    batch_size: int
    window_seconds: int
    max_concurrency: int | None
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class TimerSpec:
    """A schedule that the template declares. `input` is the target's event; None means Scheduler's default event."""

    name: str
    group: str
    target_arn: str
    expression: str
    timezone: str
    input: str | None
    max_attempts: int
    max_age_seconds: int
    dead_letter_arn: str | None


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """One queue; `attributes` are those of SQS `CreateQueue`."""

    logical_id: str
    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CorsRule:
    """One CORS rule of a bucket or of the HTTP API."""

    origins: Sequence[str]
    methods: Sequence[str]
    headers: Sequence[str] = ()
    exposed: Sequence[str] = ()
    max_age_seconds: int | None = None
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """One bucket and the CORS rules for browsers."""

    name: str
    cors: Sequence[CorsRule]


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """One secret: its text, or how to generate it (`GenerateSecretString`)."""

    name: str
    text: str | None
    generate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class System:
    """Everything in the template that exists on a laptop."""

    functions: Mapping[str, FunctionSpec]
    routes: Sequence[Route]
    sources: Sequence[QueueSource]
    timers: Sequence[TimerSpec]
    queues: Sequence[QueueSpec]
    buckets: Sequence[BucketSpec]
    secrets: Sequence[SecretSpec]
    key_ids: Sequence[str]
    key_aliases: Mapping[str, str]
    schedule_groups: Sequence[str]
    mail_identities: Sequence[str]
    api_cors: CorsRule | None = None

    def function_by_arn(self, arn: str) -> FunctionSpec | None:
        """Find a function by its ARN, with or without an alias or version."""
        return next(
            (
                spec
                for spec in self.functions.values()
                if arn == spec.arn or arn.startswith(f"{spec.arn}:")
            ),
            None,
        )


def secret_arn(name: str) -> str:
    """Return a secret's ARN in Secrets Manager's format, the same in every home."""
    return arn_of("secretsmanager", f"secret:{name}-{stable_uuid(name)[:6]}")


def arn_of(service: str, rest: str) -> str:
    """Return the ARN of a resource of this account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def stable_uuid(name: str) -> str:
    """Return an id that is the same in every home."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{STACK}/{name}"))

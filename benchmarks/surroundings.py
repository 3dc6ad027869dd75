"""The environment of the measurements: their own PostgreSQL, the real functions, and no AWS in the timing.

AWS is replaced by moto for Secrets Manager (asked once in five minutes), keys in memory for KMS, and lists for SQS and
Scheduler. The functions, the driver and the database are real.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from sqlalchemy import text
from sqlalchemy.engine import make_url

from local.postgres import EmbeddedPostgres
from shared.aws import queues, scheduler
from shared.core.config import settings
from shared.core.log import log
from shared.db import migrate
from shared.db.session import dispose
from tests.gateway import put_app_secret

STANDS_IN = (
    "Secrets Manager is moto, asked once in five minutes; KMS is a key in memory; what would go to SQS and to the "
    "Scheduler goes on lists. A platform that costs nothing answers in memory."
)
ENVIRONMENT = {
    "STAGE": "test",
    "MAIL_TRANSPORT": "none",
    "LOG_LEVEL": "INFO",
    "PUBLISH_QUEUE_URL": "https://queue.example/publish",
    "STAGE_QUEUE_URL": "https://queue.example/stage",
    "MEDIA_PUBLIC_URL": "https://media.example",
    "POWERTOOLS_SERVICE_NAME": "roost",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "benchmarks",
    "AWS_SECRET_ACCESS_KEY": "benchmarks",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(slots=True)
class Surroundings:
    """The server's databases, and the requests that would have gone to AWS."""

    server_url: str
    patch: pytest.MonkeyPatch
    messages: list[queues.Message] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)

    def use_database(self, name: str) -> None:
        """Set the database in the settings; the next statement opens a connection to it."""
        dispose()
        url = make_url(self.server_url).set(database=name)
        self.patch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        settings.cache_clear()

    def make_database(self, name: str, *, template: str) -> None:
        """Create a database as a copy of another."""
        self.use_database("postgres")
        with migrate.migrating() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                text(f"CREATE DATABASE {name} TEMPLATE {template}")
            )
        self.use_database(name)


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Start the server, migrate its database, and install the stand-ins."""
    folder = Path(tempfile.mkdtemp(prefix="roost-benchmarks-"))
    folder.chmod(0o755)  # the server is not root
    server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log")
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(lambda: shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True))
        undo.callback(server.stop)
        undo.callback(settings.cache_clear)
        patch = undo.enter_context(pytest.MonkeyPatch.context())
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "DATABASE_HOST"):
            patch.delenv(name, raising=False)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        found = Surroundings(server.start(), patch)
        undo.callback(dispose)
        undo.enter_context(_unheard())
        undo.enter_context(mock_aws())
        found.use_database(make_url(found.server_url).database or "")
        with migrate.migrating() as connection:
            migrate.upgrade(connection)
        put_app_secret()
        patch.setattr(queues, "send", lambda _url, messages: found.messages.extend(messages))
        patch.setattr(
            scheduler, "create_schedule", lambda name, **_given: found.schedules.append(name)
        )
        yield found


@contextmanager
def quiet() -> Iterator[None]:
    """Discard the printed metrics, at the same cost."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield


@contextmanager
def _unheard() -> Iterator[None]:
    handler: Any = log.registered_handler
    with Path(os.devnull).open("w") as nowhere:
        before = handler.setStream(nowhere)
        yield
        handler.setStream(before)


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The fields of Lambda's context that functions read."""

    function_name: str = "publish"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:publish"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def backend_cpu_ns(pid: int) -> int | None:
    """Return the processor time of the database process for one connection; None outside Linux."""
    stat = Path(f"/proc/{pid}/schedstat")
    return int(stat.read_text().split()[0]) if stat.exists() else None


def http_event(
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    query: str = "",
    body: str | None = None,
) -> dict[str, Any]:
    """Create the event that API Gateway would send."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "api.test", "content-type": "application/json", **headers},
        "isBase64Encoded": False,
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "203.0.113.7"},
            "requestId": "request",
        },
    }
    return event | ({"body": body} if body is not None else {})

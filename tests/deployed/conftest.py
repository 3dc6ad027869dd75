"""What `make test-deploy` starts: a database, a sandbox network, the emulator, and the built artifacts deployed by SAM."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import httpx
import pytest
from sqlalchemy.engine import make_url

from layers import build, deploy
from layers.build import ROOT
from local.postgres import EmbeddedPostgres
from tests.deployed.limits import emulated
from tests.gateway import Answer, Gateway

EMULATOR = ROOT / ".venv-emulator" / "bin" / "ministack"
STAGE = "dev"
# A post due within this time goes by a delayed message, a later one by a schedule, which the emulator looks at every 10 s.
NEAR_SECONDS = 15
LEAD_SECONDS = 30
_PATIENCE_SECONDS = 60
_LONGEST_SECONDS = 45 * 60  # several times what it takes on a busy machine


@dataclass
class System:
    """A stage on the emulator."""

    stack: str
    database_url: str
    administrator: str
    sandbox_url: str

    def deploy(self, *parameters: str) -> int:
        """Deploy what is built, as `make deploy` does; return SAM's status."""
        built = self._template()
        (build.HOST_BUILD / "template.yaml").write_text(json.dumps(built))
        restored = (
            "RestoredDatabaseResourceId=cluster-1",
            f"RestoredDatabaseSecretArn={self.administrator}",
        )
        return deploy.main([STAGE, *restored, *parameters, "--no-fail-on-empty-changeset"])

    def _template(self) -> dict[str, Any]:
        build._write_template(build.read_template(), build.HOST_BUILD)
        whole = json.loads((build.HOST_BUILD / "template.yaml").read_text())
        return emulated(
            whole,
            {
                "DATABASE_URL": self.database_url,
                "DATABASE_HOST": "",
                "DATABASE_CA_FILE": "",
                "ALLOW_LOOPBACK_ADDRESSES": "true",
                "MASTODON_URL": self.sandbox_url,
                "ARM_THRESHOLD_SECONDS": str(NEAR_SECONDS),
                "ARM_LEAD_SECONDS": str(LEAD_SECONDS),
                "ARM_SPREAD_SECONDS": "5",
            },
        )

    def aliases(self) -> Mapping[str, str]:
        """Return the version that alias `live` of each function points at."""
        functions = boto3.client("lambda").get_paginator("list_functions").paginate()
        names = [found["FunctionName"] for page in functions for found in page["Functions"]]
        return {
            name: alias["FunctionVersion"]
            for name in names
            for alias in boto3.client("lambda").list_aliases(FunctionName=name)["Aliases"]
        }

    def configuration(self, function: str) -> Mapping[str, Any]:
        """Return what Lambda says of the version that serves requests."""
        name = f"{self.stack}-{function}"
        return dict(
            boto3.client("lambda").get_function_configuration(FunctionName=name, Qualifier="live")
        )

    def variables(self, function: str) -> Mapping[str, str]:
        """Return the environment of the version that serves requests."""
        return dict(self.configuration(function)["Environment"]["Variables"])

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Invoke a function's alias and return its answer. A version that was just published may be pending yet."""
        client, alias = (
            boto3.client("lambda"),
            {"FunctionName": f"{self.stack}-{function}", "Qualifier": "live"},
        )
        client.get_waiter("published_version_active").wait(**alias)
        answer = client.invoke(**alias, Payload=json.dumps(event))
        result = json.loads(answer["Payload"].read() or "null")
        assert "FunctionError" not in answer, result
        return result


class Browser(Gateway):
    """A caller whose requests go to a deployed function, as the events that API Gateway makes of them."""

    def __init__(
        self, system: System, function: str, cookies: dict[str, str] | None = None
    ) -> None:
        super().__init__(app=None, cookies=cookies or {})
        self._system, self._function = system, function

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        given = options.get("headers") or {}
        headers = {"content-type": "application/json", **self.headers, **given}
        sent = json.dumps(body) if body is not None else None
        event = self._event(method, path, urlencode(options.get("query") or {}), headers, sent)
        return self._read(self._system.invoke(self._function, event))


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Deploy once, everything by default; what is started ends with the tests, however they end."""
    folder = tmp_path_factory.mktemp("deployed")
    with (
        _ending(after_seconds=_LONGEST_SECONDS),
        pytest.MonkeyPatch.context() as patch,
        _postgres(folder) as database_url,
        _sandbox(folder) as sandbox_url,
        _emulator(folder, patch),
    ):
        known = make_url(database_url)
        secret = boto3.client("secretsmanager").create_secret(
            Name="administrator",
            SecretString=json.dumps({"username": known.username, "password": known.password}),
        )
        patch.setattr(deploy, "BUILD", build.HOST_BUILD)
        stage = deploy.read_environment(STAGE)
        made = System(stage.stack, database_url, secret["ARN"], sandbox_url)
        assert made.deploy() == 0
        yield made


@contextlib.contextmanager
def _ending(*, after_seconds: float) -> Iterator[None]:
    """Break off with an error when the block takes longer, whatever it waits for."""

    def break_off(*_: object) -> None:
        raise TimeoutError(f"make test-deploy took longer than {after_seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, break_off)
    signal.setitimer(signal.ITIMER_REAL, after_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Run a database; its URL."""
    server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", durable=False)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def _running(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def _sandbox(folder: Path) -> Iterator[str]:
    """Serve a network that behaves like a Mastodon server; its address."""
    command = (sys.executable, "-m", "local.sandbox", "--home", folder / "sandbox", "--port", "0")
    with _running(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("Sandbox: ").strip()


@contextlib.contextmanager
def _emulator(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the emulator on a free port of the loopback, and name it to its clients."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": deploy.read_environment(STAGE).region, "SAM_CLI_TELEMETRY": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        patch.setenv(name, value)
    patch.delenv("AWS_SESSION_TOKEN", raising=False)
    environment = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "HOME": str(folder),
        "AUTH": "true",  # functions get their roles' credentials, and policies are evaluated
    }
    log_path = folder / "emulator.log"
    with (
        log_path.open("wb") as log,
        _running((EMULATOR,), env=environment, stdout=log, stderr=log, cwd=folder) as process,
    ):
        until = time.monotonic() + _PATIENCE_SECONDS
        while not _answers(url):
            given_up = process.poll() is not None or time.monotonic() > until
            assert not given_up, log_path.read_text()[-2000:]
            time.sleep(0.2)
        yield


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_ministack/health", timeout=2).is_success
    except httpx.TransportError:
        return False

"""The whole system as `make run` starts it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.local.test_workers import gone_within

ROOT = Path(__file__).resolve().parents[2]


class System:
    """A system below `home`, started as a developer starts it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "local.json").unlink(missing_ok=True)
        environment = {**os.environ, "PORT": "0", "ROOST_HOME": str(home)}
        for name in ("DATABASE_URL", "STAGE"):
            environment.pop(name, None)
        self.output = (home / "output").open("a+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local"],
            cwd=ROOT,
            env=environment,
            stdout=self.output,
            stderr=self.output,
        )
        deadline = time.monotonic() + 90
        while not (home / "local.json").exists():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)
        self.facts: dict[str, Any] = json.loads((home / "local.json").read_text())

    def said(self) -> str:
        self.output.flush()
        return (self.home / "output").read_text()

    def descendants(self) -> list[int]:
        """Every process that runs below this one."""
        listed = subprocess.run(
            ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True, timeout=10
        ).stdout
        parents = {
            int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())
        }
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.output.close()
        return status


@pytest.fixture
def start() -> Iterator[Callable[[], System]]:
    """Starts systems on one home, and ends those that the test did not."""
    started: list[System] = []
    with tempfile.TemporaryDirectory(prefix="roost-") as home:
        Path(home).chmod(0o755)  # where we are root, PostgreSQL runs as another user

        def begin() -> System:
            started.append(System(Path(home)))
            return started[-1]

        yield begin
        for system in started:
            if system.process.poll() is None:
                system.end(signal.SIGKILL)


@contextlib.contextmanager
def logged_in(system: System) -> Iterator[httpx.Client]:
    demo = system.facts["demo"]
    with httpx.Client(base_url=system.facts["url"], timeout=30) as api:
        credentials = {"provider": "LOCAL", "email": demo["email"], "password": demo["password"]}
        answer = api.post("/auth/login", json=credentials)
        assert answer.status_code == 200, answer.text
        yield api


def test_a_system_survives_kill_9_and_stops_in_order(start: Callable[[], System]) -> None:
    first = start()
    with logged_in(first) as api:
        assert api.get("/user/self").json()["orgId"] == first.facts["demo"]["organizationId"]
        channels = api.get("/integrations").json()["integrations"]
        assert [channel["identifier"] for channel in channels] == ["mastodon-custom"] * 2
        assert api.get("/nowhere").status_code == 404
        subjects = [mail["subject"] for mail in api.get("/_local/mail.json").json()]
        assert "Activate your account" in subjects
    assert httpx.get(first.facts["sandboxUrl"], timeout=10).status_code == 200
    below = first.descendants()
    assert len(below) > 3

    first.end(signal.SIGKILL)

    assert all(gone_within(pid, 5) for pid in below), "something outlived the supervisor"

    second = start()
    assert second.facts == first.facts
    with logged_in(second) as api:
        assert api.get("/integrations").json()["integrations"] == channels
    below = second.descendants()
    environment = {**os.environ, "ROOST_HOME": str(second.home)}
    rival = subprocess.run(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (rival.returncode, "in use by a running system" in rival.stderr) == (2, True)

    began = time.monotonic()
    assert second.end(signal.SIGINT) == 0

    assert time.monotonic() - began < 10
    assert all(gone_within(pid, 2) for pid in below)
    assert not (second.home / "local.json").exists()
    assert "Traceback" not in (second.home / "output").read_text()

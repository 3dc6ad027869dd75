"""The whole system as `make run` starts it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.database import connect
from local.newcomer import Newcomer
from tests.local.test_workers import gone_within
from tests.running import ROOT, RunningSystem

LEASE_SECONDS = 3


@pytest.fixture
def start() -> Iterator[Callable[[], RunningSystem]]:
    """Starts systems on one home, and ends those that the test did not."""
    started: list[RunningSystem] = []
    with tempfile.TemporaryDirectory(prefix="roost-") as home:
        Path(home).chmod(0o755)  # where we are root, PostgreSQL runs as another user

        def begin() -> RunningSystem:
            started.append(RunningSystem(Path(home), {"LEASE_SECONDS": str(LEASE_SECONDS)}))
            return started[-1]

        yield begin
        for system in started:
            if system.process.poll() is None:
                system.end(signal.SIGKILL)


@contextlib.contextmanager
def logged_in(system: RunningSystem) -> Iterator[Newcomer]:
    details = system.details
    with Newcomer(
        details["url"],
        sandbox_url=details["sandboxUrl"],
        mail_json_url=f"{details['mailUrl']}.json",
    ) as me:
        assert me.log_in(details["demo"]["email"], details["demo"]["password"])
        yield me


def published(system: RunningSystem) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(
        f"{system.details['sandboxUrl']}/_statuses", timeout=10
    ).json()["statuses"]
    return found


def until(holds: Callable[[], object], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def test_killed_in_the_middle_of_a_publish_it_publishes_once(
    start: Callable[[], RunningSystem],
) -> None:
    first = start()
    openid = first.details["openidUrl"]
    assert openid in first.said()
    described = httpx.get(f"{openid}/.well-known/openid-configuration", timeout=60).json()
    assert described["issuer"] == openid  # it has started now, and must not outlive the rest either
    with logged_in(first) as me:
        assert me.call("GET", "/user/self")["orgId"] == first.details["demo"]["organizationId"]
        member = first.details["demoMember"]
        signing_in = {"email": member["email"], "password": member["password"]}
        assert me.call("POST", "/auth/login", signing_in)["mfa"]  # the session stays the owner's
        channels = me.call("GET", "/integrations")["integrations"]
        assert [channel["identifier"] for channel in channels] == ["mastodon-custom"] * 2
        # The network takes the post and keeps its answer back: we are killed before we learn of it.
        fault = {"kind": "statuses", "action": "timeout", "seconds": 60}
        httpx.post(
            f"{first.details['sandboxUrl']}/_faults", json=fault, timeout=10
        ).raise_for_status()
        (root,) = me.schedule(
            [channels[0]["id"]],
            [{"content": "<p>once</p>", "image": []}],
            at=datetime.now(UTC) + timedelta(seconds=2),
        )
        until(lambda: published(first), seconds=30)
        assert me.post(root)["posts"][0]["state"] == "QUEUE"
    below = first.descendants()
    assert len(below) > 3

    first.end(signal.SIGKILL)

    assert all(gone_within(pid, 5) for pid in below), "something outlived the supervisor"
    time.sleep(LEASE_SECONDS)  # the sweep at the start finds it, not the one a minute later
    second = start()
    passing = {"databaseUrl"}  # its port is another one each time
    assert {k: v for k, v in second.details.items() if k not in passing} == {
        k: v for k, v in first.details.items() if k not in passing
    }
    with logged_in(second) as me:
        assert me.call("GET", "/integrations")["integrations"] == channels
        until(lambda: me.post(root)["posts"][0]["state"] != "QUEUE", seconds=200)
        part = me.post(root)["posts"][0]
        (status,) = published(second)
        assert (part["state"], part["releaseURL"]) == ("PUBLISHED", status["url"])
    stop_in_order(second)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_posts_queued_before_a_restart_go_out_and_far_ones_cost_nothing(
    start: Callable[[], RunningSystem], how: signal.Signals
) -> None:
    first = start()
    with logged_in(first) as me:
        channels = me.call("GET", "/integrations")["integrations"]
        due = datetime.now(UTC) + timedelta(seconds=4)
        for name, at in (("during", due), ("far", due + timedelta(days=30))):
            me.schedule([channels[0]["id"]], [{"content": f"<p>{name}</p>", "image": []}], at=at)
    first.end(how)

    second = start()
    ready_at = datetime.now(UTC)
    until(lambda: published(second), seconds=60)
    late = datetime.now(UTC) - max(due, ready_at)

    assert [status["text"] for status in published(second)] == ["during"]
    assert late < timedelta(seconds=15)  # a loaded machine; the sweep's minute would be more
    with contextlib.closing(connect(second.details["databaseUrl"])) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "select arm_count, armed_revision = revision from posts where state = 'queued'"
        )
        assert cursor.fetchall() == ([1, True],)


def test_database_that_is_killed_comes_back(start: Callable[[], RunningSystem]) -> None:
    """Finding 8.1."""
    system = start()
    with logged_in(system) as me:
        channels = me.call("GET", "/integrations")["integrations"]
        postmaster = system.home / "postgres" / "data" / "postmaster.pid"
        os.kill(int(postmaster.read_text().splitlines()[0]), signal.SIGKILL)
        until(lambda: "PostgreSQL is running again." in system.said(), seconds=30)
        until(lambda: ready(system), seconds=20)
        assert me.call("GET", "/integrations")["integrations"] == channels
        (root,) = me.schedule(
            [channels[0]["id"]],
            [{"content": "<p>after the crash</p>", "image": []}],
            at=datetime.now(UTC),
        )
        until(lambda: me.post(root)["posts"][0]["state"] == "PUBLISHED", seconds=60)


def ready(system: RunningSystem) -> bool:
    return httpx.get(f"{system.details['url']}/health/ready", timeout=10).is_success


def stop_in_order(system: RunningSystem) -> None:
    environment = {**os.environ, "ROOST_HOME": str(system.home)}
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
    below = system.descendants()
    began = time.monotonic()

    assert system.end(signal.SIGINT) == 0

    assert time.monotonic() - began < 10
    assert all(gone_within(pid, 2) for pid in below)
    assert not (system.home / "local.json").exists()
    assert "Traceback" not in (system.home / "output").read_text()

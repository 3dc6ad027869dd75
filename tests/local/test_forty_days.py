"""Forty days in a system as `make run` starts it: walked through, and jumped over as by a machine that slept."""

import json
import signal
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.newcomer import Newcomer, StepFailed
from tests.local.test_runtime import logged_in, published, until
from tests.running import RunningSystem

DAY, HOUR, SECONDS = timedelta(days=1), timedelta(hours=1), timedelta(seconds=5)


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    with tempfile.TemporaryDirectory(prefix="roost-") as home:
        Path(home).chmod(0o755)  # where we are root, PostgreSQL runs as another user
        running = RunningSystem(Path(home))
        yield running
        running.end(signal.SIGINT)


def move(system: RunningSystem, **how: object) -> dict[str, Any]:
    answer = httpx.post(
        system.details["clock"]["url"], json=how, headers={"x-roost-clock": "1"}, timeout=300
    )
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()
    assert told["arrived"]
    return told


def now(system: RunningSystem) -> datetime:
    return datetime.fromisoformat(
        httpx.get(system.details["clock"]["url"], timeout=10).json()["now"]
    )


def schedule(me: Newcomer, text: str, at: datetime) -> str:
    channels = me.call("GET", "/integrations")["integrations"]
    (root,) = me.schedule([channels[0]["id"]], [{"content": f"<p>{text}</p>", "image": []}], at=at)
    return root


def written(system: RunningSystem, text: str) -> datetime:
    """When the sandbox took a post."""
    (one,) = [status for status in published(system) if text in status["text"]]
    return datetime.fromisoformat(one["created_at"])


def is_renewed(me: Newcomer) -> bool:
    try:
        me.call("POST", "/auth/renew")
    except StepFailed:
        return False
    return True


def test_walked(system: RunningSystem) -> None:
    begun = now(system)
    at = (begun + 10 * DAY).replace(microsecond=0)
    with logged_in(system) as me, logged_in(system) as idle, logged_in(system) as gone:
        schedule(me, "in ten days", at)

        move(system, advance="P29D")

        # A post, to the second.
        assert timedelta() <= written(system, "in ten days") - at < SECONDS
        # A digest: collected for a while, then sent by a rate that comes every hour.
        mails = httpx.get(f"{system.details['mailUrl']}.json", timeout=10).json()
        digests = [mail for mail in mails if "published" in mail["subject"].lower()]
        assert len(digests) == 2  # one for each member of the demo organization
        for mail in digests:
            assert timedelta() < datetime.fromisoformat(mail["sent_at"]) - at < 3 * HOUR
        # A recurring rate, at each of its hours.
        log = (system.home / "logs" / "DigestFunction.log").read_text()
        assert log.count("notifications.mailed") == 29 * 24
        # A session: the month that it lives begins anew where it is used.
        assert is_renewed(me)
        move(system, advance="P2D")
        assert not is_renewed(gone)
        assert is_renewed(me)

        move(system, advance="P9D")
        assert abs(now(system) - begun - 40 * DAY) < timedelta(minutes=5)
        for url in ("url", "sandboxUrl"):
            date = httpx.get(f"{system.details[url]}/_local/mail.json", timeout=10).headers["date"]
            assert abs(parsedate_to_datetime(date) - now(system)) < SECONDS
        details = json.loads((system.home / "local.json").read_text())
        assert details["clock"]["offsetSeconds"] == pytest.approx(40 * 86400, abs=300)
        assert not is_renewed(idle)


def test_files_are_uploaded_and_published_after_a_move(
    system: RunningSystem, tmp_path: Path
) -> None:
    from local.demo import _picture

    move(system, jump="P3D")
    with logged_in(system) as me:
        picture = tmp_path / "fade.png"
        picture.write_bytes(_picture(64, 64))
        media = me.upload(picture, alt="a fade")
        channels = me.call("GET", "/integrations")["integrations"]
        parts = [{"content": "<p>with a picture</p>", "image": [{"id": media}]}]
        at = now(system) + timedelta(minutes=5)
        me.schedule([channels[0]["id"]], parts, at=at)
        move(system, advance="PT6M")
        assert (
            timedelta() <= written(system, "with a picture") - at.replace(microsecond=0) < SECONDS
        )


def test_jumped(system: RunningSystem) -> None:
    with logged_in(system) as me:
        begun = now(system)
        hour = schedule(me, "two hours late", begun + HOUR)
        move(system, jump="PT3H")
    with logged_in(system) as me:  # its access token has ended
        until(lambda: me.post(hour)["posts"][0]["state"] == "PUBLISHED", seconds=60)
        assert written(system, "two hours late") >= begun + 3 * HOUR
        late = [schedule(me, f"day {days}", now(system) + days * DAY) for days in (1, 10, 50)]
        assert move(system, jump="P40D")["steps"] == 1
    with logged_in(system) as me:
        until(lambda: states(me, late) == ["ERROR", "ERROR", "QUEUE"], seconds=60)
        assert "late" in json.dumps(me.post(late[0])).lower()
    assert not [status for status in published(system) if "day 1" in status["text"]]


def states(me: Newcomer, roots: list[str]) -> list[str]:
    return [me.post(one)["posts"][0]["state"] for one in roots]

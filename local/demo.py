"""Check that everything works: a newcomer's first steps on a running system, checked on the network where the posts appear.

Registers, connects two sandbox accounts, uploads a picture, schedules a thread of two parts to both for 45 seconds ahead,
lets one of them answer 500 once, waits, and prints where the threads are and how late they were. It fails (exit code 1)
when anything is missing, duplicated, out of order or late. Late means more than two seconds; on a busy machine, more than ten
times the slowest answer to a simple request while the demo waited, or two seconds for each program that waits for
a processor. Without a running system it starts its own, on free ports and in a folder that is removed afterwards.
`--far` lowers lead and threshold on that system, so that the thread is published through schedule, prepare and queue instead
of by a delayed message. With an address (`--url`) it publishes one post through that deployment's public API instead
(`local/demo_remote.py`).
"""

import argparse
import contextlib
import json
import os
import secrets
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from local import demo_remote
from local.newcomer import Newcomer, StepFailed
from local.pace import Pace

AHEAD = timedelta(seconds=45)
PATIENCE = timedelta(seconds=90)
MAX_LATE_SECONDS = 2.0
STEPS_TO_PUBLISH = 10  # message, function, claim, mark, request, answer, record: each may wait for a busy processor
START_SECONDS = 120.0
TEXTS = ("The first part, with a picture.", "The second part answers it.")
ALT = "A square that fades from red to blue"
FAR = {"ARM_THRESHOLD_SECONDS": "10", "ARM_LEAD_SECONDS": "12", "ARM_SPREAD_SECONDS": "6"}


def main() -> int:
    """Run the demo, print the result, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--far", action="store_true", help="publish through schedules, on its own system"
    )
    parser.add_argument("--url", help="publish one post through the API at this address")
    parser.add_argument("--channel", default="", help="with --url: the channel's id or name")
    options = parser.parse_args()
    if options.channel and not options.url:
        parser.error("--channel needs --url")
    try:
        if options.url:
            return demo_remote.main(options.url, options.channel)
        with _system(far=options.far) as system:
            return _walk(system)
    except (StepFailed, httpx.HTTPError) as error:
        print(f"FAILED: {error}")
        return 1


def _walk(system: Mapping[str, Any]) -> int:
    sandbox = system["sandboxUrl"]
    names = [f"demo{secrets.token_hex(3)}" for _ in range(2)]
    with (
        Newcomer(
            system["url"], sandbox_url=sandbox, mail_json_url=f"{system['mailUrl']}.json"
        ) as me,
        tempfile.TemporaryDirectory() as folder,
    ):
        me.register(f"{names[0]}@example.com", secrets.token_urlsafe(12), "A newcomer")
        print(f"registered       {names[0]}@example.com")
        channels = [me.connect(name) for name in names]
        print(f"connected        {', '.join(f'{sandbox}/@{name}' for name in names)}")
        picture = Path(folder, "fade.png")
        picture.write_bytes(_picture(320, 320))
        media = me.upload(picture, alt=ALT)
        print(f"uploaded         {picture.name} ({picture.stat().st_size} bytes)")
        fault = {"kind": "statuses", "action": "500", "count": 1, "account": names[1]}
        httpx.post(f"{sandbox}/_faults", json=fault, timeout=10).raise_for_status()
        ahead = timedelta(seconds=system["clock"]["offsetSeconds"])
        due = (datetime.now(UTC) + ahead + AHEAD).replace(microsecond=0)
        parts: list[dict[str, Any]] = [{"content": f"<p>{TEXTS[0]}</p>", "image": [{"id": media}]}, {"content": f"<p>{TEXTS[1]}</p>", "image": []}]  # fmt: skip
        roots = me.schedule(channels, parts, at=due)
        print(f"scheduled        {due:%H:%M:%S} UTC on both; @{names[1]} will answer 500 once")
        with Pace(f"{system['url']}/health") as pace:
            posts = [_wait_for(me, root, until=due - ahead + PATIENCE) for root in roots]
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
    allowed = allowed_seconds(pace.slowest_seconds, load)
    if allowed > MAX_LATE_SECONDS:
        print(
            f"busy machine     {pace.slowest_seconds:.2f} s for the simplest answer, {load:.1f} programs "
            f"for each processor; {allowed:.1f} s late is allowed"
        )
    problems = [
        problem
        for name, post in zip(names, posts, strict=True)
        for problem in _check(sandbox, name, post, due, allowed=allowed)
    ]
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


def allowed_seconds(slowest_answer: float, load: float) -> float:
    """Return how late a post may be on a machine with this response time and load.

    `load` is the number of programs that compete for each processor. Starting a function takes that many times as long,
    which a request to a running function does not show.
    """
    return max(MAX_LATE_SECONDS, STEPS_TO_PUBLISH * slowest_answer, MAX_LATE_SECONDS * load)


def _wait_for(me: Newcomer, root: str, *, until: datetime) -> Mapping[str, Any]:
    """Wait until every part of a thread is published or failed."""
    while True:
        post = me.post(root)
        states = {part["state"] for part in post["posts"]}
        if states <= {"PUBLISHED", "ERROR"} or datetime.now(UTC) > until:
            return post
        time.sleep(0.5)


def _check(
    sandbox: str, name: str, post: Mapping[str, Any], due: datetime, *, allowed: float
) -> Iterator[str]:
    """Compare Roost's answers with what the network shows, and return what is wrong."""
    for part in post["posts"]:
        if part["state"] != "PUBLISHED":
            yield f"@{name}: a part is {part['state']}: {part.get('error') or part.get('code')}"
    statuses = [
        status
        for status in httpx.get(f"{sandbox}/_statuses", timeout=10).json()["statuses"]
        if status["account"] == name
    ]
    statuses.sort(key=lambda status: status["created_at"])
    if len(statuses) != len(TEXTS):
        yield f"@{name}: {len(statuses)} posts on the network, not {len(TEXTS)}"
        return
    for status, text in zip(statuses, TEXTS, strict=True):
        if status["text"] != text:
            yield f"@{name}: {text!r} is not where it should be"
    if statuses[1]["in_reply_to_id"] != statuses[0]["id"]:
        yield f"@{name}: the second part does not answer the first"
    if [media.get("description") for media in statuses[0]["media"]] != [ALT]:
        yield f"@{name}: the picture or its description is missing"
    urls = [part.get("releaseURL") for part in post["posts"]]
    if urls != [status["url"] for status in statuses]:
        yield f"@{name}: the addresses differ: {urls}"
    late = (datetime.fromisoformat(statuses[0]["created_at"]) - due).total_seconds()
    print(f"published        {statuses[0]['url']}   {late:.2f} s late")
    if not 0 <= late < allowed:
        yield f"@{name}: {late:.2f} seconds from its time"


@contextlib.contextmanager
def _system(*, far: bool) -> Iterator[Mapping[str, Any]]:
    """Use the running system, or start one for the duration of the block."""
    running = None if far else _running(Path(os.environ.get("ROOST_HOME", ".roost")))
    if running:
        print(f"running system   {running['url']}")
        yield running
        return
    with tempfile.TemporaryDirectory(prefix="roost-demo-", ignore_cleanup_errors=True) as home:
        yield from _start(Path(home), FAR if far else {})


def _start(home: Path, overrides: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    environment = {
        **os.environ,
        **overrides,
        "ROOST_HOME": str(home),
        "PORT": "0",
        "SANDBOX_PORT": "0",
    }
    with (home / "demo.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (found := _running(home)):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise StepFailed(f"The system did not start:\n{log.read()[-3000:]}")
                time.sleep(0.2)
            print(f"started          {found['url']}")
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _running(home: Path) -> Mapping[str, Any] | None:
    """Return the content of `local.json` in `home`, if that system answers."""
    try:
        details: Mapping[str, Any] = json.loads((home / "local.json").read_text())
        answer = httpx.get(f"{details['url']}/health", timeout=5)
    except (OSError, ValueError, httpx.HTTPError):
        return None
    return details if answer.is_success else None


def _picture(width: int, height: int) -> bytes:
    """Draw a PNG that fades from red to blue."""
    rows = b"".join(
        b"\x00" + bytes(value for x in range(width) for value in (255 - x * 255 // width, y * 255 // height, x * 255 // width))
        for y in range(height)
    )  # fmt: skip
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


if __name__ == "__main__":
    sys.exit(main())

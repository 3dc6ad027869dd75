"""Imports posts from an installation that has the same public API.

    OLD_KEY=… NEW_KEY=… python -m local.import_posts --from https://old.example --to https://new.example \
        --map OLD_CHANNEL=NEW_CHANNEL [--map …] [--export posts.json] [--take-over] [--dry-run]

It reads queued posts and drafts from the old installation and creates drafts of them here. A second run creates
nothing twice: each request carries an `Idempotency-Key` made from the old post's id, and `--done` records each post's
progress for longer than idempotency keys are kept.

`--take-over` also moves the publishing, post by post and in this order: create a draft here, unschedule it there, queue it
here. If it stops in between, a post is queued in at most one place, and the next run continues from there. It needs
`--export`, because the old installation's list contains neither pictures nor replies; docs/migrating.md says how to write
that file.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

PATIENCE = timedelta(minutes=1)  # pictures are fetched while a post is composed
# A post that is about to be published cannot be unscheduled safely.
TOO_SOON = timedelta(minutes=10)
AHEAD = timedelta(days=365)
MAX_TRIES = 5
_TIME = "%Y-%m-%dT%H:%M:%SZ"
LONGEST_WAIT = timedelta(hours=1)  # the window in which composing is counted


class ImportRefused(Exception):
    """The import cannot start or continue; the message says why."""


@dataclass(frozen=True, slots=True)
class OldPost:
    """A post as the old installation lists it. `value` has its parts; only a `whole` post has all of them."""

    id: str
    channel_id: str
    publish_at: datetime
    is_queued: bool
    repeats_every_days: int | None
    settings: dict[str, Any]
    tags: list[dict[str, str]]
    value: list[dict[str, Any]]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Which old channel maps to which channel here, and what to do."""

    channels: Mapping[str, str]
    take_over: bool = False
    dry_run: bool = False


class Step(StrEnum):
    """A post's progress."""

    MADE_OF_THE_LIST = "made of the list"
    MADE = "made"
    TAKING_BACK = "taking back"
    QUEUED = "queued"


class Done:
    """The steps that were done, one per line; with a file, including those of earlier runs."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._steps: dict[str, tuple[Step, str]] = {}
        if path is not None and path.is_file():
            for line in path.read_text().splitlines():
                done = json.loads(line)
                self._steps[done["old"]] = (Step(done["step"]), done["new"])

    def step_of(self, post: OldPost) -> tuple[Step, str] | None:
        """Return the last step and the post's id here; None before the first step."""
        return self._steps.get(post.id)

    def note(self, post: OldPost, step: Step, made: str) -> None:
        """Record a step before doing anything else."""
        self._steps[post.id] = (step, made)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({"old": post.id, "step": step, "new": made}) + "\n")


@dataclass(slots=True)
class Result:
    """The number of posts for each result."""

    drafts: int = 0
    queued: int = 0
    skipped: int = 0
    failed: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the import; return 1 if a post could not be imported."""
    options = _options(arguments)
    now = datetime.now(UTC)
    try:
        plan = Plan(_channel_map(options.map), options.take_over, options.dry_run)
        export = _read_export(options.export)
        if plan.take_over and options.export is None:
            raise ImportRefused(
                "--take-over needs --export: without it, posts lack pictures and replies."
            )
        with (
            api(options.source, _key("OLD_KEY")) as old,
            api(options.target, _key("NEW_KEY")) as new,
        ):
            posts = read_posts(old, now, now + timedelta(days=options.days), export)
            result = import_posts(old, new, posts, plan, now=now, done=Done(options.done))
    except (ImportRefused, httpx.HTTPError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print(
        f"{result.drafts} drafts, {result.queued} queued, {result.skipped} left there, {result.failed} refused"
    )
    return 1 if result.failed else 0


def api(address: str, key: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """Open a client for an installation's public API. The address may end in `/api`."""
    return httpx.Client(
        base_url=f"{address.rstrip('/')}/public/v1",
        headers={"authorization": key},
        timeout=PATIENCE.total_seconds(),
        transport=transport,
    )


def read_posts(
    old: httpx.Client,
    since: datetime,
    until: datetime,
    export: Mapping[str, list[dict[str, Any]]],
) -> list[OldPost]:
    """List queued posts and drafts in this period, earliest first; a repeated post counts at its next time."""
    found: dict[str, OldPost] = {}
    for begins, ends in _months(since, until):
        for row in _read(old, begins, ends):
            post = _old_post(row, export)
            if row["state"] not in {"QUEUE", "DRAFT"} or post.publish_at < since:
                continue
            if post.id not in found or post.publish_at < found[post.id].publish_at:
                found[post.id] = post
    return sorted(found.values(), key=lambda post: (post.publish_at, post.id))


def import_posts(
    old: httpx.Client,
    new: httpx.Client,
    posts: Sequence[OldPost],
    plan: Plan,
    *,
    now: datetime,
    done: Done,
) -> Result:
    """Create each post here, and report each result."""
    result = Result()
    for post in posts:
        where = f"{post.publish_at:%Y-%m-%d %H:%M} {post.id}"
        step, _ = done.step_of(post) or (None, "")
        takes_over = plan.take_over and (post.is_queued or step is Step.TAKING_BACK)
        if reason := _why_left(post, plan, step, now, takes_over=takes_over):
            result.skipped += 1
            print(f"{where}: left there, {reason}")
            continue
        if plan.dry_run:
            print(f"{where}: would become {'queued' if takes_over else 'a draft'}{_repeats(post)}")
            continue
        try:
            made = _make(new, post, plan, done)
            if takes_over:
                _take_over(old, new, post, made, done)
        except ImportRefused as error:
            result.failed += 1
            print(f"{where}: {error}")
            continue
        result.drafts += not takes_over
        result.queued += takes_over
        print(f"{where}: {'queued' if takes_over else 'draft'} {made}{_repeats(post)}")
    return result


def _why_left(
    post: OldPost, plan: Plan, step: Step | None, now: datetime, *, takes_over: bool
) -> str | None:
    if post.channel_id not in plan.channels:
        return f"--map has no entry for the channel {post.channel_id}"
    if step is Step.QUEUED:
        return "it is already queued here"
    if takes_over and not post.is_whole:
        return "it is not in the export"
    if takes_over and step is not Step.TAKING_BACK and post.publish_at - now < TOO_SOON:
        return "it will be published within minutes"
    return None


def _make(new: httpx.Client, post: OldPost, plan: Plan, done: Done) -> str:
    """Return the post's id here, and create the post if it does not exist."""
    step, made = done.step_of(post) or (None, "")
    if step is None:
        made = _compose(new, post, plan.channels[post.channel_id])
    elif step is Step.MADE_OF_THE_LIST and post.is_whole:
        answer = _send(new, "PUT", f"/posts/{made}", {"value": post.value})
        if answer.is_error:
            raise ImportRefused(
                f"draft {made} here has no pictures and replies, {_answer_text(answer)}"
            )
    else:
        return made
    done.note(post, Step.MADE if post.is_whole else Step.MADE_OF_THE_LIST, made)
    return made


def _compose(new: httpx.Client, post: OldPost, channel_id: str) -> str:
    """Create a draft and return its id; a draft that already exists is returned again."""
    body = {
        "type": "draft",
        "date": f"{post.publish_at:{_TIME}}",
        "shortLink": False,
        "tags": post.tags,
        "posts": [
            {"integration": {"id": channel_id}, "settings": post.settings, "value": post.value}
        ],
    }
    answer = _send(new, "POST", "/posts", body, {"idempotency-key": f"import {post.id}"})
    if answer.is_error:
        raise ImportRefused(f"refused here, {_answer_text(answer)}")
    return str(answer.json()[0]["postId"])


def _take_over(old: httpx.Client, new: httpx.Client, post: OldPost, made: str, done: Done) -> None:
    """Unschedule the post there, and only then queue it here."""
    done.note(post, Step.TAKING_BACK, made)
    if post.is_queued:
        answer = _send(old, "PUT", f"/posts/{post.id}/status", {"status": "draft"})
        if answer.is_error or answer.json().get("state") != "DRAFT":
            raise ImportRefused(
                f"draft {made} here, and is still queued there, {_answer_text(answer)}"
            )
    answer = _send(new, "PUT", f"/posts/{made}/status", {"status": "schedule"})
    if answer.is_error:
        raise ImportRefused(f"draft {made} here, and is now a draft there, {_answer_text(answer)}")
    done.note(post, Step.QUEUED, made)


def _send(
    client: httpx.Client,
    method: str,
    path: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a repeatable request, and wait at a rate limit."""
    for number in range(1, MAX_TRIES + 1):
        answer = client.request(method, path, json=body, headers=headers)
        wait = timedelta(seconds=int(answer.headers.get("retry-after") or 1))
        if answer.status_code != 429 or number == MAX_TRIES or wait > LONGEST_WAIT:
            break
        print(f"waiting {wait.total_seconds():.0f} s: {client.base_url.host} takes no more for now")
        time.sleep(wait.total_seconds())
    return answer


def _read(old: httpx.Client, begins: datetime, ends: datetime) -> list[dict[str, Any]]:
    asked = {"startDate": f"{begins:{_TIME}}", "endDate": f"{ends:{_TIME}}"}
    answer = old.get("/posts", params=asked)
    if answer.is_error:
        raise ImportRefused(f"the old installation does not list its posts, {_answer_text(answer)}")
    rows: list[dict[str, Any]] = answer.json()["posts"]
    return rows


def _months(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        ends = min(since + timedelta(days=30), until)
        yield since, ends
        since = ends


def _old_post(row: Mapping[str, Any], export: Mapping[str, list[dict[str, Any]]]) -> OldPost:
    settings = row.get("settings") or {}
    return OldPost(
        id=row["id"],
        channel_id=row["integration"]["id"],
        publish_at=datetime.fromisoformat(row["publishDate"]),
        is_queued=row["state"] == "QUEUE",
        repeats_every_days=row.get("intervalInDays"),
        settings=json.loads(settings) if isinstance(settings, str) else settings,
        tags=[
            {"value": each["tag"]["name"], "label": each["tag"]["name"]}
            for each in row.get("tags") or ()
        ],
        value=export.get(row["id"]) or [{"content": row["content"], "image": []}],
        is_whole=row["id"] in export,
    )


def _read_export(path: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Read the parts of each post by its id, one post per line in the format of docs/migrating.md."""
    if path is None:
        return {}
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return {line["id"]: [_part(part) for part in line["value"]] for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportRefused(f"{path} is not an export: {error!r}") from error


def _part(row: Mapping[str, Any]) -> dict[str, Any]:
    images = row.get("image") or []
    images = json.loads(images) if isinstance(images, str) else images
    return {
        "content": row["content"],
        "delay": row.get("delay") or 0,
        "image": [{"path": each["path"], "alt": each.get("alt")} for each in images],
    }


def _repeats(post: OldPost) -> str:
    if not post.repeats_every_days:
        return ""
    return f" (once; there it repeats every {post.repeats_every_days} days)"


def _answer_text(answer: httpx.Response) -> str:
    return f"it said {answer.status_code}: {answer.text[:300]}"


def _key(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ImportRefused(f"put the API key into {name}; other users can read arguments")
    return value


def _channel_map(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if pair.count("=") != 1:
            raise ImportRefused(f"--map takes OLD=NEW, not {pair}")
    return dict(pair.split("=") for pair in pairs)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.import_posts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from", dest="source", required=True, help="the old installation's address"
    )
    parser.add_argument("--to", dest="target", required=True, help="the new installation's address")
    parser.add_argument("--map", action="append", default=[], metavar="OLD=NEW", help="channel ids")
    parser.add_argument("--days", type=int, default=AHEAD.days, help="how far ahead to look")
    parser.add_argument("--export", type=Path, help="pictures and replies, from the old database")
    parser.add_argument(
        "--done",
        type=Path,
        default=Path("imported-posts.jsonl"),
        help="file that records what was done",
    )
    parser.add_argument("--take-over", action="store_true", help="unschedule there, queue here")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

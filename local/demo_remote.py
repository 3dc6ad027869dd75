"""Check that a deployment publishes: one post through the public API of any address, on a channel that the caller names.

    ROOST_API_KEY=roost_... make demo URL=https://roost.example.com CHANNEL=<id or name>

The post is real and public: it is scheduled `AHEAD` from now on that channel and stays there. Nothing is registered,
connected or deleted, so the API key needs only the scopes `read` and `write`. It fails (exit code 1) when the
post is not published, or is seen too late; the limit includes the time between two checks.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from local.newcomer import StepFailed

KEY = "ROOST_API_KEY"
AHEAD = timedelta(seconds=30)
PATIENCE = timedelta(minutes=5)
LOOK_EVERY_SECONDS = 2.0
MAX_LATE = timedelta(seconds=10)
_TIMEOUT_SECONDS = 40.0  # a little more than the gateway's own timeout


def main(url: str, channel: str) -> int:
    """Publish one post with the address and API key from the environment; return the exit status.

    Raises:
        StepFailed: the key or the channel is missing, or a call was refused.
    """
    key = os.environ.get(KEY, "")
    if not key:
        raise StepFailed(
            f"{KEY} is missing. Make an API key with the scopes read and write (POST /user/api-key) and set {KEY} to it."
        )
    with httpx.Client(
        base_url=url.rstrip("/"), headers={"authorization": key}, timeout=_TIMEOUT_SECONDS
    ) as api:
        return publish(api, channel)


def publish(
    api: httpx.Client,
    channel: str,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], None] = time.sleep,
    ahead: timedelta = AHEAD,
) -> int:
    """Publish one post on the channel with this id or name and wait for it; return the exit status.

    Raises:
        StepFailed: there is no such channel, or a call was refused.
    """
    chosen = choose(_call(api, "GET", "/public/v1/integrations"), channel)
    due = (now() + ahead).replace(microsecond=0)
    post_id = _call(api, "POST", "/public/v1/posts", _body(str(chosen["id"]), due))[0]["postId"]
    print(f"scheduled        {due:%H:%M:%S} UTC on {chosen['name']} ({chosen['identifier']})")
    while True:
        pause(LOOK_EVERY_SECONDS)
        post = _call(api, "GET", f"/public/v1/posts/{post_id}")
        seen = now()
        if post["state"] in {"PUBLISHED", "ERROR"} or seen > due + PATIENCE:
            break
    if post["state"] != "PUBLISHED":
        why = post.get("error") or "It has not ended."
        print(
            f"WRONG: post {post_id} is {post['state']}. {why} GET /posts/{post_id}/history has more."
        )
        return 1
    late = seen - due
    print(
        f"published        {post['releaseURL']}   seen {late.total_seconds():.1f} s after its time"
    )
    if late > MAX_LATE:
        print(f"WRONG: that is more than {MAX_LATE.total_seconds():.0f} s")
        return 1
    return 0


def choose(channels: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any]:
    """Return the channel with this id or name. There is no default, because the post is public.

    Raises:
        StepFailed: no channel or several match; the message lists the channels.
    """
    found = [
        channel for channel in channels if wanted and wanted in (channel["id"], channel["name"])
    ]
    if len(found) == 1:
        return found[0]
    known = "".join(
        f"\n  {channel['id']}  {channel['name']} ({channel['identifier']})" for channel in channels
    )
    if found:
        raise StepFailed(
            f"{len(found)} channels are named {wanted!r}. Set CHANNEL to an id:{known}"
        )
    if not known:
        raise StepFailed("The organization has no channel. Connect one that may carry test posts.")
    what = f"No channel has the id or name {wanted!r}." if wanted else "CHANNEL is missing."
    raise StepFailed(f"{what} Set it to one of these:{known}")


def _body(channel_id: str, due: datetime) -> Mapping[str, Any]:
    text = f"A test post of Roost, due at {due:%Y-%m-%d %H:%M:%S} UTC."
    value = [{"content": text, "image": []}]
    return {
        "type": "schedule",
        "date": due.isoformat(),
        "shortLink": False,
        "tags": [],
        "posts": [{"integration": {"id": channel_id}, "value": value}],
    }


def _call(api: httpx.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    answer = api.request(method, path, json=body)
    if not answer.is_success:
        raise StepFailed(f"{method} {path} answered {answer.status_code} {answer.text[:500]}")
    return answer.json()

"""The caller of the functions: a member of an organization with channels, through each function's real handler."""

import importlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from benchmarks.surroundings import http_event
from shared.core.ids import ChannelId, OrganizationId
from shared.db.session import engine, unit_of_work
from tests.builders import a_channel, a_member, a_post, an_organization
from tests.gateway import as_member, by_key

# The calendar month of the measurements, with as many posts as a busy team has.
MONTH_POSTS = 300
MONTH = (datetime(2031, 3, 1, tzinfo=UTC), datetime(2031, 3, 31, tzinfo=UTC))
_MONTH_QUERY = f"startDate={MONTH[0]:%Y-%m-%d}&endDate={MONTH[1]:%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in member, their organization's channels, and the headers that authenticate them."""

    organization_id: OrganizationId
    channel_ids: Sequence[ChannelId]
    headers: dict[str, str]
    key_headers: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def month(self) -> dict[str, Any]:
        """Request the month."""
        return http_event("GET", "/posts", headers=self.headers, query=_MONTH_QUERY)

    def public_month(self) -> dict[str, Any]:
        """Request the month from the public API."""
        return http_event("GET", "/public/v1/posts", headers=self.key_headers, query=_MONTH_QUERY)

    def nothing(self, *, by_key: bool = False) -> dict[str, Any]:
        """Request a route that looks nothing up, so that only the request context remains."""
        headers = self.key_headers if by_key else self.headers
        return http_event("POST", "/posts/should-shortlink", headers=headers, body="{}")

    def get(self, path: str, *, by_key: bool = False) -> dict[str, Any]:
        """Send a GET request."""
        return http_event("GET", path, headers=self.key_headers if by_key else self.headers)

    def compose(self, **options: Any) -> dict[str, Any]:
        """Compose a post, see `_draft`."""
        return self._compose("/posts", self.headers, **options)

    def public_compose(self, **options: Any) -> dict[str, Any]:
        """Compose a post through the public API, see `_draft`."""
        return self._compose("/public/v1/posts", self.key_headers, **options)

    def _compose(
        self, path: str, headers: dict[str, str], *, key: str = "", **options: Any
    ) -> dict[str, Any]:
        number = next(self._numbers)
        also = {"idempotency-key": f"{key}{number}"} if key else {}
        body = json.dumps(self._draft(number, **options))
        return http_event("POST", path, headers=headers | also, body=body)

    def _draft(
        self, number: int, *, channels: int = 1, parts: int = 1, tags: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Make a unique post, five minutes ahead."""
        when = datetime.now(UTC) + timedelta(minutes=5)
        value = [{"content": f"Post {number}, part {part}", "image": []} for part in range(parts)]
        return {
            "type": "schedule",
            "date": when.isoformat(),
            "tags": [{"value": tag, "label": tag} for tag in tags],
            "posts": [
                {"integration": {"id": str(one)}, "value": value}
                for one in self.channel_ids[:channels]
            ],
        }

    def bare(self) -> dict[str, Any]:
        """Request the organization's name from the bare route."""
        return http_event("GET", f"/organizations/{self.organization_id}", headers={})


def a_caller(*, channels: int, posts: int) -> Caller:
    """Store an organization with channels, and with posts in the month."""
    app = importlib.import_module("functions.root.app").app  # any path: only the headers are used
    with unit_of_work() as session:
        organization = an_organization(session)
        member = a_member(session, organization)
        made = [a_channel(session, organization, name=f"Channel {n}") for n in range(channels)]
        step = (MONTH[1] - MONTH[0]) / max(1, posts)
        for number in range(posts):
            a_post(session, made[number % channels], publish_at=MONTH[0] + number * step)
        return Caller(
            organization.id,
            [channel.id for channel in made],
            as_member(app, session, member).headers,
            by_key(app, session, member).headers,
        )


def call(function: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call a function's handler with an event. Any answer but a success is an error of the measurement."""
    module = importlib.import_module(f"functions.{function}.app")
    return succeeded(module.handler(event, None))


def succeeded(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["statusCode"] >= 300:
        raise RuntimeError(f"{answer['statusCode']}: {answer.get('body')}")
    return answer


def backend() -> int:
    """Return the id of the database process that serves this process's only connection."""
    with engine().connect() as connection:
        return int(connection.execute(text("select pg_backend_pid()")).scalar_one())


def forget_rates() -> None:
    """Reset the rate limits, so that they do not stop a measurement."""
    with unit_of_work() as session:
        session.execute(text("truncate rate_limits"))

"""What a program may ask of the clock, and what is refused."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from local import database_clock
from local.clock import SharedOffset, follow
from local.clock_requests import LONGEST, WithClock
from local.walk import Busy, MovableClock, is_loopback
from shared.core import clock
from shared.db.session import unit_of_work
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_channel, a_post, an_organization

HEADER = {"x-roost-clock": "1"}
HOME = {"mastodon": "http://127.0.0.1:3001"}
DAY = timedelta(days=1)


class _Timers:
    """Timers without a schedule."""

    is_busy = False

    def wake(self) -> None: ...
    def next_moment(self) -> None: ...
    def fire_thinned(self) -> None: ...
    def thinned(self, _apart: timedelta) -> Any:
        return contextlib.nullcontext()


@pytest.fixture
def told() -> list[timedelta]:
    return []


@pytest.fixture
def movable(
    database_url: str, committed: object, tmp_path: Path, told: list[timedelta]
) -> Iterator[MovableClock]:
    offset = SharedOffset(tmp_path / "clock")
    follow(offset)
    timers: Any = _Timers()
    yield MovableClock(
        offset, database_url, Busy(timers, [], [], []), own_addresses=HOME, moved=told.append
    )
    clock.read_from(clock.machine_time)
    with database_clock.opened(database_url) as database:
        database.move(timedelta())


@pytest.fixture
def client(movable: MovableClock) -> TestClient:
    return TestClient(WithClock(PlainTextResponse("the sandbox"), movable))


def database_time(database_url: str) -> Any:
    with database_clock.opened(database_url) as database:
        return database.rows("select now()")[0][0]


class TestMoves:
    def test_jump_moves_the_database_and_this_process(
        self, client: TestClient, database_url: str, told: list[timedelta]
    ) -> None:
        before = clock.now()
        answer = client.post("/_clock", json={"jump": "P40D"}, headers=HEADER)
        assert (answer.status_code, answer.json()["arrived"]) == (200, True)
        for now in (clock.now(), database_time(database_url)):
            assert abs(now - before - 40 * DAY) < timedelta(minutes=1)
        assert client.get("/_clock").json()["offsetSeconds"] == told[-1].total_seconds()

    def test_walk_stops_at_each_post_and_before_one_without_a_message(
        self, client: TestClient
    ) -> None:
        now = clock.now()
        with unit_of_work() as session:
            channel = a_channel(session, an_organization(session), named_host="127.0.0.1")
            a_post(session, channel, publish_at=now + DAY, enqueued_at=now)
            a_post(session, channel, publish_at=now + 2 * DAY)
            a_post(session, channel, publish_at=now + 3 * DAY, state=PostState.DRAFT)
            assert session.get(
                Post, a_post(session, channel, publish_at=now - DAY, enqueued_at=now).id
            )
        answer = client.post("/_clock", json={"advance": 4 * 86400}, headers=HEADER).json()
        assert (answer["steps"], answer["arrived"]) == (4, True)

    def test_walk_ends_after_the_stated_steps(self, client: TestClient) -> None:
        now = clock.now()
        with unit_of_work() as session:
            channel = a_channel(session, an_organization(session), named_host="127.0.0.1")
            for days in (1, 2, 3):
                a_post(session, channel, publish_at=now + days * DAY, enqueued_at=now)
        body = {"advance": "P4D", "steps": 2}
        answer = client.post("/_clock", json=body, headers=HEADER).json()
        assert (answer["steps"], answer["arrived"]) == (2, False)
        assert abs(clock.now() - now - 2 * DAY) < timedelta(minutes=1)

    def test_other_addresses_are_the_sandboxs(self, client: TestClient) -> None:
        assert client.get("/_faults").text == "the sandbox"


class TestRefusals:
    @pytest.mark.parametrize("header", [{}, {"x-roost-clock": "0"}])
    @pytest.mark.parametrize("kind", ["advance", "jump"])
    def test_without_the_header(
        self, client: TestClient, kind: str, header: dict[str, str]
    ) -> None:
        answer = client.post("/_clock", json={kind: "PT1S"}, headers=header)
        assert answer.status_code == 403
        assert "X-Roost-Clock: 1" in answer.json()["error"]
        assert client.get("/_clock").json()["offsetSeconds"] == 0

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (b"", "body"),
            (b"[]", "body"),
            (b'{"advance": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
            (b"{}", "advance"),
            (b'{"advance": 1, "jump": 1}', "advance"),
            (b'{"advance": "forty"}', "advance"),
            (b'{"advance": null}', "advance"),
            (b'{"advance": true}', "advance"),
            (b'{"jump": NaN}', "jump"),
            (b'{"jump": 1e400}', "jump"),
            (b'{"jump": 0}', "jump"),
            (b'{"jump": "-P1D"}', "jump"),
            (b'{"jump": "P3661D"}', "jump"),
            (b'{"jump": 1, "steps": 5}', "steps"),
            (b'{"advance": 1, "steps": 0}', "steps"),
            (b'{"advance": 1, "steps": true}', "steps"),
            (b'{"advance": 1, "steps": 100001}', "steps"),
            (b'{"advance": 1, "until": 5}', "until"),
        ],
    )
    def test_field_and_remedy_are_named(self, client: TestClient, body: bytes, field: str) -> None:
        answer = client.post("/_clock", content=body, headers=HEADER)
        assert answer.status_code == 422
        (problem,) = answer.json()["problems"]
        assert problem["field"] == field
        assert any(word in problem["message"] for word in ("Send", "Leave it out"))
        assert client.get("/_clock").json()["offsetSeconds"] == 0

    def test_further_than_the_clock_goes_in_all(self, client: TestClient) -> None:
        most = {"jump": LONGEST.total_seconds()}
        assert client.post("/_clock", json=most, headers=HEADER).is_success
        answer = client.post("/_clock", json={"jump": 60}, headers=HEADER)
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "jump")

    @pytest.mark.parametrize("kind", ["advance", "jump"])
    @pytest.mark.parametrize(
        ("channel", "names"),
        [
            ({"provider": "x"}, "x"),
            ({"provider": "mastodon-custom", "named_host": "mastodon.social"}, "mastodon.social"),
            (
                {"provider": "mastodon-custom", "named_host": "127.0.0.1.example"},
                "127.0.0.1.example",
            ),
        ],
    )
    def test_channel_that_is_not_on_this_machine(
        self, client: TestClient, channel: dict[str, Any], names: str, kind: str
    ) -> None:
        with unit_of_work() as session:
            a_channel(session, an_organization(session), **channel)
        answer = client.post("/_clock", json={kind: "P1D"}, headers=HEADER)
        assert answer.status_code == 409
        assert names in answer.json()["error"]
        assert "ROOST_HOME" in answer.json()["error"]
        assert client.get("/_clock").json()["offsetSeconds"] == 0

    @pytest.mark.parametrize(
        "channel",
        [
            {"provider": "mastodon"},
            {"provider": "mastodon-custom", "named_host": "127.0.0.1"},
            {"provider": "mastodon-custom", "named_host": "localhost"},
            {"provider": "x", "disconnected_at": clock.now()},
            {"provider": "x", "deleted_at": clock.now()},
        ],
    )
    def test_channels_that_do_not_matter(self, client: TestClient, channel: dict[str, Any]) -> None:
        with unit_of_work() as session:
            a_channel(session, an_organization(session), **channel)
        assert client.post("/_clock", json={"jump": "P1D"}, headers=HEADER).is_success

    def test_channel_that_is_connected_in_the_middle_of_a_walk(
        self, client: TestClient, movable: MovableClock
    ) -> None:
        def connect() -> None:
            with unit_of_work() as session:
                a_channel(session, an_organization(session), provider="x")

        def soon() -> Any:
            connect()
            return clock.now() + DAY

        busy: Any = movable._busy
        movable._busy = Busy(busy.timers, [], [], [soon])
        answer = client.post("/_clock", json={"advance": "P4D"}, headers=HEADER)
        assert answer.status_code == 409
        assert client.get("/_clock").json()["offsetSeconds"] < 2 * DAY.total_seconds()

    def test_second_move_at_the_same_time(self, client: TestClient, movable: MovableClock) -> None:
        with movable._taken():
            answer = client.post("/_clock", json={"jump": "P1D"}, headers=HEADER)
        assert (answer.status_code, "Try again" in answer.json()["error"]) == (409, True)

    def test_other_methods(self, client: TestClient) -> None:
        answer = client.delete("/_clock")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
        ("10.0.0.1", False), ("localhost.example", False), ("", False), (None, False),
    ],
)  # fmt: skip
def test_loopback(host: str | None, found: bool) -> None:
    assert is_loopback(host) is found

"""Does the demo by an address publish on the channel that is named, and on no other, and say what went wrong?"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import boto3
import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from functions.public_api.app import app
from local import demo_remote
from local.demo_remote import KEY, MAX_LATE, choose, publish
from local.newcomer import StepFailed
from shared.channels.models import Channel
from shared.organizations.models import Member
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from tests.builders import a_channel, a_member, an_organization
from tests.conftest import Configure
from tests.gateway import Transport, by_key

DUE = datetime.now(UTC)  # that a published post has a time; which one is not looked at


@pytest.fixture
def member(session: Session, aws: None, configure: Configure) -> Member:
    sqs = boto3.client("sqs")
    configure(PUBLISH_QUEUE_URL=sqs.create_queue(QueueName="publish")["QueueUrl"])
    return a_member(session, an_organization(session))


@pytest.fixture
def channels(session: Session, member: Member) -> list[Channel]:
    organization_id = member.organization_id
    first, second = (
        a_channel(session, an_organization(session), name=name) for name in ("Quiet", "Loud")
    )
    session.execute(update(Channel).values(organization_id=organization_id))
    return [first, second]


@pytest.fixture
def api(session: Session, member: Member) -> httpx.Client:
    gateway = by_key(app, session, member)
    return httpx.Client(
        base_url="https://roost.example", headers=gateway.headers, transport=Transport(gateway)
    )


class Clock:
    """Time that passes only where the demo waits, and what happens meanwhile."""

    def __init__(self, meanwhile: Callable[[datetime], None]) -> None:
        self.at, self._meanwhile = datetime.now(UTC), meanwhile

    def now(self) -> datetime:
        return self.at

    def pause(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self._meanwhile(self.at)


def _ends(
    session: Session, state: PostState, *, after: timedelta = timedelta(0), **columns: object
) -> Callable[[datetime], None]:
    def meanwhile(at: datetime) -> None:
        due = session.query(Post).one().publish_at
        if at >= due + after:
            for between in (PostState.PUBLISHING, state):
                session.execute(update(Post).values(state=between, **columns))

    return meanwhile


class TestPublish:
    def test_one_post_on_the_named_channel(
        self, session: Session, channels: list[Channel], api: httpx.Client,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        """Finding 7.14: nothing tried whether a deployment publishes."""
        address = "https://social.example/@ada/1"
        clock = Clock(
            _ends(
                session, PostState.PUBLISHED, published_at=DUE, release_id="1", release_url=address
            )
        )
        assert publish(api, "Loud", now=clock.now, pause=clock.pause) == 0
        assert session.query(Post).one().channel_id == channels[1].id
        assert address in capsys.readouterr().out

    def test_a_post_that_fails_is_a_failure(
        self, session: Session, channels: list[Channel], api: httpx.Client,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        clock = Clock(_ends(session, PostState.FAILED, error_message="Too long."))
        assert publish(api, str(channels[0].id), now=clock.now, pause=clock.pause) == 1
        assert "is ERROR. Too long. GET /posts/" in capsys.readouterr().out

    def test_a_late_post_is_a_failure(
        self, session: Session, channels: list[Channel], api: httpx.Client
    ) -> None:
        meanwhile = _ends(
            session, PostState.PUBLISHED, after=MAX_LATE + timedelta(seconds=5), published_at=DUE, release_id="1",
            release_url="https://social.example/@ada/1",
        )  # fmt: skip
        clock = Clock(meanwhile)
        assert publish(api, "Quiet", now=clock.now, pause=clock.pause) == 1

    def test_a_post_that_never_ends_is_given_up(
        self, channels: list[Channel], api: httpx.Client
    ) -> None:
        clock = Clock(lambda _at: None)
        assert publish(api, "Quiet", now=clock.now, pause=clock.pause) == 1

    @pytest.mark.parametrize(
        ("wanted", "said"),
        [("", "CHANNEL is missing"), ("Nobody", "No channel has the id or name 'Nobody'")],
    )
    def test_no_channel_is_chosen_by_itself(
        self, session: Session, channels: list[Channel], api: httpx.Client, wanted: str, said: str
    ) -> None:
        with pytest.raises(StepFailed, match=said) as refused:
            publish(api, wanted)
        assert str(channels[0].id) in str(refused.value)
        assert session.query(Post).count() == 0

    def test_a_wrong_key_is_told(self, channels: list[Channel], api: httpx.Client) -> None:
        api.headers["authorization"] = "roost_nobody"
        with pytest.raises(StepFailed, match="answered 401"):
            publish(api, "Quiet")


def test_two_channels_of_one_name_need_an_id() -> None:
    alike = [{"id": str(n), "name": "Ada", "identifier": "mastodon"} for n in range(2)]
    with pytest.raises(StepFailed, match="2 channels are named 'Ada'"):
        choose(alike, "Ada")
    assert choose(alike, "1")["id"] == "1"


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(StepFailed, match=f"{KEY} is missing"):
        demo_remote.main("https://roost.example", "Ada")

"""The world of the publishing tests, on real commits."""

from collections import deque
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from tests.fakes.platform import fake_platform
from tests.shared.publishing.world import PUBLISH, STAGE, World, a_world


@pytest.fixture
def world(
    committed: Engine, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    configure(
        PUBLISH_QUEUE_URL=PUBLISH,
        STAGE_QUEUE_URL=STAGE,
        MEDIA_PUBLIC_URL="https://media.example",
        MAIL_TRANSPORT="none",
        DATABASE_POOL_SIZE=8,
    )
    monkeypatch.setattr("shared.publishing.warm._sent", deque(maxlen=64))
    with (
        fake_platform(monkeypatch) as platform,
        a_world(committed, platform, monkeypatch) as world,
    ):
        yield world

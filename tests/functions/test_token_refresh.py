"""The token_refresh function, called as its schedule does."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import respx
from sqlalchemy import func
from sqlalchemy.orm import Session

from functions.token_refresh.app import handler
from tests.builders import an_organization
from tests.conftest import Configure
from tests.shared.channels.builders import (
    BLUESKY,
    a_bluesky_channel,
    new_session,
    set_up_platforms,
)

EVENT = json.loads(Path("events/scheduled_rate.json").read_text())


@dataclass
class Context:
    function_name: str = "token_refresh"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:token_refresh"
    aws_request_id: str = "a-request"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture(autouse=True)
def _aws(aws: None, configure: Configure) -> None:
    set_up_platforms(configure)


def test_tokens_that_end_soon_are_renewed(session: Session, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(f"{BLUESKY}/xrpc/com.atproto.server.refreshSession").mock(
        return_value=new_session()
    )
    channel = a_bluesky_channel(
        session,
        an_organization(session),
        token_expires_at=func.now() + timedelta(minutes=1),
    )
    assert handler(EVENT, Context()) == {"renewed": 1}
    session.refresh(channel)
    assert channel.token_version == 2

"""The publisher against the sandbox that behaves like other software, or breaks off: how many statuses are there in the end?"""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from local.sandbox import gate
from local.sandbox.app import Sandbox, make_sandbox
from local.sandbox.faults import Action, ConnectionDropped, Fault, Kind, Trait
from shared.channels import connection
from shared.providers.http import AppCredentials
from tests.builders import a_channel, a_post, an_organization
from tests.fakes.in_process import InProcess
from tests.shared.publishing.world import World

URL = "http://sandbox.test"
SCOPES = ["read", "write"]
TWO_HOURS = 2 * 3600.0


class Caller(InProcess):
    """Sees a dropped connection as a program at a socket does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return super().handle_request(request)
        except ConnectionDropped as error:
            raise httpx.RemoteProtocolError(str(error)) from error


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    async def longer_than_anybody_waits(_request: object, seconds: float) -> None:
        raise httpx.ReadTimeout(f"There is no answer for {seconds} s.")

    opened = make_sandbox(tmp_path, public_url=URL)
    with httpx.Client(transport=Caller(opened)) as client:
        monkeypatch.setattr(gate, "_hold", longer_than_anybody_waits)
        monkeypatch.setattr(connection, "http_client", lambda _spec: client)
        monkeypatch.setattr(
            connection, "our_application", lambda _spec: AppCredentials("id", "secret")
        )
        yield opened
    opened.close()


def publish_two(world: World, sandbox: Sandbox) -> tuple[Counter[str], list[str]]:
    """Publish a post and the reply to it; return how often each text is on the server, and the states of the parts."""
    account = sandbox.ensure_account("ada")
    program = sandbox.ensure_client("Roost", redirect_uris=[f"{URL}/back"], scopes=SCOPES)
    token = sandbox.issue_token(account, program)
    with Session(world.engine, expire_on_commit=False) as session, session.begin():
        channel = a_channel(
            session,
            an_organization(session),
            provider="mastodon-custom",
            remote_id=f"{account.id}@sandbox.test",
            sealed_token=token.encode(),
            details=json.dumps({"base": URL, "clientId": "a", "clientSecret": "b"}).encode(),
        )
        root = a_post(session, channel, publish_at=datetime.now(UTC), content="<p>one</p>")
        a_post(session, channel, parent=root, content="<p>two</p>")
    world.run(until=TWO_HOURS)
    sandbox.network.faults.clear()
    with httpx.Client(base_url=URL, transport=InProcess(sandbox)) as client:
        listed = client.get(
            f"/api/v1/accounts/{account.id}/statuses", headers={"Authorization": f"Bearer {token}"}
        )
    return Counter(status["content"] for status in listed.json()), world.states(root.id)


ONE_EACH = Counter({"<p>one</p>": 1, "<p>two</p>": 1})


class TestSandboxAsServer:
    @pytest.mark.parametrize("traits", [[], [Trait.NO_KEYS]], ids=["keys", "no keys"])
    @pytest.mark.parametrize(
        "action", [action for action in Action if action.carries_out], ids=lambda action: action
    )
    def test_an_answer_that_is_lost_makes_no_second_status(
        self, world: World, sandbox: Sandbox, traits: list[Trait], action: Action
    ) -> None:
        """Finding 1.1: two statuses within 0.1 s at a server without keys, four after three lost answers."""
        for trait in traits:
            sandbox.network.faults.become(trait)
        sandbox.network.faults.add(Fault(kind=Kind.STATUSES, action=action, count=3))
        assert publish_two(world, sandbox) == (ONE_EACH, ["published", "published"])

    @pytest.mark.parametrize("traits", [[], [Trait.NO_KEYS]], ids=["keys", "no keys"])
    def test_a_server_that_never_answers_gets_each_part_once(
        self, world: World, sandbox: Sandbox, traits: list[Trait]
    ) -> None:
        """Finding 1.1b: five statuses, then `unconfirmed`."""
        for trait in [Trait.SLOW, *traits]:
            sandbox.network.faults.become(trait)
        assert publish_two(world, sandbox) == (ONE_EACH, ["published", "published"])

    def test_a_lost_request_is_sent_again_where_keys_are_kept(
        self, world: World, sandbox: Sandbox
    ) -> None:
        sandbox.network.faults.add(Fault(kind=Kind.STATUSES, action=Action.DROP_BEFORE))
        assert publish_two(world, sandbox) == (ONE_EACH, ["published", "published"])

    def test_a_lost_request_is_not_sent_again_where_none_are(
        self, world: World, sandbox: Sandbox
    ) -> None:
        sandbox.network.faults.become(Trait.NO_KEYS)
        sandbox.network.faults.add(Fault(kind=Kind.STATUSES, action=Action.DROP_BEFORE))
        assert publish_two(world, sandbox) == (Counter(), ["unconfirmed", "queued"])

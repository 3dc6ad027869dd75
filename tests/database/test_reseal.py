"""Whether everything that is sealed is sealed again, and nothing newer is overwritten."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, LargeBinary, select, text
from sqlalchemy.orm import Session

from shared.channels.models import Channel, OAuthState
from shared.core.crypto import CannotOpen, Purpose
from shared.core.ids import ChannelId, new_id
from shared.db import reseal as module
from shared.db.all_models import Base
from shared.db.reseal import Position, Resealed, reseal, sealed_columns
from shared.db.session import engine
from shared.db.types import Sealed
from shared.webhooks.models import Webhook
from tests.builders import a_channel, a_user, an_organization

# Binary columns whose values are not secrets that can be read: hashes and random seeds.
NOT_SEALED = ("hash", "seed", "credential_id", "public_key")  # no secrets


def test_every_binary_column_is_a_hash_or_listed_as_sealed() -> None:
    listed = {each.name for each in sealed_columns()}
    assert listed == {
        "channels.access_token",
        "channels.details",
        "channels.refresh_token",
        "company_logins.client_secret",
        "factors.secret",
        "oauth_states.remember",
        "webhooks.previous_secret",
        "webhooks.secret",
    }
    for table in Base.metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, LargeBinary) and not isinstance(column.type, Sealed):
                assert column.name.endswith(NOT_SEALED), f"{table.name}.{column.name}"


def sealed(plain: str, purpose: Purpose, owner: UUID, *, version: str = "old") -> bytes:
    return f"{version}|{purpose}|{owner}|{plain}".encode()


def seal(plain: str, purpose: Purpose, owner: UUID) -> bytes:
    return sealed(plain, purpose, owner, version="new")


def open_sealed(value: bytes, purpose: Purpose, owner: UUID) -> str:
    _version, *bound, plain = value.decode().split("|")
    if bound != [purpose.value, str(owner)]:
        raise CannotOpen("bound otherwise")
    return plain


@pytest.fixture
def session(committed: Engine) -> Iterator[Session]:
    with Session(committed) as opened:
        yield opened


def run(session: Session, **changes: Any) -> Resealed:
    session.commit()
    values: dict[str, Any] = {
        "seal": seal,
        "open_sealed": open_sealed,
        "until": time.monotonic() + 60,
    }
    with engine().connect() as connection:
        return reseal(connection, **values | changes)


class TestReseal:
    @pytest.fixture
    def channels(self, session: Session) -> list[Channel]:
        organization = an_organization(session)
        return [
            a_channel(
                session,
                organization,
                sealed_token=sealed(f"token {number}", Purpose.CHANNEL, organization.id),
                details=sealed("{}", Purpose.CHANNEL, organization.id),
            )
            for number in range(5)
        ]

    def test_every_value_has_a_new_key_and_the_same_content(
        self, session: Session, channels: list[Channel]
    ) -> None:
        owner = channels[0].organization_id
        webhook = Webhook(
            id=new_id(), organization_id=owner, name="Zapier", url="https://hooks.example.org/",
            secret=sealed("secret", Purpose.WEBHOOK, owner), previous_secret=None,
        )  # fmt: skip
        state = OAuthState(
            state="s", organization_id=owner, user_id=a_user(session).id, provider="x",
            redirect_uri="", remember=sealed("{}", Purpose.CONNECTING, owner),
            expires_at=text("now()"),
        )  # fmt: skip
        session.add_all([webhook, state])
        session.flush()
        assert run(session) == Resealed(sealed=12)
        for number, channel in enumerate(channels):
            assert channel.access_token == seal(f"token {number}", Purpose.CHANNEL, owner)
            assert channel.details == seal("{}", Purpose.CHANNEL, owner)
            assert channel.refresh_token is None
        assert webhook.secret == seal("secret", Purpose.WEBHOOK, owner)
        assert state.remember == seal("{}", Purpose.CONNECTING, owner)

    def test_goes_on_where_it_stopped(
        self, session: Session, channels: list[Channel], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PAGE", 2)
        position, total, runs = None, 0, 0
        while True:
            done = run(session, start=position, until=0.0)
            total, runs, position = total + done.sealed, runs + 1, done.position
            if position is None:
                break
        assert (total, runs) == (10, 7)
        assert all(channel.access_token.startswith(b"new|") for channel in channels)

    def test_token_that_was_refreshed_meanwhile_stays(
        self, session: Session, channels: list[Channel]
    ) -> None:
        def refreshing(of: ChannelId) -> Callable[[str, Purpose, UUID], bytes]:
            def seal_after(plain: str, purpose: Purpose, owner: UUID) -> bytes:
                if plain == "token 2":
                    change = text("update channels set access_token = 'refreshed' where id = :id")
                    with engine().begin() as another:
                        another.execute(change, {"id": of})
                return seal(plain, purpose, owner)

            return seal_after

        done = run(session, seal=refreshing(channels[2].id))
        assert (done.sealed, done.replaced_meanwhile) == (9, 1)
        assert channels[2].access_token == b"refreshed"

    def test_unreadable_value_is_counted_and_stays(
        self, session: Session, channels: list[Channel]
    ) -> None:
        foreign = sealed("token", Purpose.CHANNEL, new_id())
        channels[1].access_token = foreign
        session.flush()
        done = run(session)
        assert (done.sealed, done.unreadable) == (9, 1)
        assert channels[1].access_token == foreign

    def test_position_of_an_unknown_column_is_refused(self, session: Session) -> None:
        with pytest.raises(ValueError, match=r"There is no sealed column channels\.name"):
            run(session, start=Position("channels.name", ""))
        assert session.scalars(select(Channel)).all() == []

"""The OpenID provider beside the sandbox: whether it starts on demand, and whether Roost signs in with it.

It is also our code's peer that other people wrote (`oidc-provider-mock`).
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from local.clock import SharedOffset
from local.environment import OPENID_CLIENT_ID, OPENID_SECRET
from local.home import listen
from local.on_demand import OnDemand
from local.seed import EMAIL
from shared.core import clock
from shared.identity.errors import LoginDenied, LoginNotProven
from shared.identity.login_providers import peer
from shared.identity.login_providers.base import Answer, Begun, Proven, Start
from shared.identity.login_providers.description import forget_descriptions
from shared.identity.login_providers.keys import forget_keys
from shared.identity.login_providers.openid import OpenIdLogin
from shared.identity.models import LoginProvider
from tests.conftest import Configure

START = Start("state-1", "http://127.0.0.1:3000/auth/oauth/GENERIC/callback")


class Running:
    """A provider that starts on demand, in a thread with a loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.listener = listen(0, what="the OpenID provider", variable="OPENID_PORT")
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.log = folder / "logs" / "openid_provider.log"
        self.offset = SharedOffset(folder / "clock")
        self._on_demand = OnDemand(
            "local.openid_provider",
            ["--clock", str(folder / "clock")],
            listener=self.listener,
            log=self.log,
        )
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._on_demand.run())
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()
        self.listener.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    system = Running(tmp_path_factory.mktemp("openid"))
    yield system
    peer._client().close()  # a kept connection
    peer._client.cache_clear()
    system.close()


@pytest.fixture(autouse=True)
def _loopback(configure: Configure) -> Iterator[None]:
    configure(ALLOW_LOOPBACK_ADDRESSES="true")
    forget_descriptions()
    forget_keys()
    yield
    forget_descriptions()
    forget_keys()


def login_at(running: Running) -> OpenIdLogin:
    return OpenIdLogin(
        provider=LoginProvider.GENERIC,
        name="Mock OpenID",
        issuer=running.url,
        client_id=OPENID_CLIENT_ID,
        client_secret=OPENID_SECRET["OAUTH_CLIENT_SECRET"],
    )


def answered(begun: Begun, **form: str) -> Answer:
    """Press a button on the provider's page, and return what the browser is sent back with."""
    page = httpx.get(begun.url, timeout=30)
    assert OPENID_CLIENT_ID in page.text
    back = httpx.post(begun.url, data=form, timeout=30)
    assert back.status_code == 302
    assert back.headers["location"].startswith(f"{START.redirect_uri}?")
    query = parse_qs(httpx.URL(back.headers["location"]).query.decode())
    found = {name: values[0] for name, values in query.items()}
    if "code" in found:
        assert found["state"] == "state-1"
    return Answer(code=found.get("code", ""), error=found.get("error"))


def sign_in(running: Running, person: str) -> Proven:
    login = login_at(running)
    begun = login.begin(START)
    return login.finish(answered(begun, sub=person), begun.remember)


def test_nothing_runs_before_it_is_needed(tmp_path: Path) -> None:
    system = Running(tmp_path)
    system.close()
    assert not system.log.exists()


class TestSignIn:
    def test_person_is_the_one_that_was_chosen(self, running: Running) -> None:
        assert sign_in(running, "grace") == Proven(
            provider=LoginProvider.GENERIC,
            issuer=running.url,
            subject="grace",
            email="grace@example.com",
            email_verified=True,
            name="Grace Hopper",
        )

    def test_demo_login_has_its_address_there(self, running: Running) -> None:
        proven = sign_in(running, "demo")
        assert (proven.email, proven.email_verified) == (EMAIL, True)

    @pytest.mark.parametrize("person", ["unverified", "new@example.com"])
    def test_address_that_nobody_verified_stays_so(self, running: Running, person: str) -> None:
        proven = sign_in(running, person)
        assert proven.subject == person
        assert proven.email is not None
        assert not proven.email_verified

    def test_who_says_no_is_refused_with_words(self, running: Running) -> None:
        login = login_at(running)
        begun = login.begin(START)
        with pytest.raises(LoginDenied):
            login.finish(answered(begun, action="deny"), begun.remember)

    def test_code_works_once(self, running: Running) -> None:
        login = login_at(running)
        begun = login.begin(START)
        answer = answered(begun, sub="grace")
        login.finish(answer, begun.remember)
        with pytest.raises(LoginNotProven) as refused:
            login.finish(answer, begun.remember)
        assert refused.value.reason == "code"

    def test_id_token_of_another_login_is_refused(self, running: Running) -> None:
        login = login_at(running)
        begun, other = login.begin(START), login.begin(START)
        answer = answered(other, sub="grace")
        with pytest.raises(LoginNotProven) as refused:
            login.finish(answer, begun.remember)
        assert refused.value.reason == "nonce"

    def test_it_follows_the_systems_clock(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ahead = timedelta(days=40)
        running.offset.write(ahead)
        monkeypatch.setattr(clock, "now", lambda: clock.machine_time() + ahead)
        try:
            assert sign_in(running, "grace").subject == "grace"
        finally:
            running.offset.write(timedelta(0))


def test_its_page_lists_the_people(running: Running) -> None:
    page = httpx.get(login_at(running).begin(START).url, timeout=30).text
    assert set(re.findall(r'name="sub" value="(\w+)"', page)) >= {"demo", "grace", "unverified"}

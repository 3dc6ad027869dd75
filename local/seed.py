"""What a newcomer finds: a demo organization with a login, an API key and two connected sandbox channels.

All of it is made through the API, as a member would: registering, the mailed link, connecting by OAuth. Each step looks
first whether it was done, so that a start that was cut short is completed by the next one.
"""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from local.home import CannotStart, write_private

EMAIL = "demo@example.com"
COMPANY = "Roost Demo"
ACCOUNTS = ("wren", "swift")
PROVIDER = "mastodon-custom"
_TIMEOUT_SECONDS = 40.0  # a little more than the gateway's own
_MAIL_SECONDS = 5.0
_ACTIVATION_LINK = re.compile(r"/auth/activate\?code=([\w.~-]+)")


@dataclass(frozen=True, slots=True)
class Demo:
    """How to log in to the demo organization."""

    email: str
    password: str
    organization_id: str
    api_key: str


@dataclass(frozen=True, slots=True)
class SeedContext:
    """The running system's addresses, and the folder where what was made is remembered."""

    home: Path
    api_url: str
    sandbox_url: str
    mail_json_url: str


def seed(context: SeedContext) -> Demo:
    """Make the demo organization, or what of it is missing.

    Raises:
        CannotStart: the API refused a step; the message has its answer.
    """
    memory = _Memory(context.home / "demo.json")
    with httpx.Client(base_url=context.api_url, timeout=_TIMEOUT_SECONDS) as api:
        password = memory.get("password") or memory.put("password", secrets.token_urlsafe(12))
        _sign_in(api, context, password)
        organization_id = str(_call(api, "GET", "/user/self")["orgId"])
        if memory.get("organization") != organization_id:
            key = _call(api, "POST", "/user/api-key", {"name": "Demo"})["key"]
            memory.put("apiKey", key)
            memory.put("organization", organization_id)
        _connect_accounts(api, context.sandbox_url)
    return Demo(EMAIL, password, organization_id, memory.get("apiKey") or "")


class _Memory:
    """A private file that remembers what was made."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._values: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    def put(self, name: str, value: str) -> str:
        self._values[name] = value
        write_private(self._file, json.dumps(self._values, indent=2))
        return value


def _sign_in(api: httpx.Client, context: SeedContext, password: str) -> None:
    """Log in; where that is refused, register and follow the mailed link first."""
    credentials = {"provider": "LOCAL", "email": EMAIL, "password": password}
    if api.post("/auth/login", json=credentials).is_success:
        return
    api.post(
        "/auth/register", json={**credentials, "company": COMPANY}
    )  # refused when it was done before
    _call(api, "POST", "/auth/activate", {"code": _mailed_code(context.mail_json_url)})


def _mailed_code(mail_json_url: str) -> str:
    deadline = time.monotonic() + _MAIL_SECONDS
    while time.monotonic() < deadline:
        for mail in httpx.get(mail_json_url, timeout=_TIMEOUT_SECONDS).json():
            if EMAIL in mail["to"] and (match := _ACTIVATION_LINK.search(mail["text"])):
                return match[1]
        time.sleep(0.1)
    raise CannotStart("The demo account could not be made: no activation mail arrived.")


def _connect_accounts(api: httpx.Client, sandbox_url: str) -> None:
    connected = {
        channel["display"] for channel in _call(api, "GET", "/integrations")["integrations"]
    }
    for account in ACCOUNTS:
        if not any(name and account in name for name in connected):
            _connect(api, sandbox_url, account)


def _connect(api: httpx.Client, sandbox_url: str, account: str) -> None:
    """Connect a sandbox account by OAuth: the person who would allow it in a browser is played here."""
    path = f"/integrations/social/{PROVIDER}"
    address = _call(api, "GET", path, params={"externalUrl": sandbox_url})["url"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    allowed = httpx.post(
        address.partition("?")[0],
        data={**asked, "decision": "allow", "account": account},
        timeout=_TIMEOUT_SECONDS,
    )
    back = {
        name: values[0]
        for name, values in parse_qs(urlsplit(allowed.headers.get("location", "")).query).items()
    }
    if "code" not in back:
        raise CannotStart(
            f"The sandbox did not let the demo connect {account}: {allowed.status_code} {allowed.text[:300]}"
        )
    _call(
        api,
        "POST",
        f"{path}/connect",
        {"state": back["state"], "code": back["code"], "timezone": "UTC"},
    )


def _call(
    api: httpx.Client,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    params: Mapping[str, str] | None = None,
) -> Any:
    answer = api.request(method, path, json=body, params=params)
    if not answer.is_success:
        raise CannotStart(
            f"The demo could not be made: {method} {path} answered {answer.status_code} {answer.text[:500]}"
        )
    return answer.json()

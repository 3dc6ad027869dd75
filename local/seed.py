"""Creates the demo organization: an owner, a member with a second factor, an API key and two connected sandbox channels.

Everything is created through the API, as by a member: registration, the emailed link, connecting by OAuth. Each step first
checks whether it is already done, so the next start completes an interrupted one.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp

from local.home import CannotStart, write_private
from local.newcomer import Newcomer, StepFailed
from shared.core import clock

EMAIL = "demo@example.com"
MEMBER_EMAIL = "member@example.com"
COMPANY = "Roost Demo"
ACCOUNTS = ("wren", "swift")


@dataclass(frozen=True, slots=True)
class DemoMember:
    """How to log in as the member who has an authenticator app; `totp_secret` is the app's."""

    email: str
    password: str
    totp_secret: str


@dataclass(frozen=True, slots=True)
class Demo:
    """How to log in to the demo organization."""

    email: str
    password: str
    organization_id: str
    api_key: str
    member: DemoMember


@dataclass(frozen=True, slots=True)
class SeedContext:
    """The running system's addresses, and the folder that remembers what was created."""

    home: Path
    api_url: str
    sandbox_url: str
    mail_json_url: str


def seed(context: SeedContext) -> Demo:
    """Create the demo organization, or its missing parts.

    Raises:
        CannotStart: the API refused a step; the message has its answer.
    """
    memory = _Memory(context.home / "demo.json")
    try:
        with _newcomer(context) as me, _newcomer(context) as invited:
            return _seed(me, invited, memory)
    except StepFailed as error:
        raise CannotStart(f"The demo organization could not be created. {error}") from error


def _newcomer(context: SeedContext) -> Newcomer:
    return Newcomer(
        context.api_url, sandbox_url=context.sandbox_url, mail_json_url=context.mail_json_url
    )


def _seed(me: Newcomer, invited: Newcomer, memory: "_Memory") -> Demo:
    password = memory.get("password") or memory.put("password", secrets.token_urlsafe(12))
    if not me.log_in(EMAIL, password):
        me.register(EMAIL, password, COMPANY)
    organization_id = str(me.call("GET", "/user/self")["orgId"])
    if memory.get("organization") != organization_id:
        memory.put("apiKey", me.call("POST", "/user/api-key", {"name": "Demo"})["key"])
        memory.put("organization", organization_id)
    known = [
        channel["display"] or "" for channel in me.call("GET", "/integrations")["integrations"]
    ]
    for account in ACCOUNTS:
        if not any(account in name for name in known):
            me.connect(account)
    member = _member(me, invited, memory)
    return Demo(EMAIL, password, organization_id, memory.get("apiKey") or "", member)


def _member(me: Newcomer, invited: Newcomer, memory: "_Memory") -> DemoMember:
    """Invite a member, who registers and adds an authenticator app."""
    password = memory.get("memberPassword") or memory.put(
        "memberPassword", secrets.token_urlsafe(12)
    )
    if not memory.get("memberIsReady"):
        if not invited.log_in(MEMBER_EMAIL, password):
            invitation = {"email": MEMBER_EMAIL, "role": "USER", "sendEmail": False}
            url = me.call("POST", "/settings/team", invitation)["url"]
            token = parse_qs(urlsplit(url).query)["org"][0]
            invited.register(MEMBER_EMAIL, password, invitation=token)
        # Without a session, the app was added already and only this note of it is missing.
        if invited.is_signed_in():
            begun = invited.call("POST", "/user/factors", {"name": "Demo app"})
            secret = memory.put("memberSecret", begun["secret"])
            code = {"code": pyotp.TOTP(secret).at(clock.now())}
            invited.call("POST", f"/user/factors/{begun['id']}/confirm", code)
        memory.put("memberIsReady", "yes")
    return DemoMember(MEMBER_EMAIL, password, memory.get("memberSecret") or "")


class _Memory:
    """A private file that remembers what was created."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._values: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    def put(self, name: str, value: str) -> str:
        self._values[name] = value
        write_private(self._file, json.dumps(self._values, indent=2))
        return value

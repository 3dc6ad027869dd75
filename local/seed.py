"""Creates the demo organization: a login, an API key and two connected sandbox channels.

Everything is created through the API, as by a member: registration, the emailed link, connecting by OAuth. Each step first
checks whether it is already done, so the next start completes an interrupted one.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from local.home import CannotStart, write_private
from local.newcomer import Newcomer, StepFailed

EMAIL = "demo@example.com"
COMPANY = "Roost Demo"
ACCOUNTS = ("wren", "swift")


@dataclass(frozen=True, slots=True)
class Demo:
    """How to log in to the demo organization."""

    email: str
    password: str
    organization_id: str
    api_key: str


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
        with Newcomer(
            context.api_url, sandbox_url=context.sandbox_url, mail_json_url=context.mail_json_url
        ) as me:
            return _seed(me, memory)
    except StepFailed as error:
        raise CannotStart(f"The demo organization could not be created. {error}") from error


def _seed(me: Newcomer, memory: "_Memory") -> Demo:
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
    return Demo(EMAIL, password, organization_id, memory.get("apiKey") or "")


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

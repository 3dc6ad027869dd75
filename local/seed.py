"""What a newcomer finds: a demo organization with a login, an API key and two connected sandbox channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.sandbox.app import Sandbox


@dataclass(frozen=True, slots=True)
class Demo:
    """How to log in to the demo organization."""

    email: str
    password: str
    organization_id: str
    api_key: str


@dataclass(frozen=True, slots=True)
class SeedContext:
    """What seeding may use: the running system's addresses, and what its functions are told."""

    home: Path
    api_url: str
    sandbox_url: str
    mail_json_url: str
    database_url: str
    environment: Mapping[str, str]
    sandbox: Sandbox


def seed(context: SeedContext) -> Demo:
    """Make the demo organization, unless this home has one."""
    return Demo("demo@roost.localhost", "x", "", "")

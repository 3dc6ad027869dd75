"""Starts a new provider: writes its file and its tests, and leaves open what only a person can fill in.

python -m local.new_provider example

The files fail the checks until the table is filled in and `publish` is written, so that an unfinished provider
cannot pass for a finished one.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_PLATFORM = '''"""{name}. Source: FILL IN THE ADDRESS, read YEAR-MONTH.

Quirks: FILL IN what surprises; what the platform promises about repeated requests.
"""

from collections.abc import Mapping

from shared.providers.base import Account, OutgoingPost, Released
from shared.providers.http import Api
from shared.providers.oauth import OAuth2Provider
from shared.providers.spec import OAuth2, ProviderSpec, TextRules


class {cls}(OAuth2Provider):
    """FILL IN what a channel of it is."""

    spec = ProviderSpec(
        slug="{slug}",
        name="{name}",
        docs_url="FILL IN",
        auth=OAuth2(
            authorize_url="FILL IN",
            token_url="FILL IN",
            scopes=(),
            client_id_setting="{setting}_CLIENT_ID",
            client_secret_setting="{setting}_CLIENT_SECRET",
        ),
        text=TextRules(max_length=0),
        base_url="FILL IN",
    )

    def account(self, api: Api) -> Account:
        """Read whose token it is."""
        me = api.read(api.request("GET", "FILL IN", headers=_bearer(api)), "id")
        return Account(remote_id=str(me["id"]), name=me["name"])

    def publish(self, api: Api, post: OutgoingPost) -> Released:
        """Create the post."""
        answer = api.request("POST", "FILL IN", json={{"text": post.text}}, headers=_bearer(api), irrevocable=True)
        created = api.read(answer, "id", "url")
        return Released(id=str(created["id"]), url=created["url"])


def _bearer(api: Api) -> Mapping[str, str]:
    return {{"Authorization": f"Bearer {{api.access.access_token}}"}}
'''

_TESTS = """import json

import pytest
import respx

from shared.providers.base import Released
from shared.providers.platforms.{module} import {cls}
from tests.providers.builders import a_post, an_api
from tests.providers.conftest import sample


class TestPublish:
    def test_creates_the_post_and_says_where_it_is(self, platform: respx.MockRouter) -> None:
        route = platform.post("FILL IN").mock(sample("{slug}", "created"))
        released = {cls}().publish(an_api({cls}()), a_post("The owls are back."))
        assert released == Released(id="FILL IN", url="FILL IN")
        assert json.loads(route.calls.last.request.content) == {{"text": "The owls are back."}}
"""


class CannotBegin(Exception):
    """The name cannot be used; the message says why."""


def begin(slug: str, *, root: Path = ROOT) -> list[Path]:
    """Write the provider's files below `root` and return them.

    Raises:
        CannotBegin: the slug is invalid, or the provider already exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        raise CannotBegin(
            "Give a slug of small letters, digits and single hyphens: make new-provider slug=example"
        )
    module = slug.replace("-", "_")
    words = {
        "slug": slug,
        "module": module,
        "setting": module.upper(),
        "cls": "".join(word.capitalize() for word in slug.split("-")),
        "name": " ".join(word.capitalize() for word in slug.split("-")),
    }
    files = {
        root / "shared/providers/platforms" / f"{module}.py": _PLATFORM.format(**words),
        root / "tests/providers" / f"test_{module}.py": _TESTS.format(**words),
        root / "tests/providers/samples" / slug / "created.json": "{}\n",
    }
    if taken := [path for path in files if path.exists()]:
        raise CannotBegin(f"There is {taken[0].relative_to(root)} already.")
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return list(files)


def main(arguments: Sequence[str]) -> int:
    """Start the provider that the argument names, print the next steps, and return the exit status."""
    try:
        written = begin(arguments[0] if len(arguments) == 1 else "")
    except CannotBegin as refused:
        print(refused, file=sys.stderr)
        return 1
    for path in written:
        print(f"wrote {path.relative_to(ROOT)}")
    slug = arguments[0]
    print("\nNext, as docs/adding-a-provider.md says:")
    print("  1. fill in the table and write what is open;")
    print("  2. record the platform's answers, redacted, in place of the sample;")
    print(f'  3. add "{slug}" to PROVIDERS in shared/providers/registry.py;')
    print("  4. make docs, and make test and make test-broad ARGS=tests/providers.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

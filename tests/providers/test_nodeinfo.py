"""What a server runs, where its instance document does not say it clearly: the answer of its NodeInfo document."""

from typing import Any

import pytest
import respx

from shared.core import clock
from shared.providers.families.mastodon_api.software import (
    KEEPS_NONE,
    MASTODON,
    NOT_READ,
    NoPromise,
    Software,
    promise_of,
    software_of,
)
from shared.providers.platforms.mastodon import MastodonCustom
from shared.providers.spec import IdempotencyForm
from tests.providers.builders import an_access, an_api

HOST = "https://mastodon.social"
LIMITS = {"statuses": {"max_characters": 500}}
SCHEMA = "http://nodeinfo.diaspora.software/ns/schema/"
LINKS = {"links": [{"rel": f"{SCHEMA}2.0", "href": f"{HOST}/nodeinfo/2.0"}]}


def read(
    platform: respx.MockRouter,
    document: dict[str, Any],
    *,
    links: Any = LINKS,
    nodeinfo: Any = None,
) -> tuple[str | None, IdempotencyForm]:
    """Read a server; return the name that is kept, and what is promised of keys."""
    platform.get(f"{HOST}/api/v2/instance").respond(json={"configuration": LIMITS, **document})
    if links is not None:
        platform.get(f"{HOST}/.well-known/nodeinfo").respond(json=links)
    if nodeinfo is not None:
        platform.get(f"{HOST}/nodeinfo/2.0").respond(json=nodeinfo)
    provider = MastodonCustom()
    kept = provider.read_server(an_api(provider, access=an_access(details={"base": HOST})))
    assert kept is not None
    return kept["software"], provider.promise(kept, at=clock.now()).form


def says(name: Any, version: Any = "1.0") -> dict[str, Any]:
    return {"version": "2.0", "software": {"name": name, "version": version}}


class TestReadServer:
    """Finding 1.1: a server whose instance document left it open was never asked what it runs."""

    @pytest.mark.parametrize("version", ["0.20.0+git-1a2b3c4", "4.2.0", None])
    def test_another_name_there_is_what_the_server_runs(
        self, platform: respx.MockRouter, version: str | None
    ) -> None:
        """A version of Mastodon's form promised keys, though the server named itself elsewhere."""
        found = read(platform, {"version": version}, nodeinfo=says("GoToSocial", "0.20.0"))
        assert found == ("gotosocial", IdempotencyForm.NONE)

    @pytest.mark.parametrize("name", ["mastodon", "Mastodon", "hometown"])
    def test_mastodon_there_agrees_with_a_version_of_mastodons(
        self, platform: respx.MockRouter, name: str
    ) -> None:
        found = read(platform, {"version": "4.2.0"}, nodeinfo=says(name, "4.2.0"))
        assert found == (MASTODON, IdempotencyForm.HEADER)

    def test_mastodon_there_alone_promises_nothing(self, platform: respx.MockRouter) -> None:
        found = read(platform, {"version": "0.20.0+git-1a2b3c4"}, nodeinfo=says("mastodon"))
        assert found == ("", IdempotencyForm.NONE)

    @pytest.mark.parametrize(
        "document",
        [
            {"version": "4.2.0", "source_url": "https://github.com/mastodon/mastodon"},
            {"version": "3.0.0 (compatible; Sharkey 2024.11.2)"},
            {"version": "4.2.0", "software": {"name": "Iceshrimp.NET"}},
        ],
    )
    def test_a_document_that_names_its_software_is_enough(
        self, platform: respx.MockRouter, document: dict[str, Any]
    ) -> None:
        assert read(platform, document, links=None)[0] == software_of(document).name
        assert [call.request.url.path for call in platform.calls] == ["/api/v2/instance"]

    @pytest.mark.parametrize(
        "links",
        [
            [],
            {},
            {"links": None},
            {"links": [None, 1, {"rel": f"{SCHEMA}2.0"}]},
            {"links": [{"rel": f"{SCHEMA}2.0", "href": "https://elsewhere.example/nodeinfo/2.0"}]},
            {"links": [{"rel": "https://elsewhere.example/2.0", "href": f"{HOST}/nodeinfo/2.0"}]},
            {"links": [{"rel": f"{SCHEMA}2.0", "href": "https://["}]},
            # A control character in a path, which no address can have, was a failure of ours.
            {"links": [{"rel": f"{SCHEMA}2.0", "href": f"{HOST}/nodeinfo\x01/2.0"}]},
            {"links": [{"rel": f"{SCHEMA}2.0", "href": f"{HOST}/nodeinfo\x7f/2.0"}]},
        ],
    )
    def test_only_a_document_on_the_server_itself_is_read(
        self, platform: respx.MockRouter, links: Any
    ) -> None:
        found = read(platform, {"version": "4.2.0"}, links=links, nodeinfo=says("pleroma"))
        assert found == (MASTODON, IdempotencyForm.HEADER)

    @pytest.mark.parametrize("nodeinfo", [[], {}, {"software": []}, says(None), says(7), says("")])
    def test_a_document_that_names_nothing_changes_nothing(
        self, platform: respx.MockRouter, nodeinfo: Any
    ) -> None:
        found = read(platform, {"version": "4.2.0"}, nodeinfo=nodeinfo)
        assert found == (MASTODON, IdempotencyForm.HEADER)

    def test_what_is_kept_is_cleaned_and_short(self, platform: respx.MockRouter) -> None:
        name, _ = read(platform, {}, nodeinfo=says("Ow\x00l\u202e" + "s" * 9_000))
        assert name is not None
        assert name.startswith("owl")
        assert len(name) <= 100

    def test_the_newest_document_is_read(self, platform: respx.MockRouter) -> None:
        newer = {"rel": f"{SCHEMA}2.1", "href": f"{HOST}/nodeinfo/2.1"}
        platform.get(f"{HOST}/nodeinfo/2.1").respond(json=says("friendica"))
        links = {"links": [newer, *LINKS["links"]]}
        found = read(platform, {"version": "4.2.0"}, links=links, nodeinfo=says("mastodon"))
        assert found[0] == "friendica"


class TestKeepsNone:
    """Each program that is known not to keep keys is recognized, and promises nothing."""

    @pytest.mark.parametrize("known", KEEPS_NONE, ids=lambda known: known.name)
    def test_is_recognized_wherever_it_names_itself(
        self, platform: respx.MockRouter, known: NoPromise
    ) -> None:
        compatible = {"version": f"4.2.0 (compatible; {known.name.title()} 9.9.9)"}
        by_source = {"version": "4.2.0", "source_url": f"https://code.example/x/{known.name}"}
        for document in (compatible, by_source):
            assert software_of(document).name == known.name
        assert read(platform, {"version": "4.2.0"}, nodeinfo=says(known.name.title())) == (
            known.name,
            IdempotencyForm.NONE,
        )
        assert promise_of(Software(known.name, "9.9.9")).form is IdempotencyForm.NONE

    @pytest.mark.parametrize("known", KEEPS_NONE, ids=lambda known: known.name)
    def test_names_what_was_read(self, known: NoPromise) -> None:
        assert known.source.startswith("https://")
        assert ("read 2026-11" in known.source) is (known.why != NOT_READ)

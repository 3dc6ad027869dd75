"""Does the page about the public API list exactly the routes, limits and settings that exist?"""

import re
from pathlib import Path

from functions.public_api.app import app
from shared.access.policy import FETCHES, PUBLIC_API
from shared.core.config import Settings
from shared.web.routing import Route

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "public-api.md").read_text()
MIGRATING = (DOCS / "migrating.md").read_text()


def rows(heading: str, page: str = PAGE) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its own first two lines."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


class TestRoutes:
    def test_table_has_exactly_the_routes_in_the_order_of_the_policy(self) -> None:
        told = [cells[0].strip("`") for cells in rows("Routes")]
        there = {
            f"{method} {route.path}"
            for route in app.router.routes
            if isinstance(route, Route)
            for method in route.methods or ()
        }
        assert set(told) == there
        assert told == list(PUBLIC_API)

    def test_every_row_says_how_it_stands(self) -> None:
        for route, state in rows("Routes"):
            assert re.search(r"complete|refused|always|still to come|for the others", state), route


class TestLimits:
    def test_are_those_of_the_policy(self) -> None:
        words = {"a minute": 60, "an hour, looking back from each call": 3600}
        told = {
            (cells[0].strip("`"), int(cells[1]), words[cells[2]]) for cells in rows("Rate limits")
        }
        limits = {FETCHES, *(rule.rate for rule in PUBLIC_API.values() if rule.rate)}
        assert told == {(one.name, one.times, one.window.total_seconds()) for one in limits}


class TestMigrating:
    def test_settings_that_it_names_exist(self) -> None:
        named = {
            name
            for _, ours in rows("Settings of a server", MIGRATING)
            for name in re.findall(r"`([A-Z_]+)`", ours)
        }
        assert len(named) > 8
        # Keys of the secret of providers, which is no setting.
        secrets = {"GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "OAUTH_CLIENT_SECRET"}
        secrets |= {
            "GITHUB_CLIENT_ID",
            "GITHUB_CLIENT_SECRET",
            "NEYNAR_CLIENT_ID",
            "NEYNAR_SECRET_KEY",
        }
        assert named - secrets <= {name.upper() for name in Settings.model_fields}

    def test_names_the_clients_that_are_tried(self) -> None:
        recorded = (DOCS.parent / "tests" / "functions" / "test_public_clients.py").read_text()
        for client in ("`postiz` 2.1.0", "`@postiz/node` 1.0.8", "`n8n-nodes-postiz` 0.2.17"):
            assert client in MIGRATING
            assert client in recorded

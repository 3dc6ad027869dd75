"""Whether `docs/access.md` lists every route and every section of a plan, with what decides them."""

from dataclasses import replace

import pytest

from local.docs import access
from shared.access.policy import FETCHES, POLICY
from shared.billing.plans import Plan
from shared.billing.sections import Section

PAGE = access.markdown().splitlines()


def cells(name: str) -> list[str]:
    """Return the cells of the only row that begins with `name`."""
    (row,) = [line for line in PAGE if line.startswith(f"| `{name}` |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_every_route_has_a_row() -> None:
    listed = [route for rows in access.AREAS.values() for route in rows]
    assert sorted(listed) == sorted(POLICY)
    for route in POLICY:
        assert len(cells(route)) == 6, route


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("GET /health", ["anybody", "", "none: It needs no database.", "", "", ""]),
        ("POST /auth/login", ["anybody", "", "`sign_in`", "", "", ""]),
        ("POST /user/password", ["viewer", "no", "`confirm`", "recent", "",
                                 "not in another's place, person only"]),
        ("GET /settings/team", ["admin", "keys: `read`", "`reads`", "", "", ""]),
        ("POST /webhooks", ["admin", "keys: `write`", "`webhooks`", "", "`webhooks`",
                            "whole organization, off with `webhooks`"]),
        ("POST /posts", ["member", "keys and consents: `propose` or `write`", "`compose`", "",
                         "`posts_per_month`", ""]),
        ("POST /public/v1/upload", ["member", "only keys and consents: `propose` or `write`",
                                    "`public_upload`", "", "`storage`, `public_api`", ""]),
        ("POST /mcp", ["viewer", "only keys and consents: `read`, and `propose` or `write` to change something",
                       "`mcp`", "", "`public_api`", ""]),
        ("GET /user/impersonate", ["super admin", "no", "`reads`", "", "",
                                   "off with `impersonation`"]),
    ],
)  # fmt: skip
def test_a_row_says_what_the_policy_says(route: str, expected: list[str]) -> None:
    assert cells(route) == expected


def test_every_rate_has_its_numbers() -> None:
    rates = {rule.rate.name for rule in POLICY.values() if rule.rate} | {FETCHES.name}
    for name in rates:
        assert len(cells(name)) == 3
    assert cells("sign_in") == ["300 in 10 minutes", "network address", "in the database"]
    assert cells("public_compose")[2] == "in the database, rolling"


def test_every_section_has_its_plans() -> None:
    (head,) = [line for line in PAGE if line.startswith("| section ")]
    assert [plan.upper() in head for plan in Plan] == [True] * len(Plan)
    rows = {line.split("`")[1]: line for line in PAGE if line.startswith("| `") and "`: " in line}
    assert {section.value for section in Section} <= set(rows)
    assert "| at once | 0 GB | 5 GB | 20 GB | 50 GB | 200 GB | create |" in rows["storage"]
    assert "| 1 | 1 | any number |" in rows["team_members"]
    assert "| no | yes | yes | yes | yes | create, read, update, delete |" in rows["public_api"]


def test_a_changed_row_makes_the_page_stale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert access.main(["--check"]) == 0
    monkeypatch.setitem(POLICY, "GET /health", replace(POLICY["GET /health"], whole=True))
    assert access.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err

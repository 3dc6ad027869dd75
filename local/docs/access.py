"""Writes `docs/access.md`, who may call each route and what each plan includes, from the tables that decide it.

python -m local.docs.access            write the page
python -m local.docs.access --check    fail if the page does not match the code
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from shared.access import policy
from shared.access.policy import FETCHES, POLICY, Per, Rate, Rule, Who
from shared.billing.plans import PLANS, Plan
from shared.billing.sections import SECTIONS, Action, Kind, Section, binds

PAGE = Path(__file__).resolve().parents[2] / "docs" / "access.md"

AREAS: Mapping[str, Mapping[str, Rule]] = {
    "The server": policy.ROOT,
    "Signing in": policy.AUTH,
    "The person": policy.USER,
    "The organization": policy.ORGANIZATIONS,
    "Notifications": policy.NOTIFICATIONS,
    "Channels": policy.INTEGRATIONS,
    "Files": policy.MEDIA,
    "Posts": policy.POSTS,
    "Webhooks": policy.AUTOMATION,
    "Third-party apps": policy.APPS,
    "The public API": policy.PUBLIC_API,
    "Tools for AI agents": policy.MCP,
    "Operators": policy.ADMIN,
}
"""The routes under their headings."""

_HEAD = """# Who may do what

Made from `shared/access/policy.py` and `shared/billing/plans.py` by `make docs`; change it there. A route without a row in the
policy cannot be created, and a test finds rows without a route.

## How to read the routes

- **who**: `anybody` needs no session. Otherwise it is the lowest role in the organization: viewer, member, editor, admin, owner. A
  *super admin* runs the server.
- **programs**: how API keys and the apps that a member has allowed (consents) may call it, and the scope that they need. For consents
  the scopes are named `mcp:read`, `mcp:propose` and `mcp:write`. Proposing and writing include reading; what is only proposed waits
  for approval. *no*: only a person who is signed in.
- **rate**: the limit of calls, from the [table of rates](#rates).
- **proof**: *recent* means that the person has confirmed their identity in the last ten minutes, by the strongest way they have;
  otherwise the answer is 403 `fresh_login_needed`.
- **plan**: the [section of the plan](#plans) that the route uses. Where plans bind (`BILLING=on`), what the plan does not include is
  refused with 402.
- **also**: *whole organization*: members, keys and consents that are limited to customers are refused. *Not in another's place*:
  a super admin who acts as the member is refused. *Person only*: it ignores the organization that the request names.
  *Off with `x`*: the operator can switch it off in `DISABLED_FEATURES`.
"""
_ROUTES = """| route | who | programs | rate | proof | plan | also |
| --- | --- | --- | --- | --- | --- | --- |
"""
_WINDOWS = {
    timedelta(minutes=1): "a minute",
    timedelta(minutes=10): "10 minutes",
    timedelta(hours=1): "an hour",
}
_PER = {
    Per.ADDRESS: "network address",
    Per.ORGANIZATION: "organization",
    Per.PRINCIPAL: "person, API key or consent",
    Per.SESSION: "session",
}
_KINDS = {Kind.FLAG: "included or not", Kind.LEVEL: "at once", Kind.FLOW: "a billing month"}
_GB = 10**9


def markdown() -> str:
    """Return the page's text."""
    return "".join([_HEAD, *_areas(), *_rates(), *_plans()])


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` report whether it is current; return the exit status."""
    if list(arguments) != ["--check"]:
        PAGE.write_text(markdown())
        return 0
    if not PAGE.exists() or PAGE.read_text() != markdown():
        print("docs/access.md does not match the code; run `make docs`.", file=sys.stderr)
        return 1
    return 0


def _areas() -> Iterator[str]:
    for title, rows in AREAS.items():
        yield f"\n## {title}\n\n{_ROUTES}"
        for route in rows:
            yield _line(f"`{route}`", *_cells(POLICY[route]))


def _cells(rule: Rule) -> Iterator[str]:
    yield rule.who.value
    yield _programs(rule)
    yield f"`{rule.rate.name}`" if rule.rate else f"none: {rule.unlimited}"
    yield "recent" if rule.fresh else ""
    yield ", ".join(f"`{section}`" for section in _sections(rule))
    yield ", ".join(_also(rule))


def _programs(rule: Rule) -> str:
    if rule.who is Who.PUBLIC:
        return ""
    if rule.person:
        return "no"
    scope = "`write`" if rule.writes else "`read`"
    if rule.proposes:
        scope = "`propose` or `write`"
    if rule.judges_itself:
        scope = "`read`, and `propose` or `write` to change something"
    who = "keys and consents" if rule.consent else "keys"
    return f"only {who}: {scope}" if rule.program else f"{who}: {scope}"


def _sections(rule: Rule) -> list[Section]:
    action = rule.action or Action.CREATE
    return [section for section in (rule.limit, rule.flag) if section and binds(section, action)]


def _also(rule: Rule) -> Iterator[str]:
    if rule.whole:
        yield "whole organization"
    if rule.self_only:
        yield "not in another's place"
    if rule.personal:
        yield "person only"
    if rule.feature:
        yield f"off with `{rule.feature}`"


def _rates() -> Iterator[str]:
    yield (
        "\n## Rates\n\nThe defaults; `RATE_LIMITS` and `API_LIMIT` change them. Routes with the same rate share its count. Beyond it "
        "the answer\nis 429 with `Retry-After`. A *rolling* window looks back from each call, others begin with the first call. A "
        "rate that is\ncounted *in each process* allows as many calls again for each process that answers.\n\n"
        "| rate | calls | per | counted |\n| --- | --- | --- | --- |\n"
    )
    found = {rule.rate.name: rule.rate for rule in POLICY.values() if rule.rate}
    for name, rate in sorted({**found, FETCHES.name: FETCHES}.items()):
        yield _line(
            f"`{name}`", f"{rate.times:,} in {_window(rate)}", _PER[rate.per], _counted(rate)
        )


def _window(rate: Rate) -> str:
    return _WINDOWS[rate.window]


def _counted(rate: Rate) -> str:
    if rate.in_memory:
        return "in each process"
    return "in the database, rolling" if rate.rolling else "in the database"


def _plans() -> Iterator[str]:
    names = [plan.upper() for plan in Plan]
    yield (
        "\n## Plans\n\nWhat is *at once* is counted as it is now: enabled channels, members with pending invitations, webhooks,\n"
        "stored bytes. What is *a billing month* has a counter that begins again on the day of the month on which the\n"
        "organization was created. The limits of one organization can be raised in `organizations.limits`. With `BILLING=off` there are\n"
        "none. A section is checked on the actions in the last column; all others stay possible on any plan.\n\n"
        f"| section | counted | {' | '.join(names)} | checked on |\n| --- | --- |{' --- |' * len(names)} --- |\n"
    )
    for section, bound in SECTIONS.items():
        cells = (_amount(section, PLANS[plan][section]) for plan in Plan)
        actions = ", ".join(action for action in Action if action in bound.actions)
        yield _line(f"`{section}`: {bound.words}", _KINDS[bound.kind], *cells, actions)


def _amount(section: Section, amount: int | bool | None) -> str:
    if amount is None:
        return "any number"
    if isinstance(amount, bool):
        return "yes" if amount else "no"
    return f"{amount // _GB} GB" if section is Section.STORAGE else f"{amount:,}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A walk over every route as every kind of principal: what may not write changes no row of any table.

Routes, bodies and filters are read off the functions, so that a new route is walked by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
import pytest
from fastapi import FastAPI
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from shared.access.policy import Who, reaches, rule_for
from shared.aws.keys import seal
from shared.channels.models import Channel
from shared.core import clock
from shared.core.crypto import Purpose
from shared.db.base import Base
from shared.organizations.models import ApiKey, Member, Role
from shared.public_api.tools import TOOLS
from tests.builders import a_member, a_user
from tests.conftest import Configure
from tests.functions.samples import Document, sample
from tests.functions.test_tenancy import APPS, BODIES, SECRET, Theirs, routes
from tests.gateway import Gateway, as_member, by_grant, by_key
from tests.shared.channels.builders import set_up_platforms

ROUTES = [
    (app, method, path, rule_for(method, path))
    for app, method, path in routes()
    if (method, path) != ("GET", "/health/ready")  # asks queues and storage
]
GUARDED = [route for route in ROUTES if route[3].who is not Who.PUBLIC]
DOCUMENT = Document(APPS)
# What a read may leave behind: when a credential was last used, and how often it called.
MARKS = {"last_used_at"}
COUNTERS = {"rate_limits"}


def fingerprint(session: Session) -> dict[str, str]:
    """Return a hash of all rows of every table, without marks of use."""
    names = [table.name for table in Base.metadata.sorted_tables if table.name not in COUNTERS]
    marks = "".join(f" - '{mark}'" for mark in sorted(MARKS))
    one = "select '{0}' as name, md5(coalesce(string_agg(row, '' order by row), '')) as hash from (select (to_jsonb(t){1})::text as row from {0} t) x"
    rows = session.execute(text(" union all ".join(one.format(name, marks) for name in names)))
    return {row.name: row.hash for row in rows}


@dataclass
class World:
    """An organization with one of everything, another one, and what requests to them look like."""

    session: Session
    own: Theirs
    foreign: Theirs
    member: Member

    def send(self, headers: dict[str, str], app: FastAPI, method: str, path: str) -> Any:
        """Send a route its request: own ids, and a body that it would take from somebody who may."""
        body = BODIES.get(f"{method} {path}", DOCUMENT.body(method, path))
        query = DOCUMENT.query(method, path)
        return Gateway(app, dict(headers)).call(
            method, self.address(path, headers), body, query=query
        )

    def address(self, path: str, headers: dict[str, str], provider: str = "bluesky") -> str:
        """Fill in a route's path; where a key stands in it, that of the caller."""
        key = headers.get("authorization", "roost_nobody")
        return self.own.path(path, provider=provider, api_key=key)


@pytest.fixture
def world(session: Session, aws: None, configure: Configure) -> World:
    set_up_platforms(configure)
    bucket = boto3.client("s3").create_bucket(Bucket="media")["Location"].strip("/")
    nowhere = '{"mastodon": "http://127.0.0.1:9"}'
    configure(MEDIA_BUCKET=bucket, PROVIDER_BASE_URLS=nowhere)
    own = Theirs(session, secret="ours")
    token = seal("token", Purpose.CHANNEL, own.organization.id)
    session.execute(update(Channel).where(Channel.id == own.channel).values(access_token=token))
    return World(session, own, Theirs(session), own.member)


def refused_principals(world: World) -> dict[str, dict[str, str]]:
    """Everybody whom no guarded route may let in."""
    session, organization = world.session, world.own.organization
    found: dict[str, dict[str, str]] = {"nobody": {}}

    def key(name: str, **columns: Any) -> None:
        found[name] = by_key(None, session, world.member).headers
        made = session.query(ApiKey).order_by(ApiKey.id.desc()).first()
        for column, value in columns.items():
            setattr(made, column, value)

    past = clock.now() - timedelta(days=1)
    key("revoked key", revoked_at=past)
    key("expired key", expires_at=past)
    found["invented key"] = {"authorization": "roost_nobody"}
    found["invented grant"] = {"authorization": "pos_nobody"}

    def seat(name: str, change: str, **user: Any) -> None:
        member = a_member(session, organization, a_user(session, **user))
        found[name] = as_member(None, session, member).headers
        session.execute(text(change), {"member": member.id, "user": member.user_id})

    seat("disabled member", "update members set disabled = true where id = :member")
    seat("deleted person", "update users set deleted_at = now() where id = :user")
    seat("not activated", "update users set activated_at = null where id = :user")
    seat("revoked session", "update sessions set revoked_at = now() where user_id = :user")
    seat("expired session", "update sessions set expires_at = now() where user_id = :user")

    def grant(name: str, change: str) -> None:
        member = a_member(session, organization)
        found[name] = by_grant(None, session, member).headers
        session.execute(text(change), {"member": member.id, "user": member.user_id})

    grant("revoked grant", "update oauth_grants set revoked_at = now() where user_id = :user")
    grant("grant of who left", "delete from members where id = :member")
    grant("grant of the disabled", "update members set disabled = true where id = :member")
    session.flush()
    return found


def assert_unchanged(world: World, before: dict[str, str], what: str) -> None:
    after = fingerprint(world.session)
    changed = sorted(name for name in before if before[name] != after[name])
    assert not changed, f"{what} changed {', '.join(changed)}"


def test_nobody_without_a_right_gets_in_anywhere(world: World) -> None:
    """Finding 2.1: every kind of principal without a right, over all routes, rows compared."""
    for name, headers in refused_principals(world).items():
        before = fingerprint(world.session)
        for app, method, path, rule in GUARDED:
            if rule.personal and name == "disabled member":
                continue  # their account is their own
            answer = world.send(headers, app, method, path)
            # A wrong key in the address is told as an unreadable request.
            wrong_key = (400,) if path == "/mcp/{api_key}" else ()
            assert answer.status in {401, 403, *wrong_key}, f"{name}: {method} {path}: {answer}"
        assert_unchanged(world, before, name)


@pytest.mark.parametrize("kind", ["key", "grant"])
def test_what_may_only_read_changes_nothing(world: World, kind: str) -> None:
    """Finding 2.1: a key for reading began a connection by a GET."""
    make = {"key": by_key, "grant": by_grant}[kind]
    scopes = {"key": ("read",), "grant": ("mcp:read",)}[kind]
    headers = make(None, world.session, world.member, scopes=scopes).headers
    before = fingerprint(world.session)
    for app, method, path, rule in GUARDED:
        answer = world.send(headers, app, method, path)
        if rule.writes and not rule.judges_itself:
            assert answer.status == 403, f"{method} {path}: {answer.text}"
        assert_unchanged(world, before, f"{method} {path}")


def test_reads_of_somebody_with_every_right_change_nothing(world: World) -> None:
    """Finding 2.1: whether a route writes is a column, and this compares it with the rows."""
    for make in (as_member, by_key):
        headers = make(None, world.session, world.member).headers
        before = fingerprint(world.session)
        for app, method, path, rule in ROUTES:
            if not rule.writes:
                world.send(headers, app, method, path)
                assert_unchanged(world, before, f"{method} {path}")


def test_reads_that_are_said_to_write_do(world: World, configure: Configure) -> None:
    """Finding 2.1: a row that says more than it does would take a right away for nothing."""
    said = [
        (app, method, path, rule)
        for app, method, path, rule in GUARDED
        if method == "GET" and rule.writes
    ]
    assert [path for _, _, path, _ in said] != []
    for app, method, path, rule in said:
        make = by_key if rule.program else as_member
        headers = make(None, world.session, world.member).headers
        world.session.execute(
            text("update users set last_read_notifications_at = now() - interval '1 day'")
        )
        before = fingerprint(world.session)
        address = world.address(path, headers, provider="linkedin-page")
        answer = Gateway(app, dict(headers)).call(method, address)
        assert answer.status == 200, f"{method} {path}: {answer.text}"
        assert fingerprint(world.session) != before, f"{method} {path}"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.EDITOR, Role.ADMIN])
def test_role_reaches_no_further_than_its_row(world: World, role: Role) -> None:
    """Finding 2.1: roles, rows compared; which role a route asks for is in test_roles.py."""
    member = a_member(world.session, world.own.organization, role=role)
    headers = as_member(None, world.session, member).headers
    before = fingerprint(world.session)
    for app, method, path in beyond(role):
        answer = world.send(headers, app, method, path)
        assert (answer.status, answer.json["code"]) == (403, "role_too_low"), f"{method} {path}"
    assert_unchanged(world, before, role)


def beyond(role: Role) -> Iterator[tuple[FastAPI, str, str]]:
    for app, method, path, rule in GUARDED:
        too_high = rule.who is Who.SUPER_ADMIN or not reaches(role, Role(rule.who.value))
        if too_high and not rule.program:
            yield app, method, path


@pytest.mark.parametrize("kind", ["organization", "member"])
def test_naming_what_one_has_no_seat_in_reaches_nothing(world: World, kind: str) -> None:
    """Finding 2.16: naming a foreign organization, or acting as a member without the right to."""
    headers = as_member(None, world.session, world.member).headers
    by_a_key = by_key(None, world.session, world.member).headers
    if kind == "organization":
        named, code = {"showorg": str(world.foreign.organization.id)}, "organization_gone"
    else:
        named, code = {"impersonate": str(world.foreign.member.id)}, "impersonation_refused"
    before = fingerprint(world.session)
    for app, method, path, rule in GUARDED:
        if rule.personal:
            continue
        if not rule.program:
            answer = world.send({**headers, **named}, app, method, path)
            assert (answer.status, answer.json["code"]) == (403, code), f"{method} {path}"
        elif kind == "organization" and path != "/mcp/{api_key}":
            answer = world.send({**by_a_key, **named}, app, method, path)
            assert answer.status == 403, f"{method} {path}: {answer.text}"
    assert_unchanged(world, before, kind)


def test_another_site_writes_nothing_with_our_cookies(world: World) -> None:
    """Finding 2.15: cookie-carried writes, those without a body included, from a sub-domain."""
    token = as_member(None, world.session, world.member).headers["auth"]
    cookies = f"auth={token}; renew=x; showorg={world.own.organization.id}"
    foreign = {"sec-fetch-site": "same-site", "origin": "https://evil.example", "cookie": cookies}
    before = fingerprint(world.session)
    for app, method, path, rule in ROUTES:
        if rule.writes and not rule.program and (rule.who is not Who.PUBLIC or rule.by_cookie):
            answer = world.send(foreign, app, method, path)
            assert (answer.status, answer.json["code"]) == (403, "origin_refused"), path
    assert_unchanged(world, before, "another site")


def test_tools_judge_for_themselves(world: World) -> None:
    """Finding 2.1: the tools behind the one address of MCP, with what may only read."""
    headers = by_grant(None, world.session, world.member, scopes=("mcp:read",)).headers
    (app,) = [app for app, _, path, _ in ROUTES if path == "/mcp"]
    before = fingerprint(world.session)
    for tool in TOOLS:
        arguments = sample(tool.input_schema, tool.input_schema)
        body = {
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool.name, "arguments": arguments},
        }  # fmt: skip
        answer = Gateway(app, dict(headers)).post("/mcp", body)
        assert answer.status == 200, answer.text
        if tool.writes:
            assert "is read-only" in answer.text, tool.name
        assert_unchanged(world, before, tool.name)


def test_filters_find_nothing_of_another_organization(world: World) -> None:
    """Finding 2.1: every filter of every list, with every id of another organization."""
    member = as_member(None, world.session, world.member).headers
    program = by_key(None, world.session, world.member).headers
    words = ("channel", "integration", "customer", "group", "tag", "post", "media", "id", "refresh")
    for app, method, path, rule in GUARDED:
        names = [
            name
            for name in DOCUMENT.query_names(method, path)
            if any(word in name.lower() for word in words)
        ]
        for name in names:
            for value in {str(value) for value in world.foreign.ids.values()}:
                query = {**DOCUMENT.query(method, path), name: value}
                sent = Gateway(app, dict(program if rule.program else member))
                answer = sent.call(method, world.address(path, sent.headers), query=query)
                assert SECRET not in answer.text, f"{method} {path}?{name}"


def test_nested_ids_must_belong_together(world: World) -> None:
    """Finding 2.1: an own id before a foreign one, and the other way round."""
    nested = [
        route for route in GUARDED if route[2].count("{") > 1 and "{provider}" not in route[2]
    ]
    assert nested
    headers = as_member(None, world.session, world.member).headers
    before = fingerprint(world.session)
    for app, method, path, _ in nested:
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        for foreign in names:
            ids = {**world.own.ids, foreign: world.foreign.ids[foreign]}
            address = path.format(**ids)
            answer = Gateway(app, dict(headers)).call(
                method, address, BODIES.get(f"{method} {path}")
            )
            assert answer.status == 404, f"{method} {address}: {answer.text}"
    assert_unchanged(world, before, "nested ids")


def test_somebody_who_may_does_change_rows(world: World) -> None:
    """The walk would notice: with every right, these requests do change rows."""
    headers = as_member(None, world.session, world.member).headers
    changed = 0
    for app, method, path, rule in GUARDED:
        if rule.writes and not rule.program:
            before = fingerprint(world.session)
            with world.session.begin_nested() as tried:
                world.session.connection()  # without a use, there is no savepoint yet
                world.send(headers, app, method, path)
                changed += fingerprint(world.session) != before
                tried.rollback()
    assert changed > 15

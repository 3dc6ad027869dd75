"""Does every function's every line say whose it is and what it is about, and no name, address or text?

The functions come from the template and the routes from the functions, so that a new one is here by itself.
"""

import importlib
import io
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import boto3
import pytest
import respx
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from layers.build import read_template
from shared.aws.keys import seal
from shared.channels.models import Channel
from shared.core import clock
from shared.core.crypto import Purpose
from shared.core.ids import OrganizationId, new_id
from shared.identity.models import User
from shared.notifications.models import NotificationKind
from shared.organizations.models import Member, Organization
from shared.posts.lifecycle import PostState
from shared.publishing.models import Attempt, AttemptState
from shared.web.routing import Route
from tests.builders import a_channel, a_member, a_post, a_user, an_organization
from tests.conftest import Configure
from tests.functions.test_organizations import a_notification
from tests.functions.test_principals import GUARDED, World
from tests.functions.test_tenancy import Theirs
from tests.gateway import as_operator, by_key, put_app_secret
from tests.shared.channels.builders import BLUESKY, a_bluesky_channel, set_up_platforms

NOBODY_MAY_LOG = "Nobody may log this"
# What stands in names, texts and addresses of the things below.
_MARKS = re.compile(rf"{NOBODY_MAY_LOG}|secret\.example|[\w.+-]+@[\w-]+\.\w+", re.IGNORECASE)
# Lines about a whole run, not about somebody's thing.
OF_A_RUN = {
    "notifications.mailed", "tokens.renewed", "reconcile.done", "media.removed", "users.forgotten",
    "schema.upgraded", "secret.completed", "user.made_super_admin",
}  # fmt: skip
FUNCTIONS = {
    name: found["Properties"]
    for name, found in read_template()["Resources"].items()
    if found["Type"] == "AWS::Serverless::Function"
}
HTTP = {
    name
    for name, found in FUNCTIONS.items()
    if {event["Type"] for event in found.get("Events", {}).values()} == {"HttpApi"}
}
_CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 300_000,
)  # fmt: skip


def _lines(written: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    written.seek(0)
    written.truncate()
    return [line for line in found if "_aws" not in line]


def _assert_clean(lines: list[dict[str, Any]], what: str) -> None:
    for line in lines:
        assert not (found := _MARKS.search(json.dumps(line))), f"{what}: {found}: {line}"


@pytest.fixture
def world(session: Session, aws: None, configure: Configure) -> World:
    """An organization whose every name and text is one that may stand in no line."""
    set_up_platforms(configure)
    boto3.client("s3").create_bucket(Bucket="media")
    nowhere = '{"mastodon": "http://127.0.0.1:9"}'
    configure(MEDIA_BUCKET="media", PROVIDER_BASE_URLS=nowhere, LOG_LEVEL="DEBUG")
    own = Theirs(session, secret=NOBODY_MAY_LOG)
    token = seal("token", Purpose.CHANNEL, own.organization.id)
    session.execute(update(Channel).where(Channel.id == own.channel).values(access_token=token))
    operator = a_member(session, own.organization, a_user(session, is_super_admin=True))
    return World(session, own, Theirs(session, secret="Of others"), operator)


class TestRequests:
    @pytest.mark.parametrize("kind", ["person", "key"])
    def test_every_route_names_whose_it_is_and_what_it_is_about(
        self, kind: str, world: World, log_lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 7.16: every guarded route fails once, so that each writes a line."""

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("broken")

        make: Any = {"person": as_operator, "key": by_key}[kind]
        headers = make(None, world.session, world.member).headers
        walked = 0
        for app, method, path, rule in GUARDED:
            if kind == "key" and not rule.program:
                continue
            (route,) = [
                found
                for found in app.router.routes
                if isinstance(found, Route)
                and found.path == path
                and method in (found.methods or ())
            ]
            with monkeypatch.context() as patch:
                patch.setattr(route.dependant, "call", fail)
                answer = world.send(headers, app, method, path)
            lines = _lines(log_lines)
            if rule.program and kind == "person":
                continue
            walked += 1
            assert answer.status == 500, f"{method} {path}: {answer.text}"
            for line in lines:
                assert line["organization_id"] == str(world.own.organization.id), line
                assert line["user_id"] == str(world.member.user_id), line
                if "{key_id}" not in path:  # there it is the key that the request is about
                    assert ("key_id" in line) is (kind == "key"), line
                assert line["operation_id"] == route.operation_id, line
                for name in set(re.findall(r"\{(\w+_id)\}", path)):
                    assert str(UUID(line[name])) == line[name]
            assert [line["message"] for line in lines] == ["error.unexpected"]
            _assert_clean(lines, f"{method} {path}")
        assert walked > 20

    @pytest.mark.parametrize("kind", ["person", "key"])
    def test_no_route_writes_a_name_an_address_or_a_text(
        self, kind: str, world: World, log_lines: io.StringIO
    ) -> None:
        """Finding 7.16: people who may read logs need not be allowed to read posts."""
        make: Any = {"person": as_operator, "key": by_key}[kind]
        headers = make(None, world.session, world.member).headers
        written = 0
        for app, method, path, _ in GUARDED:
            if method == "DELETE":
                continue
            world.send(headers, app, method, path)
            lines = _lines(log_lines)
            written += len(lines)
            _assert_clean(lines, f"{method} {path}")
            for line in lines:
                assert "operation_id" in line, line
                assert "organization_id" in line, line
        assert written > 0


class TestEveryOtherFunction:
    def test_every_function_of_the_template_is_here(self) -> None:
        assert set(SCENARIOS) | HTTP == set(FUNCTIONS)

    @pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - HTTP))
    def test_every_line_names_whose_it_is(
        self, name: str, session: Session, queues: None, log_lines: io.StringIO,
        configure: Configure, respx_mock: respx.MockRouter,
    ) -> None:  # fmt: skip
        """Finding 7.16: lines of sweeps, firings and dead letters had no organization in places."""
        set_up_platforms(configure)
        configure(MAIL_TRANSPORT="smtp", SMTP_HOST="127.0.0.1", SMTP_PORT="1")
        respx_mock.post(f"{BLUESKY}/xrpc/com.atproto.server.refreshSession").respond(
            400, json={"error": "InvalidToken", "message": f"{NOBODY_MAY_LOG} ada@example.org"}
        )
        organization = an_organization(session, name=NOBODY_MAY_LOG)
        member = a_member(session, organization, a_user(session, name=NOBODY_MAY_LOG))
        event, expected = SCENARIOS[name](session, member)
        _lines(log_lines)
        module, _, entry = FUNCTIONS[name]["Handler"].rpartition(".")
        getattr(importlib.import_module(module), entry)(event, _CONTEXT)
        lines = _lines(log_lines)
        _assert_clean(lines, name)
        about = [line for line in lines if line["message"] not in OF_A_RUN]
        assert {"function_name"} <= set.intersection(*(set(line) for line in lines))
        assert expected.keys() == {"message"} or about, lines
        assert expected["message"] in {line["message"] for line in lines}
        for line in about:
            assert line["organization_id"] == str(organization.id), line
            for key in expected.keys() - {"message"}:
                assert line[key] == expected[key], line


def _of_a_queue(body: Mapping[str, Any], organization_id: OrganizationId) -> dict[str, Any]:
    record = {
        "messageId": "m", "body": json.dumps(body), "eventSourceARN": "arn:aws:sqs:x:1:queue",
        "attributes": {"MessageGroupId": str(organization_id)},
    }  # fmt: skip
    return {"Records": [record]}


def _organization(session: Session, member: Member) -> Organization:
    return session.get_one(Organization, member.organization_id)


Scenario = tuple[Mapping[str, Any], dict[str, str]]


def _stale_part(message: str) -> Callable[[Session, Member], Scenario]:
    def scenario(_session: Session, member: Member) -> Scenario:
        part_id = str(new_id())
        event = _of_a_queue({"partId": part_id, "revision": 1}, member.organization_id)
        return event, {"message": message, "part_id": part_id}

    return scenario


def _firing(_session: Session, member: Member) -> Scenario:
    part_id, organization_id = str(new_id()), str(member.organization_id)
    event = {"partId": part_id, "revision": 1, "organizationId": organization_id}
    return event, {"message": "prepare.stale", "part_id": part_id}


def _variants(_session: Session, member: Member) -> Scenario:
    media_id = str(new_id())
    body = {"mediaId": media_id, "organizationId": str(member.organization_id)}
    event = _of_a_queue(body, member.organization_id)
    return event, {"message": "variants.skipped", "media_id": media_id}


def _delivery(_session: Session, member: Member) -> Scenario:
    delivery_id = str(new_id())
    event = _of_a_queue({"deliveryId": delivery_id}, member.organization_id)
    return event, {"message": "webhook.not_due", "delivery_id": delivery_id}


def _lost(session: Session, member: Member) -> Scenario:
    """An attempt whose process is gone, for whoever sweeps."""
    channel = a_channel(session, _organization(session, member), name=NOBODY_MAY_LOG)
    past = clock.now() - timedelta(minutes=5)
    post = a_post(
        session, channel, state=PostState.PUBLISHING, publish_at=past,
        content=f"<p>{NOBODY_MAY_LOG}</p>",
    )  # fmt: skip
    attempt = Attempt(
        id=new_id(), organization_id=member.organization_id, post_id=post.id, root_id=post.id,
        channel_id=channel.id, revision=1, generation=1, number=1, step=1,
        state=AttemptState.RUNNING, started_at=past, lease_until=past,
    )  # fmt: skip
    session.add(attempt)
    session.flush()
    said = {"message": "attempt.lost", "post_id": str(post.id), "channel_id": str(channel.id)}
    return {}, said


def _dead_letter(session: Session, member: Member) -> Scenario:
    _lost(session, member)
    event = _of_a_queue({"partId": str(new_id()), "revision": 1}, member.organization_id)
    return event, {"message": "message.dead"}


def _refused_token(session: Session, member: Member) -> Scenario:
    channel = a_bluesky_channel(
        session, _organization(session, member), name=NOBODY_MAY_LOG,
        token_expires_at=func.now() + timedelta(minutes=1),
    )  # fmt: skip
    return {}, {"message": "channel.disconnected", "channel_id": str(channel.id)}


def _refused_mail(session: Session, member: Member) -> Scenario:
    two_hours_ago = clock.now() - timedelta(hours=2)
    a_notification(
        session, member, kind=NotificationKind.SUCCESS, created_at=two_hours_ago,
        title=NOBODY_MAY_LOG,
    )  # fmt: skip
    return {}, {"message": "mail.failed", "user_id": str(member.user_id)}


def _unsent_mail(session: Session, member: Member) -> Scenario:
    email = session.get_one(User, member.user_id).email
    event = _of_a_queue({"about": "reset_password", "email": email}, member.organization_id)
    return event, {"message": "message.failed", "user_id": str(member.user_id)}


def _not_due(_session: Session, member: Member) -> Scenario:
    organization_id = str(member.organization_id)
    event = _of_a_queue({"organizationId": organization_id}, member.organization_id)
    return event, {"message": "erasure.not_due", "organization_id": organization_id}


def _migration(_session: Session, _member: Member) -> Scenario:
    put_app_secret()
    return {}, {"message": "schema.upgraded"}


SCENARIOS: dict[str, Callable[[Session, Member], Scenario]] = {
    "PrepareFunction": _firing,
    "PublishFunction": _stale_part("publish.stale"),
    "StageFunction": _stale_part("stage.stale"),
    "VariantsFunction": _variants,
    "DeliverWebhooksFunction": _delivery,
    "MailsFunction": _unsent_mail,
    "EraseFunction": _not_due,
    "DeadLetterFunction": _dead_letter,
    "ReconcileFunction": _lost,
    "TokenRefreshFunction": _refused_token,
    "DigestFunction": _refused_mail,
    "MigrateFunction": _migration,
}

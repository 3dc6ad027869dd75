"""Whether the API keeps what its document promises, whatever it is sent: no 5xx, and no answer that is not described."""

import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from moto import mock_aws
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.orm import Session

from local.docs.openapi import apps
from shared.access.policy import POLICY
from shared.aws import clients
from shared.aws.secrets import forget_secrets
from shared.core.config import settings
from shared.organizations.models import Member
from shared.web.openapi import describe
from shared.web.routing import Route
from tests.builders import a_channel, a_media, a_member, a_post, an_organization
from tests.gateway import Gateway, as_member, by_key, put_app_secret

_FEW = examples(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
_MANY = examples(_FEW, max_examples=25)
MACHINE_TEXT = re.compile(
    r"Input should|should (match|have at|be )|Field required|valid (\w+ )?type"
)
# Every call is a member's, and its answer is read as it comes.
_OURS = frozenset({"accept-encoding", "auth", "authorization", "cookie", "showorg"})
_APPS = apps()
_ROUTES: dict[str, tuple[FastAPI, set[str]]] = {}
for _app in _APPS:
    for _route in _app.router.routes:
        if isinstance(_route, Route):
            _ROUTES.setdefault(_route.path, (_app, set()))[1].update(_route.methods or ())
schema = schemathesis.openapi.from_dict(describe(_APPS))


@pytest.fixture(scope="module")
def cloud(_environment: None) -> Iterator[None]:
    """Put everything there that a function may call; one for all routes, since making clients takes the longest."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        forget_secrets()
        clients._client.cache_clear()
        put_app_secret()
        boto3.client("secretsmanager").create_secret(Name="roost/providers", SecretString="{}")
        queue = boto3.client("sqs").create_queue(QueueName="any")["QueueUrl"]
        boto3.client("s3").create_bucket(Bucket="media")
        boto3.client("scheduler").create_schedule_group(Name="posts")
        key = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
        for name, value in {
            "PUBLISH_QUEUE_URL": queue,
            "STAGE_QUEUE_URL": queue,
            "VARIANTS_QUEUE_URL": queue,
            "MAILS_QUEUE_URL": queue,
            "SCHEDULE_GROUP": "posts",
            "MEDIA_BUCKET": "media",
            "MEDIA_PUBLIC_URL": "https://media.example",
            "KMS_KEY_ID": key,
        }.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield
    settings.cache_clear()
    forget_secrets()
    clients._client.cache_clear()


@pytest.fixture
def member(session: Session, cloud: None) -> Member:
    """A member of an organization that has one of everything."""
    organization = an_organization(session)
    a_post(session, a_channel(session, organization))
    a_media(session, organization)
    return a_member(session, organization)


@pytest.fixture
def signed_in(session: Session, member: Member) -> dict[str, str]:
    """The headers of the member's session."""
    return as_member(None, session, member).headers


@pytest.fixture
def program(session: Session, member: Member) -> dict[str, str]:
    """The headers of a program with a key that the member made."""
    return by_key(None, session, member).headers


@schema.parametrize()
@_FEW
def test_keeps_its_promises(case: Any, signed_in: dict[str, str], program: dict[str, str]) -> None:
    _assert_promises_kept(case, signed_in, program)


@pytest.mark.broad
@schema.parametrize()
@_MANY
def test_keeps_its_promises_for_many_requests(
    case: Any, signed_in: dict[str, str], program: dict[str, str]
) -> None:
    _assert_promises_kept(case, signed_in, program)


def _assert_promises_kept(case: Any, signed_in: dict[str, str], program: dict[str, str]) -> None:
    app, methods = _ROUTES[case.operation.path]
    declared = f"{case.operation.method.upper()} {case.operation.path}"
    headers = program if POLICY[declared].program else signed_in
    answer = _send(Gateway(app, {**headers, "accept-encoding": "identity"}), case)
    if case.method.upper() not in methods:
        # Not this route; perhaps another one, whose path has a variable where this one has a word.
        assert answer.status_code < 500
        return
    assert not MACHINE_TEXT.search(answer.text)
    case.validate_response(
        answer,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )


def _send(gateway: Gateway, case: Any) -> Response:
    request = requests.Request(**case.as_transport_kwargs(base_url="http://api.test")).prepare()
    body = request.body
    path, _, query = request.path_url.partition("?")
    answer = gateway.call(
        request.method or "GET",
        path,
        query=query,
        text=body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or ""),
        headers={
            name.lower(): str(value)
            for name, value in request.headers.items()
            if name.lower() not in _OURS
        },
    )
    return Response(
        status_code=answer.status,
        headers={name: [value] for name, value in answer.headers.items()},
        content=answer.text.encode(),
        request=request,
        elapsed=0.0,
        verify=False,
    )

"""Does each function's role allow what its code reaches, and nothing that it does not?"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from layers.build import read_template
from tests.template.conftest import Resources
from tests.template.reach import operations, settings_read
from tests.template.test_grants import ACTIONS, CONSUMES
from tests.template.test_permissions import _listed, _statements

OfType = Callable[[str], Resources]
FUNCTIONS = [
    name
    for name, found in read_template()["Resources"].items()
    if found["Type"] == "AWS::Serverless::Function"
]
# What a role allows that no operation of boto3 asks for.
LOGS_IN = "rds-db:connect"
# The setting that leads to each thing a role may name.
NAMED_BY = {
    "AppSecret": "app_secret_name",
    "ProvidersSecret": "providers_secret_name",
    "TokenKey": "kms_key_id",
    "PublishQueue": "publish_queue_url",
    "StageQueue": "stage_queue_url",
    "VariantsQueue": "variants_queue_url",
    "WebhooksQueue": "webhooks_queue_url",
    "MailsQueue": "mails_queue_url",
    "EraseQueue": "erase_queue_url",
    "ScheduleGroup": "schedule_group",
    "MediaBucket": "media_bucket",
}
# Reached by name, never at run time, and why.
NEVER = {
    # Only a limit per session reads a session, and only routes of `auth` have one.
    ("PublicApiFunction", "AppSecret"),
    ("McpFunction", "AppSecret"),
    ("RootFunction", "AppSecret"),
}
# Allowed without being reached, and why.
TOLERATED = {
    ("StageFunction", "WebhooksQueue"): "ArmPolicy has it for those who change a post's state"
}


@pytest.mark.parametrize("function", FUNCTIONS)
class TestEveryFunction:
    def test_may_call_what_it_reaches_and_nothing_else(
        self, function: str, of_type: OfType
    ) -> None:
        """Confirming a post asks its platform, which takes the token key: `posts` was not allowed to use it."""
        granted = {
            action
            for found in _role(function, of_type)
            for action in _listed(found["Action"])
            if not _takes_messages(found) and not _gives_up(found)
        }
        reached = {
            action
            for operation in operations(*_entry(function, of_type))
            for action in ACTIONS[operation]
        }
        if "database_host" in settings_read(*_entry(function, of_type)):
            granted.discard(LOGS_IN)
        assert granted == reached

    def test_may_name_what_its_settings_lead_to(self, function: str, of_type: OfType) -> None:
        """A staging that misses a copy requests it: `stage` was not allowed to send that message."""
        text = json.dumps(
            [
                found["Resource"]
                for found in _role(function, of_type)
                if not _takes_messages(found) and not _gives_up(found)
            ]
        )
        granted = {
            name for name in NAMED_BY if any(f"{mark}{name}" in text for mark in ('"', "${"))
        }
        read = settings_read(*_entry(function, of_type))
        reached = {name for name, setting in NAMED_BY.items() if setting in read}
        never = {name for holder, name in NEVER if holder == function}
        tolerated = {name for holder, name in TOLERATED if holder == function}
        assert never <= reached
        assert tolerated <= granted
        assert tolerated.isdisjoint(reached)
        assert granted - tolerated == reached - never


def test_the_walk_follows_names_and_routes() -> None:
    """It would pass whatever the roles say if it found too little."""
    assert "decrypt" in operations("functions.posts.app", "handler")
    assert "send_email" in operations("functions.digest.app", "handler")
    assert "decrypt" not in operations("functions.digest.app", "handler")
    assert "create_schedule" in operations("functions.publish.app", "handler")
    assert "create_schedule" not in operations("functions.publish.app", "prepare")


def _entry(function: str, of_type: OfType) -> tuple[str, str]:
    module, _, name = of_type("AWS::Lambda::Function")[function]["Handler"].rpartition(".")
    return module, name


def _role(function: str, of_type: OfType) -> Iterator[dict[str, Any]]:
    """Yield the statements of a function's role: its own and those of our managed policies."""
    named = of_type("AWS::Lambda::Function")[function]["Role"]["Fn::GetAtt"][0]
    role = of_type("AWS::IAM::Role")[named]
    for policy in role.get("Policies", []):
        yield from _statements(policy["PolicyDocument"])
    for arn in role["ManagedPolicyArns"]:
        if isinstance(arn, dict) and "Ref" in arn:
            yield from _statements(of_type("AWS::IAM::ManagedPolicy")[arn["Ref"]]["PolicyDocument"])


def _takes_messages(statement: dict[str, Any]) -> bool:
    """Return whether a statement is for Lambda, which takes messages from a queue in the function's name."""
    return set(_listed(statement["Action"])) == set(CONSUMES.split())


def _gives_up(statement: dict[str, Any]) -> bool:
    """Return whether a statement is for Lambda, which puts an event that fails into a dead-letter queue."""
    return "DeadLetterQueue" in json.dumps(statement["Resource"]) and _listed(
        statement["Action"]
    ) == ["sqs:SendMessage"]

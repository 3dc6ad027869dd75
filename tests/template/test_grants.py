"""May each role call what the code calls, on what it calls it?"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from layers.build import ROOT
from tests.template.conftest import Resources
from tests.template.reach import called_in
from tests.template.test_permissions import _allowed, _listed

OfType = Callable[[str], Resources]
# What IAM asks for when an operation is called.
# Source: the page of each service in docs.aws.amazon.com/service-authorization/latest/reference, read 2026-11.
ACTIONS = {
    "get_secret_value": {"secretsmanager:GetSecretValue"},
    "put_secret_value": {"secretsmanager:PutSecretValue"},
    "create_multipart_upload": {"s3:PutObject"},
    "upload_part": {"s3:PutObject"},
    "upload_part_copy": {"s3:PutObject", "s3:GetObject"},
    "complete_multipart_upload": {"s3:PutObject"},
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "generate_presigned_url": {"s3:PutObject"},
    "head_object": {"s3:GetObject", "s3:ListBucket"},
    "get_object": {"s3:GetObject", "s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "put_object": {"s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "copy_object": {"s3:PutObject", "s3:GetObject"},
    "send_email": {"ses:SendEmail"},
    "send_message_batch": {"sqs:SendMessage"},
    "get_queue_attributes": {"sqs:GetQueueAttributes"},
    "create_schedule": {"scheduler:CreateSchedule", "iam:PassRole"},
    "delete_schedule": {"scheduler:DeleteSchedule"},
    "generate_data_key": {"kms:GenerateDataKey"},
    "decrypt": {"kms:Decrypt"},
}
CONSUMES = "sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage"
FILES = "MediaBucket.Arn}/files/*"
UPLOADS = "MediaBucket.Arn}/incoming/*"
SCHEDULES = "schedule/${ScheduleGroup}/post-*"
# What each policy and role allows: actions, and a part of the name of each resource. A change is meant to be noticed.
GRANTS = {
    "ArmPolicy": {
        ("sqs:SendMessage", "PublishQueue StageQueue WebhooksQueue"),
        ("scheduler:CreateSchedule", SCHEDULES),
        ("iam:PassRole", "ScheduleRole"),
    },
    "DatabasePolicy": {("rds-db:connect", "${Cluster}/roost")},
    "TokenPolicy": {("kms:Decrypt kms:GenerateDataKey", "TokenKey")},
    "MailPolicy": {
        ("ses:SendEmail", "identity/${MailIdentity}"),
        ("secretsmanager:GetSecretValue", "SmtpSecret"),
    },
    "MediaReadPolicy": {
        ("s3:GetObject", FILES),
        ("s3:ListBucket", "MediaBucket"),
        ("secretsmanager:GetSecretValue", "StorageSecretArn"),
    },
    "MediaWritePolicy": {("s3:AbortMultipartUpload s3:DeleteObject s3:PutObject", FILES)},
    "LibraryPolicy": {
        ("sqs:SendMessage", "VariantsQueue"),
        (
            "s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:PutObject",
            f"{FILES} {UPLOADS}",
        ),
        ("s3:ListBucket", "MediaBucket"),
        ("secretsmanager:GetSecretValue", "StorageSecretArn"),
    },
    "PublishRole": {(CONSUMES, "PublishQueue"), ("secretsmanager:GetSecretValue", "ProvidersSecret")},
    "StageRole": {
        (CONSUMES, "StageQueue"),
        ("sqs:SendMessage", "VariantsQueue"),
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
    },
    "VariantsRole": {(CONSUMES, "VariantsQueue")},
    "DeliverWebhooksRole": {(CONSUMES, "WebhooksQueue"), ("sqs:SendMessage", "WebhooksQueue")},
    "MailsRole": {(CONSUMES, "MailsQueue")},
    "EraseRole": {
        (CONSUMES, "EraseQueue"),
        ("sqs:SendMessage", "EraseQueue MailsQueue"),
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
        ("secretsmanager:GetSecretValue", "StorageSecretArn"),
        ("s3:DeleteObject", f"{FILES} {UPLOADS}"),
        ("s3:ListBucket", "MediaBucket"),
    },
    "IdentityFunctionRole": {
        ("secretsmanager:GetSecretValue", "AppSecret"),
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
        ("sqs:SendMessage", "MailsQueue"),
    },
    "OrganizationsFunctionRole": {
        ("secretsmanager:GetSecretValue", "AppSecret"),
        ("sqs:SendMessage", "MailsQueue"),
    },
    "DeadLetterRole": {
        (
            CONSUMES,
            "EraseDeadLetterQueue MailsDeadLetterQueue PublishDeadLetterQueue ScheduleDeadLetterQueue StageDeadLetterQueue VariantsDeadLetterQueue "
            "WebhooksDeadLetterQueue",
        )
    },
    "ScheduleRole": {
        ("lambda:InvokeFunction", "function:${AWS::StackName}-prepare:live"),
        ("sqs:SendMessage", "ScheduleDeadLetterQueue"),
    },
    "PostsFunctionRole": {
        ("secretsmanager:GetSecretValue", "AppSecret"),
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
        ("scheduler:DeleteSchedule", SCHEDULES),
    },
    "PublicApiFunctionRole": {
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
        ("scheduler:DeleteSchedule", SCHEDULES),
    },
    "McpFunctionRole": {
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
        ("scheduler:DeleteSchedule", SCHEDULES),
    },
    "PrepareFunctionRole": {
        ("sqs:SendMessage", "PublishQueue StageQueue"),
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
        ("sqs:SendMessage", "ScheduleDeadLetterQueue"),
    },
    "AutomationFunctionRole": {
        ("secretsmanager:GetSecretValue", "AppSecret"),
        ("sqs:SendMessage", "WebhooksQueue"),
    },
    "ChannelsFunctionRole": {
        ("secretsmanager:GetSecretValue", "AppSecret"),
        ("secretsmanager:GetSecretValue", "ProvidersSecret"),
        ("sqs:SendMessage", "WebhooksQueue"),
    },
    "ReconcileFunctionRole": {
        ("sqs:SendMessage", "EraseQueue VariantsQueue"),
        ("sqs:SendMessage", "MailsQueue"),
        ("s3:DeleteObject", f"{FILES} {UPLOADS}"),
        ("secretsmanager:GetSecretValue", "StorageSecretArn"),
    },
    "MigrateFunctionRole": {
        ("secretsmanager:GetSecretValue", "MasterUserSecret.SecretArn"),
        ("secretsmanager:GetSecretValue secretsmanager:PutSecretValue", "AppSecret"),
    },
    "RootFunctionRole": {
        ("sqs:GetQueueAttributes", "PublishQueue"),
        ("s3:ListBucket", "MediaBucket"),
        ("s3:GetObject", "MediaBucket.Arn}/ready"),
        ("secretsmanager:GetSecretValue", "StorageSecretArn"),
    },
}  # fmt: skip


class TestGrants:
    @pytest.mark.parametrize("holder", GRANTS)
    def test_a_policy_allows_what_its_holders_need(self, holder: str, of_type: OfType) -> None:
        """Finding 8.17: a permission that code needs could be taken away unnoticed."""
        found = [
            (set(_listed(statement["Action"])), _resources(statement))
            for name, statement in _allowed(of_type)
            if name == holder
        ]
        assert len(found) == len(GRANTS[holder])
        for actions, named in GRANTS[holder]:
            alike = [
                resources
                for allowed, resources in found
                if allowed == set(actions.split())
                and len(resources) == len(named.split())
                and all(any(_names(r, part) for r in resources) for part in named.split())
            ]
            assert len(alike) == 1, (actions, named)

    def test_only_secrets_are_granted_beside_them(self, of_type: OfType) -> None:
        beside = {
            action
            for name, statement in _allowed(of_type)
            if name not in GRANTS and name.endswith(("Role", "Policy"))
            for action in _listed(statement["Action"])
        }
        # An HTTP function's signing keys, a rate's own function, the bucket's readers, and AWS's writer of access logs.
        assert beside == {
            "secretsmanager:GetSecretValue",
            "lambda:InvokeFunction",
            "s3:GetObject",
            "s3:PutObject",
        }

    def test_every_operation_that_code_calls_is_allowed_to_somebody(self, of_type: OfType) -> None:
        """Finding 8.17: an operation that is called for the first time needs its action."""
        granted = {
            action for _, statement in _allowed(of_type) for action in _listed(statement["Action"])
        }
        called = _called()
        assert {"send_message_batch", "decrypt", "create_schedule", "head_object"} <= called
        assert called <= set(ACTIONS)
        for operation in called:
            assert ACTIONS[operation] <= granted, operation

    def test_a_role_is_passed_to_the_scheduler_alone(self, of_type: OfType) -> None:
        (statement,) = [
            found for _, found in _allowed(of_type) if "iam:PassRole" in _listed(found["Action"])
        ]
        assert statement["Condition"] == {
            "StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}
        }


def _called() -> set[str]:
    """Return the operations that `shared/aws` calls on a client."""
    sources = (path.read_text() for path in (ROOT / "shared" / "aws").glob("*.py"))
    return {operation for source in sources for operation in called_in(source)}


def _resources(statement: dict[str, Any]) -> list[str]:
    return [json.dumps(resource) for resource in _listed(statement["Resource"])]


def _names(resource: str, part: str) -> bool:
    """Return whether a resource is the one named, or its text ends with the part."""
    return f'"{part}"' in resource or f'{part}"' in resource

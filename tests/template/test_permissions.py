"""May each function do what it needs and nothing else?"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.media import keys
from tests.template.conftest import Resources

OfType = Callable[[str], Resources]

# AWS's own policies whose resources are `*`, and why no narrower one would work.
MANAGED = {
    "AWSLambdaBasicExecutionRole": "SAM attaches it to every role it makes; writes log lines, reads nothing",
    "AWSLambdaVPCAccessExecutionRole": "network interfaces have no name before they exist",
    "AWSXrayWriteOnlyAccess": "X-Ray knows no resource to write a trace segment to",
}
# Patterns inside a resource's name, and what they stand for.
PATTERNS = {
    "${MediaBucket.Arn}/files/*": "every file that is served",
    "${MediaBucket.Arn}/incoming/*": "every upload that nobody has looked at yet",
    "${AccessLogBucket.Arn}/s3/*": "every access log that S3 writes",
    "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/${ScheduleGroup}/post-*": "every post's schedule in the stage's own group",
}
# The policies of resources: `*` is the resource that the policy hangs on.
OF_THE_RESOURCE_ITSELF = {"TokenKey", "AlarmKey"}

# Which functions hold a power that is worth a second look: changing these tables is meant to be noticed.
POWERS = {
    "DatabasePolicy": {
        *("IdentityFunction", "OrganizationsFunction", "PostsFunction", "ChannelsFunction"),
        *(
            "AdminFunction",
            "MediaFunction",
            "RootFunction",
            "PrepareFunction",
            "Publish",
            "Stage",
            "Variants",
        ),
        *("DeadLetter", "ReconcileFunction", "TokenRefreshFunction", "DigestFunction"),
        *("AutomationFunction", "PublicApiFunction", "AppsFunction", "McpFunction"),
        *("DeliverWebhooks", "Mails", "Erase"),
    },
    "TokenPolicy": {
        *("IdentityFunction", "OrganizationsFunction"),
        *("PostsFunction", "ChannelsFunction", "PrepareFunction", "Publish", "Stage"),
        *("TokenRefreshFunction", "AutomationFunction", "PublicApiFunction", "McpFunction"),
        *("DeliverWebhooks", "MigrateFunction", "IdentityFunction", "Erase"),
    },
    "ArmPolicy": {
        *("PostsFunction", "Publish", "Stage", "DeadLetter"),
        *("ReconcileFunction", "PublicApiFunction", "McpFunction"),
    },
    "MediaReadPolicy": {"Stage", "Variants"},
    "MediaWritePolicy": {"Variants"},
    "LibraryPolicy": {"MediaFunction", "PublicApiFunction", "McpFunction"},
    "MailPolicy": {
        *("PostsFunction", "ChannelsFunction", "PrepareFunction", "Mails"),
        *(
            "Publish",
            "Stage",
            "DeadLetter",
            "ReconcileFunction",
            "TokenRefreshFunction",
            "DigestFunction",
        ),
        *("PublicApiFunction", "McpFunction", "DeliverWebhooks"),
    },
}
# Which functions read which secret.
SECRETS = {
    "AppSecret": {
        *("IdentityFunction", "OrganizationsFunction", "PostsFunction", "ChannelsFunction"),
        *("AdminFunction", "MediaFunction", "AutomationFunction", "AppsFunction"),
        "MigrateFunction",  # which adds what it lacks
    },
    "DatabaseCluster": {"MigrateFunction"},  # the administrator's
    "SmtpSecret": {"MailPolicy"},
    "ProvidersSecret": {
        *("PostsFunction", "ChannelsFunction", "PrepareFunction", "Publish", "Stage"),
        *("TokenRefreshFunction", "PublicApiFunction", "McpFunction"),
        "IdentityFunction",  # the clients of login providers
        "Erase",  # which gives grants back
    },
}


def _statements(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the statements of a document, those under a condition as if it held."""
    found = document["Statement"]
    for statement in found if isinstance(found, list) else [found]:
        yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def _allowed(of_type: OfType) -> list[tuple[str, dict[str, Any]]]:
    documents = [
        (name, policy["PolicyDocument"])
        for name, role in of_type("AWS::IAM::Role").items()
        for policy in role.get("Policies", [])
    ]
    for kind in ("AWS::IAM::ManagedPolicy", "AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"):
        documents += [(name, found["PolicyDocument"]) for name, found in of_type(kind).items()]
    documents += [(name, found["KeyPolicy"]) for name, found in of_type("AWS::KMS::Key").items()]
    return [
        (name, statement)
        for name, document in documents
        for statement in _statements(document)
        if statement["Effect"] == "Allow"
    ]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _pattern(resource: Any) -> str:
    """Return the text of a resource in which a `*` could stand."""
    if isinstance(resource, dict) and "Fn::Sub" in resource:
        text = resource["Fn::Sub"]
        return text if isinstance(text, str) else str(text[0])
    return resource if isinstance(resource, str) else ""


class TestRoles:
    def test_every_function_has_a_role_of_its_own(self, of_type: OfType) -> None:
        roles = [json.dumps(found["Role"]) for found in of_type("AWS::Lambda::Function").values()]
        assert len(roles) > 10
        assert len(set(roles)) == len(roles)

    def test_no_action_is_a_pattern(self, of_type: OfType) -> None:
        patterns = [
            (name, action)
            for name, statement in _allowed(of_type)
            for action in _listed(statement["Action"])
            if "*" in action and name not in OF_THE_RESOURCE_ITSELF
        ]
        assert patterns == []

    def test_no_resource_is_a_pattern_but_the_listed_ones(self, of_type: OfType) -> None:
        patterns = {
            (name, _pattern(resource))
            for name, statement in _allowed(of_type)
            for resource in _listed(statement["Resource"])
            if "*" in _pattern(resource) and name not in OF_THE_RESOURCE_ITSELF
        }
        assert {pattern for _, pattern in patterns} == set(PATTERNS)

    def test_no_statement_says_what_is_not_allowed_instead(self, of_type: OfType) -> None:
        assert not [
            name for name, found in _allowed(of_type) if {"NotAction", "NotResource"} & set(found)
        ]

    def test_managed_policies_of_aws_are_the_listed_ones(self, of_type: OfType) -> None:
        texts = [
            _pattern(arn)
            for role in of_type("AWS::IAM::Role").values()
            for arn in role.get("ManagedPolicyArns", [])
            if _pattern(arn)
        ]
        assert {text.rsplit("/", 1)[-1] for text in texts} == set(MANAGED)

    def test_a_role_has_room_for_two_more_managed_policies(self, of_type: OfType) -> None:
        """Finding 7.11: two roles had exactly ten, which is the quota, so the next policy broke the deployment."""
        # Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, read 2026-11.
        counts = {
            name: len(role.get("ManagedPolicyArns", []))
            for name, role in of_type("AWS::IAM::Role").items()
        }
        assert max(counts.values()) <= 10 - 2, counts

    def test_a_role_may_be_passed_to_the_scheduler_only(self, of_type: OfType) -> None:
        passing = [
            statement
            for _, statement in _allowed(of_type)
            if "iam:PassRole" in _listed(statement["Action"])
        ]
        assert passing
        for statement in passing:
            assert statement["Resource"] == {"Fn::GetAtt": ["ScheduleRole", "Arn"]}
            assert statement["Condition"] == {
                "StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}
            }

    def test_the_scheduler_takes_its_role_for_this_account_and_group_only(
        self, of_type: OfType
    ) -> None:
        (trust,) = _statements(
            of_type("AWS::IAM::Role")["ScheduleRole"]["AssumeRolePolicyDocument"]
        )
        assert trust["Condition"]["StringEquals"] == {
            "aws:SourceAccount": {"Ref": "AWS::AccountId"},
            "aws:SourceArn": {"Fn::GetAtt": ["ScheduleGroup", "Arn"]},
        }


class TestWhoMayDoWhat:
    @pytest.mark.parametrize("policy", POWERS)
    def test_own_policies(self, policy: str, of_type: OfType) -> None:
        holders = {
            name.removesuffix("Role")
            for name, role in of_type("AWS::IAM::Role").items()
            if {"Ref": policy} in role.get("ManagedPolicyArns", [])
        }
        assert holders == POWERS[policy]

    @pytest.mark.parametrize("secret", SECRETS)
    def test_secrets(self, secret: str, of_type: OfType) -> None:
        holders = {
            name.removesuffix("Role")
            for name, statement in _allowed(of_type)
            if "secretsmanager:GetSecretValue" in _listed(statement["Action"])
            and f'"{secret}"' in json.dumps(statement["Resource"])
        }
        assert holders == SECRETS[secret]


class TestTransport:
    def test_bucket_and_queues_refuse_plain_http(self, of_type: OfType) -> None:
        for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"):
            for policy in of_type(kind).values():
                assert any(
                    statement["Effect"] == "Deny"
                    and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
                    for statement in _statements(policy["PolicyDocument"])
                )

    def test_every_queue_is_under_the_policy(self, of_type: OfType) -> None:
        (policy,) = of_type("AWS::SQS::QueuePolicy").values()
        assert {queue["Ref"] for queue in policy["Queues"]} == set(of_type("AWS::SQS::Queue"))

    def test_the_bucket_is_private_and_read_by_one_distribution(self, of_type: OfType) -> None:
        bucket = of_type("AWS::S3::Bucket")["MediaBucket"]
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        policy = of_type("AWS::S3::BucketPolicy")["MediaBucketPolicy"]
        (allow,) = [
            found for found in _statements(policy["PolicyDocument"]) if found["Effect"] == "Allow"
        ]
        assert allow["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        assert "MediaDistribution" in json.dumps(allow["Condition"])

    def test_what_arrives_is_not_served_and_does_not_stay(self, of_type: OfType) -> None:
        arriving, served = keys._INCOMING, keys._SERVED
        policy = of_type("AWS::S3::BucketPolicy")["MediaBucketPolicy"]
        (allow,) = [
            found for found in _statements(policy["PolicyDocument"]) if found["Effect"] == "Allow"
        ]
        assert allow["Resource"] == {"Fn::Sub": f"${{MediaBucket.Arn}}/{served}*"}
        bucket = of_type("AWS::S3::Bucket")["MediaBucket"]
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert [rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") == arriving]

"""Is what the emulator cannot do still true of it? What it has learned is to be tested, not left out."""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from layers import build
from tests.deployed.conftest import System
from tests.deployed.limits import (
    NOT_DONE,
    NOT_PROVIDED,
    OUTPUTS_NOT_PROVIDED,
    PROPERTIES_REFUSED,
    WIDENED,
)

pytestmark = [pytest.mark.deployed, pytest.mark.usefixtures("system")]


class TestTemplate:
    @pytest.mark.parametrize("kind", NOT_PROVIDED)
    def test_a_type_is_unknown(self, kind: str) -> None:
        with pytest.raises(ClientError, match="Unrecognized resource types"):
            _create({"Type": kind, "Properties": {}})

    def test_an_alarm_on_an_expression_is_refused(self) -> None:
        assert set(PROPERTIES_REFUSED) == {("AWS::CloudWatch::Alarm", "Metrics")}
        properties = {
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0,
            "EvaluationPeriods": 1,
            "Metrics": [{"Id": "all", "Expression": "1 + 1"}],
        }
        status, why = _create({"Type": "AWS::CloudWatch::Alarm", "Properties": properties})
        assert (status, "metric math" in why) == ("ROLLBACK_COMPLETE", True)

    def test_a_mail_identity_has_no_records(self) -> None:
        assert set(OUTPUTS_NOT_PROVIDED) == {"MailRecords"}
        identity = {
            "Type": "AWS::SES::EmailIdentity",
            "Properties": {"EmailIdentity": "probe.example"},
        }
        status, why = _create(identity, shown={"Fn::GetAtt": ["Probe", "DkimDNSTokenName1"]})
        assert (status, "DkimDNSTokenName1" in why) == ("ROLLBACK_COMPLETE", True)

    def test_a_generated_secret_has_punctuation_in_spite_of_its_property(self) -> None:
        generated = {"ExcludePunctuation": True, "PasswordLength": 64}
        name = f"probe-{time.time_ns()}"
        _create(
            {
                "Type": "AWS::SecretsManager::Secret",
                "Properties": {"Name": name, "GenerateSecretString": generated},
            }
        )
        made = boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        assert not made.isalnum()


class TestPermissions:
    """Each call is allowed by the statement that AWS asks for, and refused here."""

    def test_the_list_is_of_these(self) -> None:
        assert {action for _, action in WIDENED} == {"ses:SendEmail", "scheduler:CreateSchedule"}

    def test_a_mail_is_judged_without_its_sender(self) -> None:
        ses = _allowed("sesv2", "ses:SendEmail", "arn:aws:ses:eu-central-1:000000000000:identity/*")
        with pytest.raises(ClientError, match="AccessDenied"):
            ses.send_email(
                FromEmailAddress="a@dev.roost.example.com",
                Destination={"ToAddresses": ["b@example.org"]},
                Content={
                    "Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}},
                },
            )

    def test_a_schedule_is_judged_as_one_of_the_default_group(self, system: System) -> None:
        group = system.variables("posts")["SCHEDULE_GROUP"]
        arn = f"arn:aws:scheduler:eu-central-1:000000000000:schedule/{group}/*"
        scheduler = _allowed("scheduler", "scheduler:CreateSchedule", arn)
        with pytest.raises(ClientError, match="AccessDenied"):
            scheduler.create_schedule(
                Name="probe",
                GroupName=group,
                ScheduleExpression="at(2099-01-01T00:00:00)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={
                    "Arn": system.variables("posts")["SCHEDULE_TARGET_ARN"],
                    "RoleArn": system.variables("posts")["SCHEDULE_ROLE_ARN"],
                },
            )

    def test_a_batch_is_judged_as_an_action_of_its_own(self, system: System) -> None:
        sqs = _allowed("sqs", "sqs:SendMessage", "*")
        url = system.variables("posts")["PUBLISH_QUEUE_URL"]
        with pytest.raises(ClientError, match="AccessDenied"):
            sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "{}"}])


class TestWhatIsMade:
    def test_an_api_has_no_routes(self) -> None:
        assert "routes" in NOT_DONE
        gateway = boto3.client("apigatewayv2")
        (api,) = gateway.get_apis()["Items"]
        assert gateway.get_routes(ApiId=api["ApiId"])["Items"] == []

    def test_a_cluster_has_no_server(self) -> None:
        assert "database" in NOT_DONE
        (cluster,) = boto3.client("rds").describe_db_clusters()["DBClusters"]
        with pytest.raises(OSError, match=r".*"):
            socket.create_connection((cluster["Endpoint"], cluster["Port"]), timeout=5)

    def test_the_recursive_loop_of_a_function_is_not_set(self, system: System) -> None:
        assert "recursion" in NOT_DONE
        functions = boto3.client("lambda")
        found = functions.get_function_recursion_config(FunctionName=f"{system.stack}-publish")
        assert found["RecursiveLoop"] == "Terminate"

    def test_functions_run_on_this_processor(self) -> None:
        assert "processor" in NOT_DONE
        libraries = list((build.HOST_BUILD / "DependenciesLayer").rglob("*.so"))
        assert any(build._own_processor() in path.name for path in libraries)


def _create(
    resource: Mapping[str, Any], *, shown: Mapping[str, Any] | None = None
) -> tuple[str, str]:
    """Create a stack of one resource; how it ended and why."""
    cloudformation, name = boto3.client("cloudformation"), f"probe-{time.time_ns()}"
    outputs = {"Outputs": {"Shown": {"Value": shown}}} if shown else {}
    template = {"Resources": {"Probe": resource}, **outputs}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    until = time.monotonic() + 60
    while True:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if "PROGRESS" not in stack["StackStatus"]:
            break
        assert time.monotonic() < until, stack
        time.sleep(0.2)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    why = " ".join(str(event.get("ResourceStatusReason", "")) for event in events)
    return stack["StackStatus"], why


def _allowed(service: str, action: str, resource: str) -> Any:
    """Return a client of somebody who may do this and nothing else."""
    iam, name = boto3.client("iam"), f"probe-{time.time_ns()}"
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    passes = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}
    iam.create_user(UserName=name)
    iam.put_user_policy(
        UserName=name,
        PolicyName="own",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement, passes]}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session().client(  # type: ignore[call-overload]  # the name of the service is a parameter
        service,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )

"""Would somebody hear of it, read about it, and find the data again?"""

import json
import re
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore import xform_name
from sqlalchemy import text
from sqlalchemy.orm import Session

from layers.build import ROOT
from tests.template.conftest import Resources

OfType = Callable[[str], Resources]


def _mentions(value: Any, text: str) -> bool:
    return f"'{text}'" in str(value)


class TestAlarms:
    def test_every_dead_letter_queue_has_one(self, of_type: OfType) -> None:
        alarms = of_type("AWS::CloudWatch::Alarm").values()
        for name in of_type("AWS::SQS::Queue"):
            if name.endswith("DeadLetterQueue"):
                assert any(_mentions(alarm.get("Metrics"), name) for alarm in alarms), name

    def test_every_other_queue_has_one_for_its_oldest_message(self, of_type: OfType) -> None:
        watched = [
            alarm["Dimensions"]
            for alarm in of_type("AWS::CloudWatch::Alarm").values()
            if alarm.get("MetricName") == "ApproximateAgeOfOldestMessage"
        ]
        for name in of_type("AWS::SQS::Queue"):
            if not name.endswith("DeadLetterQueue"):
                assert any(_mentions(dimensions, name) for dimensions in watched), name

    def test_errors_and_throttles_of_every_function_count(self, of_type: OfType) -> None:
        watched = [alarm.get("Metrics", []) for alarm in of_type("AWS::CloudWatch::Alarm").values()]
        for name in of_type("AWS::Lambda::Function"):
            for metric in ("Errors", "Throttles"):
                assert any(
                    _mentions(metrics, name) and _mentions(metrics, metric) for metrics in watched
                ), (name, metric)

    def test_an_alarm_has_room_for_two_more_metrics(self, of_type: OfType) -> None:
        """Finding 7.11: two alarms counted exactly ten, which is the quota, so the next function broke the deployment."""
        # Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html, read 2026-11.
        for alarm in of_type("AWS::CloudWatch::Alarm").values():
            queried = [metric for metric in alarm.get("Metrics", []) if "MetricStat" in metric]
            assert len(queried) <= 10 - 2

    def test_a_sweep_that_counts_nothing_rings(self, of_type: OfType) -> None:
        """Finding 8.7: on a bad day the number is missing, and missing must not count as fine."""
        alarm = of_type("AWS::CloudWatch::Alarm")["LatePostsAlarm"]
        assert alarm["TreatMissingData"] == "breaching"
        # An hourly sweep of a stage that may sleep, and a late minute of one that does not, are no reason to ring.
        assert alarm["Period"] == {"Fn::If": ["MaySleep", 7200, 180]}

    def test_a_sweep_that_does_not_run_rings_and_one_that_comes_hourly_does_not(
        self, of_type: OfType
    ) -> None:
        """A period as long as the rate holds no sweep whenever one begins a second late."""
        alarm = of_type("AWS::CloudWatch::Alarm")["ReconcileSilentAlarm"]
        assert alarm["TreatMissingData"] == "breaching"
        assert alarm["Period"] == {"Fn::If": ["MaySleep", 7200, 900]}

    def test_every_alarm_tells_somebody_and_says_what_to_do(self, of_type: OfType) -> None:
        guide = (ROOT / "docs" / "operations.md").read_text()
        anchors = {
            re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", guide, re.MULTILINE)
        }
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
            assert alarm["AlarmActions"][0] == {"Ref": "AlarmTopic"}, name
            said = re.search(r"docs/operations\.md#([a-z0-9-]+)$", alarm["AlarmDescription"])
            assert said, name
            assert said[1] in anchors, name

    def test_every_metric_of_ours_is_one_that_code_writes(self, of_type: OfType) -> None:
        """Finding 8.17: an alarm on a metric that nobody writes never rings."""
        source = (ROOT / "shared" / "core" / "metrics.py").read_text()
        written = set(re.findall(r'\bMetric\("(\w+)"', source))
        filtered = {
            made["MetricName"]
            for found in of_type("AWS::Logs::MetricFilter").values()
            for made in found["MetricTransformations"]
        }
        watched = {
            metric["MetricName"]
            for alarm in of_type("AWS::CloudWatch::Alarm").values()
            for metric in _metrics(alarm)
            if "Roost" in str(metric["Namespace"])
        }
        assert {"LatePosts", "UnexpectedErrors", "Failed", "MailsNotSent"} <= watched
        assert watched <= written | filtered
        assert {"UnexpectedErrors", "AfterCommitFailures", "MailsNotSent"} <= written

    def test_metrics_of_aws_are_known_and_have_the_dimension_they_are_kept_by(
        self, of_type: OfType
    ) -> None:
        """Finding 8.17: a misspelled metric or dimension is an alarm without data."""
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
            for metric in _metrics(alarm):
                if "Roost" not in str(metric["Namespace"]):
                    known = AWS_METRICS[metric["Namespace"], metric["MetricName"]]
                    dimensions = [each["Name"] for each in metric.get("Dimensions", [])]
                    assert dimensions == known, name
                elif metric["Namespace"] == "Roost":
                    assert metric["Dimensions"] == [
                        {"Name": "service", "Value": {"Ref": "AWS::StackName"}}
                    ], name

    def test_an_expression_is_made_of_all_the_metrics_beside_it(self, of_type: OfType) -> None:
        """One that names anything else is an alarm without data."""
        alarms = [each for each in of_type("AWS::CloudWatch::Alarm").values() if "Metrics" in each]
        assert len(alarms) > 10
        for alarm in alarms:
            (expression,) = [
                each["Expression"] for each in alarm["Metrics"] if "Expression" in each
            ]
            ids = {each["Id"] for each in alarm["Metrics"] if "MetricStat" in each}
            named = set(re.findall(r"\b[a-z]\w*", expression))
            assert expression == "SUM(METRICS())" or named == ids, expression
            assert set(re.findall(r"[A-Z]+", expression)) <= {"SUM", "METRICS", "FILL", "IF", "AND"}

    def test_an_alarm_rings_above_what_is_usual_and_not_below(self, of_type: OfType) -> None:
        """Finding 8.17: a comparison the wrong way round rings never or always."""
        below = {"ReconcileSilentAlarm", "HealthCheckAlarm"}
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
            wanted = "LessThanThreshold" if name in below else "GreaterThanThreshold"
            assert alarm["ComparisonOperator"] == wanted, name
            missing = "breaching" if name in below else "notBreaching"
            if name != "LatePostsAlarm":  # while a sweep cannot count, it writes nothing
                assert alarm["TreatMissingData"] == missing, name
            if "Metrics" not in alarm:
                assert alarm["Statistic"] in {"Sum", "Maximum", "Average", "Minimum"}
                if alarm["MetricName"] in COUNTED:
                    assert alarm["Statistic"] == "Sum", name

    def test_what_an_alarm_adds_up_is_counted_over_one_period(self, of_type: OfType) -> None:
        """An unknown statistic fails the deployment; one of another kind or period makes the sum meaningless."""
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
            watched = [each for each in alarm.get("Metrics", []) if "MetricStat" in each]
            for each in watched:
                kept = each["MetricStat"]["Metric"]["MetricName"] == VISIBLE  # a level, not a count
                assert each["MetricStat"]["Stat"] == ("Maximum" if kept else "Sum"), name
                assert each["ReturnData"] is False, name
            assert len({each["MetricStat"]["Period"] for each in watched}) <= 1, name

    def test_a_broken_way_out_is_started_again_without_anybody(self, of_type: OfType) -> None:
        """Without the machine no function reaches a platform, at whatever hour it hangs."""
        actions = of_type("AWS::CloudWatch::Alarm")["NatInstanceAlarm"]["AlarmActions"]
        started = [action for action in actions if "Fn::Sub" in action]
        assert [one["Fn::Sub"].rpartition("automate:")[2] for one in started] == [
            "${AWS::Region}:ec2:reboot"
        ]

    def test_memory_is_watched_at_85_percent_of_every_size(self, of_type: OfType) -> None:
        """Finding 7.10: no function's memory was watched."""
        patterns = [found["FilterPattern"] for found in of_type("AWS::Logs::MetricFilter").values()]
        sizes = {found["MemorySize"] for found in of_type("AWS::Lambda::Function").values()}
        for size in sizes:
            (pattern,) = [found for found in patterns if f"size={size}," in found]
            assert f"used>{size * 85 // 100}," in pattern
            assert REPORT.startswith("REPORT RequestId: ")
            assert _labels(pattern) <= set(REPORT.split())

    def test_the_dashboard_shows_metrics_that_code_writes(self, of_type: OfType) -> None:
        """Finding 8.17."""
        source = (ROOT / "shared" / "core" / "metrics.py").read_text()
        (board,) = of_type("AWS::CloudWatch::Dashboard").values()
        shown = re.findall(r'\["Roost","(\w+)"', board["DashboardBody"]["Fn::Sub"])
        assert len(shown) > 3
        assert all(f'"{name}"' in source for name in shown)


# What Lambda writes after an invocation, the tabs as blanks.
# Source: docs.aws.amazon.com/lambda/latest/dg/python-logging.html, read 2026-11.
REPORT = (
    "REPORT RequestId: 8f5 Duration: 15.74 ms Billed Duration: 147 ms Memory Size: 128 MB Max Memory Used: 56 MB"
    " Init Duration: 130.49 ms"
)
# The metrics of AWS that alarms watch, and the dimensions each is kept by.
# Source: the page "CloudWatch metrics" in the documentation of each service, read 2026-11.
AWS_METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ["QueueName"],
    ("AWS/SQS", "NumberOfMessagesReceived"): ["QueueName"],
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ["QueueName"],
    ("AWS/Lambda", "Errors"): ["FunctionName"],
    ("AWS/Lambda", "Throttles"): ["FunctionName"],
    ("AWS/Lambda", "Invocations"): ["FunctionName"],
    ("AWS/Scheduler", "InvocationDroppedCount"): ["ScheduleGroup"],
    ("AWS/ApiGateway", "5xx"): ["ApiId"],
    ("AWS/RDS", "ACUUtilization"): ["DBClusterIdentifier"],
    ("AWS/EC2", "StatusCheckFailed"): ["InstanceId"],
    ("AWS/NATGateway", "ErrorPortAllocation"): ["NatGatewayId"],
    ("AWS/SES", "Reputation.BounceRate"): [],
    ("AWS/Route53", "HealthCheckStatus"): ["HealthCheckId"],
}
VISIBLE = "ApproximateNumberOfMessagesVisible"
COUNTED = {
    *("UnexpectedErrors", "AfterCommitFailures", "MailsNotSent", "MemoryNearLimit", "5xx"),
    *("Invocations", "InvocationDroppedCount", "ErrorPortAllocation"),
}


def _metrics(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what an alarm watches, whether it is one metric or several."""
    if "Metrics" not in alarm:
        return [alarm]
    return [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]


def _labels(pattern: str) -> set[str]:
    return set(re.findall(r'="([^"]+)"', pattern))


class TestGuide:
    def test_its_statements_fit_the_tables(self, session: Session) -> None:
        guide = (ROOT / "docs" / "operations.md").read_text()
        statements = re.findall(r"```sql\n(.+?);\s*```", guide, re.DOTALL)
        assert statements
        for statement in statements:
            session.execute(text(f"EXPLAIN {statement}"))


class TestLogs:
    def test_every_group_forgets(self, of_type: OfType) -> None:
        groups = of_type("AWS::Logs::LogGroup")
        assert groups
        for group in groups.values():
            assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}

    def test_every_function_writes_to_one_of_them(self, of_type: OfType) -> None:
        for name, function in of_type("AWS::Lambda::Function").items():
            assert function["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionLogs"}}, name

    def test_the_api_writes_access_logs(self, of_type: OfType) -> None:
        (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
        assert stage["AccessLogSettings"]["DestinationArn"] == {
            "Fn::GetAtt": ["ApiAccessLogs", "Arn"]
        }
        written = json.loads(stage["AccessLogSettings"]["Format"])
        assert "$context.path" not in written.values()  # of the tools it may be a key
        assert written["route"] == "$context.routeKey"


class TestData:
    def test_what_cannot_be_made_again_survives_the_stack(self, resources: Resources) -> None:
        assert resources["DatabaseCluster"]["DeletionPolicy"] == "Snapshot"
        assert resources["MediaBucket"]["DeletionPolicy"] == "Retain"
        assert resources["TokenKey"]["DeletionPolicy"] == "Retain"

    def test_the_database_is_encrypted_backed_up_and_entered_by_iam(self, of_type: OfType) -> None:
        (cluster,) = of_type("AWS::RDS::DBCluster").values()
        assert cluster["StorageEncrypted"] is True
        assert cluster["EnableIAMDatabaseAuthentication"] is True
        assert cluster["BackupRetentionPeriod"] == {"Ref": "DatabaseBackupDays"}
        for instance in of_type("AWS::RDS::DBInstance").values():
            assert instance["PubliclyAccessible"] is False

    def test_uploads_that_were_given_up_go_away(self, of_type: OfType) -> None:
        bucket = of_type("AWS::S3::Bucket")["MediaBucket"]
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)


def test_database_logs_no_parameters(template: dict[str, Any]) -> None:
    """Finding 2.8: a slow statement was logged with its values, hashes of secrets among them."""
    parameters = template["Resources"]["DatabaseParameters"]["Properties"]["Parameters"]
    assert parameters["log_parameter_max_length"] == "0"
    assert parameters.get("log_parameter_max_length_on_error", "0") == "0"


class TestCommands:
    def test_every_aws_command_exists_and_has_what_it_needs(self) -> None:
        """Finding 7.8: a runbook that cannot be carried out is found out on the worst day."""
        guides = ("operations.md", "pipeline.md")
        guide = "\n".join((ROOT / "docs" / name).read_text() for name in guides)
        guide = guide.replace("\\\n", " ")
        commands = re.findall(r"\baws ([a-z0-9-]+) ([a-z0-9-]+)((?: [^\n`;)|]*)?)", guide)
        session = botocore.session.get_session()
        assert len(commands) > 15
        for service, operation, rest in commands:
            if service == "s3api":
                service = "s3"
            model = session.get_service_model(service)
            names = {xform_name(name, "-"): name for name in model.operation_names}
            assert operation in names, (service, operation)
            shape = model.operation_model(names[operation]).input_shape
            members = {xform_name(name, "-") for name in (shape.members if shape else ())}
            given = {option.removeprefix("no-") for option in re.findall(r"--([a-z0-9-]+)", rest)}
            assert given - members <= ANYWHERE, (service, operation, given - members)
            required = {xform_name(name, "-") for name in (shape.required_members if shape else ())}
            if given:  # a command in a sentence may name itself alone
                assert required <= given, (service, operation, required - given)

    def test_every_alarm_that_rolls_back_exists(self, of_type: OfType) -> None:
        """Finding 7.14: an alarm that has another name gives no address, and watches nothing."""
        named = re.findall(r"\$\(arn (\w+)\)", (ROOT / "docs" / "pipeline.md").read_text())
        assert len(named) == 3
        assert set(named) <= set(of_type("AWS::CloudWatch::Alarm"))


# Options that every command of the AWS CLI takes.
ANYWHERE = {"query", "output", "region", "cli-binary-format"}

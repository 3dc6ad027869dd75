"""Is no message lost, handed out twice while it is worked on, or left lying unseen?"""

from collections.abc import Callable
from typing import Any

from shared.core.config import Settings
from tests.template.conftest import Resources

OfType = Callable[[str], Resources]


def _queue_of(source: dict[str, Any]) -> str:
    return str(source["EventSourceArn"]["Fn::GetAtt"][0])


class TestQueues:
    def test_every_queue_has_a_dead_letter_queue_or_is_one(self, of_type: OfType) -> None:
        for name, queue in of_type("AWS::SQS::Queue").items():
            if name.endswith("DeadLetterQueue"):
                assert "RedrivePolicy" not in queue
            else:
                target = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
                assert target == name.replace("Queue", "DeadLetterQueue")
                assert queue["RedrivePolicy"]["maxReceiveCount"] >= 3

    def test_a_dead_letter_outlives_the_message_it_was(self, of_type: OfType) -> None:
        queues = of_type("AWS::SQS::Queue")
        for name, queue in queues.items():
            if not name.endswith("DeadLetterQueue"):
                dead = queues[name.replace("Queue", "DeadLetterQueue")]
                assert dead["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]

    def test_every_queue_has_one_consumer(self, of_type: OfType) -> None:
        consumed = [
            _queue_of(source) for source in of_type("AWS::Lambda::EventSourceMapping").values()
        ]
        assert sorted(consumed) == sorted(of_type("AWS::SQS::Queue"))

    def test_the_dead_letter_function_consumes_every_dead_letter_queue(
        self, of_type: OfType
    ) -> None:
        consumed = {
            _queue_of(source)
            for source in of_type("AWS::Lambda::EventSourceMapping").values()
            if source["FunctionName"] == {"Ref": "DeadLetterFunction"}
        }
        assert consumed == {
            name for name in of_type("AWS::SQS::Queue") if name.endswith("DeadLetterQueue")
        }

    def test_visibility_is_at_least_six_times_the_consumers_timeout(self, of_type: OfType) -> None:
        # Source: docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html, read 2026-11.
        queues, functions = of_type("AWS::SQS::Queue"), of_type("AWS::Lambda::Function")
        for source in of_type("AWS::Lambda::EventSourceMapping").values():
            timeout = functions[source["FunctionName"]["Ref"]]["Timeout"]
            assert queues[_queue_of(source)]["VisibilityTimeout"] >= 6 * timeout

    def test_failures_are_reported_one_by_one(self, of_type: OfType) -> None:
        for source in of_type("AWS::Lambda::EventSourceMapping").values():
            assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    def test_the_number_of_consumers_is_bounded(self, of_type: OfType) -> None:
        for source in of_type("AWS::Lambda::EventSourceMapping").values():
            assert "ScalingConfig" in source

    def test_one_organization_cannot_hold_every_publisher_or_stager(
        self, template: dict[str, Any]
    ) -> None:
        """Finding 2.2: the bounds of the settings leave environments to others, however few a stage has."""
        fields = Settings.model_fields
        fewest = template["Parameters"]["PublishConcurrency"]["MinValue"]
        assert fields["publish_at_once_per_organization"].default < fewest
        stage = template["Resources"]["StageFunction"]["Properties"]["Events"]["Queue"][
            "Properties"
        ]
        most = stage["ScalingConfig"]["MaximumConcurrency"]
        assert fields["stage_at_once_per_organization"].default <= most / 2

    def test_publish_is_killed_before_its_lease_ends(self, of_type: OfType) -> None:
        lease = Settings.model_fields["lease_seconds"].default
        assert of_type("AWS::Lambda::Function")["PublishFunction"]["Timeout"] < lease


def _senders(of_type: OfType) -> dict[str, set[str]]:
    """Return the queues that each function may send to, by its role's policies."""
    managed = of_type("AWS::IAM::ManagedPolicy")
    roles = of_type("AWS::IAM::Role")
    found = {}
    for name, function in of_type("AWS::Lambda::Function").items():
        role = roles[function["Role"]["Fn::GetAtt"][0]]
        documents = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
        documents += [
            managed[arn["Ref"]]["PolicyDocument"]
            for arn in role["ManagedPolicyArns"]
            if isinstance(arn, dict) and arn.get("Ref") in managed
        ]
        found[name] = {
            resource["Fn::GetAtt"][0]
            for document in documents
            for statement in document["Statement"]
            if "sqs:SendMessage" in str(statement.get("Action"))
            for resource in (
                statement["Resource"]
                if isinstance(statement["Resource"], list)
                else [statement["Resource"]]
            )
        }
    return found


class TestLoops:
    def test_lambda_stops_none_of_the_chains_that_are_meant(self, of_type: OfType) -> None:
        """Finding 7.5: Lambda stops a function whose messages led back to it about 16 times, unless it may loop."""
        # Source: docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html, read 2026-11.
        queues, functions = of_type("AWS::SQS::Queue"), of_type("AWS::Lambda::Function")
        invokes: dict[str, set[str]] = {name: set() for name in queues}
        for source in of_type("AWS::Lambda::EventSourceMapping").values():
            invokes[_queue_of(source)].add(source["FunctionName"]["Ref"])
        for (
            name,
            queue,
        ) in queues.items():  # what is given up is handled by whoever reads the dead letters
            if "RedrivePolicy" in queue:
                dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
                invokes[name] |= invokes[dead]
        follows = {
            name: {reached for queue in sent for reached in invokes[queue]}
            for name, sent in _senders(of_type).items()
        }
        in_a_loop = {name for name in follows if name in _reached(name, follows)}
        assert {"PublishFunction", "StageFunction", "DeliverWebhooksFunction"} <= in_a_loop
        allowed = {n for n, found in functions.items() if found.get("RecursiveLoop") == "Allow"}
        assert allowed == in_a_loop


def _reached(start: str, follows: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(follows[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += follows[name]
    return found


class TestSchedules:
    def test_what_prepare_cannot_handle_goes_to_the_dead_letters(self, of_type: OfType) -> None:
        prepare = of_type("AWS::Lambda::Function")["PrepareFunction"]
        assert prepare["DeadLetterConfig"]["TargetArn"] == {
            "Fn::GetAtt": ["ScheduleDeadLetterQueue", "Arn"]
        }

    def test_the_written_out_arns_are_those_of_the_resources(
        self, of_type: OfType, functions: Resources
    ) -> None:
        variables = functions["PostsFunction"]["Environment"]["Variables"]
        role = of_type("AWS::IAM::Role")["ScheduleRole"]["RoleName"]["Fn::Sub"]
        assert variables["SCHEDULE_ROLE_ARN"]["Fn::Sub"].endswith(f":role/{role}")
        function = functions["PrepareFunction"]["FunctionName"]["Fn::Sub"]
        alias = functions["PrepareFunction"]["AutoPublishAlias"]
        target = variables["SCHEDULE_TARGET_ARN"]["Fn::Sub"]
        assert target.endswith(f":function:{function}:{alias}")
        (fire, give_up) = of_type("AWS::IAM::Role")["ScheduleRole"]["Policies"][0][
            "PolicyDocument"
        ]["Statement"]
        assert fire["Resource"]["Fn::Sub"] == target
        assert give_up["Resource"] == {"Fn::GetAtt": ["ScheduleDeadLetterQueue", "Arn"]}

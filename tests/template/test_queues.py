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

    def test_publish_is_killed_before_its_lease_ends(self, of_type: OfType) -> None:
        lease = Settings.model_fields["lease_seconds"].default
        assert of_type("AWS::Lambda::Function")["PublishFunction"]["Timeout"] < lease


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

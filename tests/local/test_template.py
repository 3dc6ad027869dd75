from pathlib import Path

import pytest

from local.intrinsics import TemplateRefused, read_yaml
from local.system import CorsRule, Route
from local.template import read_parameters, read_system
from tests.local.conftest import TEMPLATE, read_small_system

ROOT = Path(__file__).resolve().parents[2]
ARN = "arn:aws:sqs:us-east-1:123456789012:roost-local-"


class TestReadSystem:
    def test_function_has_the_globals_and_its_own(self) -> None:
        spec = read_small_system("http://127.0.0.1:9").functions["EchoFunction"]

        assert spec.environment["STAGE"] == "local"
        assert spec.environment["OWN"] == "1"
        assert spec.environment["JOBS_URL"] == "http://127.0.0.1:9/123456789012/roost-local-Jobs"
        assert spec.environment["ALIAS"] == f"{spec.arn}:live"
        assert (spec.handler, spec.timeout_seconds, spec.code) == (
            "handlers.echo",
            5,
            TEMPLATE.parent,
        )

    def test_replaced_variables_are_not_resolved(self) -> None:
        assert read_small_system().functions["EchoFunction"].environment["DATABASE_HOST"] == ""
        with pytest.raises(TemplateRefused, match=r"DATABASE_HOST: Cluster exists only in AWS"):
            read_system(
                TEMPLATE, parameters={"Stage": "local"}, environment={}, aws_endpoint="http://x"
            )

    def test_routes_sources_and_queues_come_from_the_template(self) -> None:
        system = read_small_system()

        assert Route("ANY", "/echo/{proxy+}", "EchoFunction") in system.routes
        source = next(one for one in system.sources if one.function == "WorkFunction")
        assert (
            source.queue_arn,
            source.batch_size,
            source.max_concurrency,
            source.reports_failures,
        ) == (f"{ARN}Jobs", 5, 2, True)
        jobs = next(queue for queue in system.queues if queue.logical_id == "Jobs")
        assert jobs.attributes["RedrivePolicy"] == {
            "deadLetterTargetArn": f"{ARN}DeadJobs",
            "maxReceiveCount": 2,
        }

    def test_resources_of_another_stage_are_left_out(self) -> None:
        assert "OnlyInProd" not in {queue.logical_id for queue in read_small_system().queues}

    def test_timer_bucket_and_api_cors(self) -> None:
        system = read_small_system()

        (timer,) = system.timers
        assert (timer.expression, timer.input) == ("rate(1 minute)", '{"tick": true}')
        assert timer.target_arn == system.functions["TickFunction"].arn
        assert system.buckets[0].cors[0].origins == ["https://a.example", "https://b.example"]
        assert system.api_cors == CorsRule(
            ["https://a.example", "https://b.example"], ["GET"], ["auth"], [], 60, credentials=True
        )

    def test_functions_are_found_by_qualified_arn(self) -> None:
        system = read_small_system()
        spec = system.functions["EchoFunction"]

        assert system.function_by_arn(f"{spec.arn}:live") is spec
        assert system.function_by_arn(f"{spec.arn}s") is None

    @pytest.mark.parametrize(
        ("resource", "said"),
        [
            (
                "{Type: AWS::DynamoDB::Table}",
                "New: the local runtime does not know resources of type AWS::DynamoDB::Table",
            ),
            (
                "{Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}",
                r"New\.Properties\.FifoQueue: the local runtime does not know",
            ),
            (
                "{Type: AWS::SQS::Queue, Properties: {DelaySeconds: !Length [1]}}",
                r"New\.DelaySeconds: Fn::Length is not supported",
            ),
            (
                "{Type: AWS::SQS::Queue, Properties: {DelaySeconds: !Ref Nothing}}",
                "Nothing is referred to, but the template has no such resource",
            ),
            (
                "{Type: AWS::SQS::Queue, Properties: {DelaySeconds: !GetAtt Jobs.Colour}}",
                "the local Jobs has no attribute Colour",
            ),
            (
                "{Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, Handler: a.b, Events: {E: {Type: SNS}}}}",
                r"New\.Events\.E: the local runtime does not know events of type SNS",
            ),
        ],
    )
    def test_what_is_not_supported_is_refused_by_name(
        self, tmp_path: Path, resource: str, said: str
    ) -> None:
        changed = tmp_path / "template.yaml"
        changed.write_text(f"{TEMPLATE.read_text()}\n  New: {resource}\n")

        with pytest.raises(TemplateRefused, match=said):
            read_system(
                changed,
                parameters={"Stage": "local"},
                environment={"DATABASE_HOST": ""},
                aws_endpoint="http://x",
            )

    def test_parameter_without_a_value_is_named(self) -> None:
        with pytest.raises(
            TemplateRefused, match="parameter Stage has neither a default nor a local value"
        ):
            read_system(
                TEMPLATE, parameters={}, environment={"DATABASE_HOST": ""}, aws_endpoint="http://x"
            )


class TestIntrinsics:
    @pytest.mark.parametrize(
        ("expression", "value"),
        [
            ('!Join ["-", [a, !Ref AWS::Region]]', "a-us-east-1"),
            ('!Select [1, !Split [",", "a,b"]]', "b"),
            (
                '!Sub "${!Kept} ${AWS::StackName} ${Jobs.QueueName}"',
                "${Kept} roost-local roost-local-Jobs",
            ),
            ('!Sub ["${A}-${Stage}", {A: !Ref Stage}]', "local-local"),
            ("!FindInMap [Limits, local, Batch]", "5"),
            ("!If [IsLocal, yes it is, !Ref Nothing]", "yes it is"),
            ("!If [IsProd, !Ref Nothing, here]", "here"),
        ],
    )
    def test_value(self, tmp_path: Path, expression: str, value: str) -> None:
        changed = tmp_path / "template.yaml"
        function = f"{{Type: AWS::Serverless::Function, Properties: {{Runtime: python3.13, Handler: a.b, Environment: {{Variables: {{V: {expression}}}}}}}}}"
        changed.write_text(f"{TEMPLATE.read_text()}\n  New: {function}\n")

        system = read_system(
            changed,
            parameters={"Stage": "local"},
            environment={"DATABASE_HOST": ""},
            aws_endpoint="http://x",
        )

        assert system.functions["New"].environment["V"] == value

    def test_unreadable_file_is_named(self, tmp_path: Path) -> None:
        broken = tmp_path / "template.yaml"
        broken.write_text("a: [")

        with pytest.raises(TemplateRefused, match=r"template\.yaml is not readable"):
            read_yaml(broken)


class TestReadParameters:
    def test_only_the_stage_local_counts(self, tmp_path: Path) -> None:
        config = tmp_path / "samconfig.toml"
        config.write_text(
            '[local.deploy.parameters]\nparameter_overrides = ["A=1", "B=x=y"]\n[prod.deploy.parameters]\nparameter_overrides = "A=2"\n'
        )

        assert read_parameters(config) == {"A": "1", "B": "x=y"}
        assert read_parameters(tmp_path / "none.toml") == {}


class TestRealTemplate:
    def test_every_handler_has_its_file(self) -> None:
        variables = dict.fromkeys(
            ("DATABASE_HOST", "DATABASE_CA_FILE", "DATABASE_ADMIN_SECRET_NAME", "MEDIA_PUBLIC_URL"),
            "",
        )
        parameters = {
            "Stage": "local",
            "PublicUrl": "http://127.0.0.1:3000",
            "MailDomain": "roost.localhost",
        }

        system = read_system(
            ROOT / "template.yaml",
            parameters=parameters,
            environment=variables,
            aws_endpoint="http://x",
        )

        missing = [
            spec.handler
            for spec in system.functions.values()
            if not (ROOT / spec.handler.rpartition(".")[0].replace(".", "/"))
            .with_suffix(".py")
            .exists()
        ]
        assert missing == []

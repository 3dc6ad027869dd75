"""Does `make deploy` hand SAM everything it needs, and would two stages live beside each other?"""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layers import build, deploy
from layers.build import ROOT
from tests.template.conftest import PARAMETERS, Resources, translate

OfType = Callable[[str], Resources]
FAKE_SAM = """#!/bin/sh
printf '%s\\n' "$PWD" "$@" > "{calls}"
exit 7
"""


@pytest.fixture
def built(tmp_path: Path, template: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build that holds the template and one file of code."""
    folder = tmp_path / "build"
    (folder / "IdentityFunction").mkdir(parents=True)
    (folder / "IdentityFunction" / "app.py").write_text("one")
    build._write_template(template, folder)
    monkeypatch.setattr(deploy, "BUILD", folder)
    return folder


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SAM CLI that writes down how it was called."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    (folder / "sam").write_text(FAKE_SAM.format(calls=calls))
    (folder / "sam").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(deploy, "_account_limit", lambda stage: 1000)
    return calls


class TestTarget:
    def test_it_builds_and_then_deploys_the_stage(self) -> None:
        """Finding 7.1: the target itself, as make would run it."""
        planned = subprocess.run(
            ["make", "-n", "deploy", "stage=dev", "SAM=", "ARGS=Egress=gateway"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=30,
        ).stdout  # fmt: skip
        steps = [line for line in planned.splitlines() if "-m layers." in line]
        assert [step.split("-m ")[1] for step in steps] == [
            "layers.build",
            "layers.deploy dev Egress=gateway",
        ]

    @pytest.mark.parametrize("stage", ["dev", "prod"])
    def test_every_path_that_sam_gets_is_absolute_and_there(
        self, stage: str, built: Path, sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 7.1: SAM looks for a relative configuration beside the template and found no stack name."""
        monkeypatch.chdir(tmp_path)
        assert deploy.main([stage]) == 7  # SAM's own status
        _folder, *said = sam.read_text().splitlines()
        given = dict(zip(said[1::2], said[2::2], strict=True))
        for option in ("--template-file", "--config-file"):
            assert Path(given[option]).is_absolute()
            assert Path(given[option]).exists()
        written = json.loads(Path(given["--config-file"]).read_text())
        chosen = written[given["--config-env"]]["deploy"]["parameters"]
        assert chosen["stack_name"]
        assert chosen["region"]
        assert "CAPABILITY_AUTO_EXPAND" in chosen["capabilities"]

    def test_values_with_blanks_arrive_whole(self, built: Path, sam: Path) -> None:
        """Finding 7.1, a sibling: SAM cuts `rate(1 hour)` at the blank in a list, but takes a mapping as it is."""
        deploy.main(["dev"])
        written = json.loads((built / "samconfig.yaml").read_text())
        given = written["dev"]["deploy"]["parameters"]["parameter_overrides"]
        assert given["ReconcileRate"] == "rate(1 hour)"
        assert given["Stage"] == "dev"

    def test_a_parameter_of_the_command_line_goes_before_the_files(
        self, built: Path, sam: Path
    ) -> None:
        deploy.main(["dev", "Egress=gateway", "--no-confirm-changeset"])
        written = json.loads((built / "samconfig.yaml").read_text())
        assert written["dev"]["deploy"]["parameters"]["parameter_overrides"]["Egress"] == "gateway"
        assert sam.read_text().splitlines()[-1] == "--no-confirm-changeset"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "Name one of dev, prod"),
            (["staging"], "no environment 'staging'"),
            (["dev", "egress=gateway"], "no parameter egress"),
            (["dev", "Egress=both"], "must be one of gateway, instance"),
            (["dev", "PublicUrl=http://x"], "must match https://"),
            (["dev", "Egress"], "Write it as Name=Value"),
            (["dev", "MailTransport=smtp"], "SmtpHost is missing"),
        ],
    )
    def test_what_cannot_work_is_refused_before_anything_is_uploaded(
        self,
        arguments: list[str],
        words: str,
        built: Path,
        sam: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert deploy.main(arguments) == 1
        assert words in capsys.readouterr().err
        assert not sam.exists()

    def test_without_sam_it_says_where_it_comes_from(
        self, built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr(deploy, "SAM_ENVIRONMENT", built / "none")
        monkeypatch.setattr(deploy, "_account_limit", lambda stage: None)
        assert deploy.main(["dev"]) == 1
        assert "The SAM CLI is missing" in capsys.readouterr().err


class TestRelease:
    def test_it_follows_code_template_and_every_parameter(self, built: Path) -> None:
        """Finding 7.3: the digest that names the versions."""
        given = {"Stage": "dev", "LogLevel": "INFO"}
        first = deploy.build_digest(built, given)
        assert deploy.build_digest(built, dict(reversed(given.items()))) == first
        assert deploy.build_digest(built, {**given, "LogLevel": "DEBUG"}) != first
        (built / "IdentityFunction" / "app.py").write_text("two")
        second = deploy.build_digest(built, given)
        assert second != first
        template = json.loads((built / "template.yaml").read_text())
        del template["Outputs"]
        (built / "template.yaml").write_text(json.dumps(template))
        assert deploy.build_digest(built, given) != second

    def test_what_is_written_for_sam_is_no_part_of_it(self, built: Path) -> None:
        """Finding 7.3: a deployment that changes nothing makes no version."""
        stage = deploy.read_environment("dev")
        first = deploy.build_digest(built, stage.parameters)
        deploy.write_config(stage, first)
        assert deploy.build_digest(built, stage.parameters) == first

    def test_the_template_carries_it_and_it_does_not_follow_itself(
        self, built: Path, sam: Path
    ) -> None:
        """Finding 7.3: who expands the template without parameters sees a release that changes with them."""
        defaults = []
        for given in ("LogLevel=INFO", "LogLevel=INFO", "LogLevel=DEBUG"):
            deploy.main(["dev", given])
            template = json.loads((built / "template.yaml").read_text())
            written = json.loads((built / "samconfig.yaml").read_text())
            overrides = written["dev"]["deploy"]["parameters"]["parameter_overrides"]
            defaults.append(template["Parameters"]["Release"]["Default"])
            assert overrides["Release"] == defaults[-1]
        assert re.fullmatch("[0-9a-f]{64}", defaults[0])
        assert defaults[0] == defaults[1] != defaults[2]

    def test_the_template_takes_it(self, template: dict[str, Any]) -> None:
        declared = template["Parameters"]["Release"]
        assert re.fullmatch(declared["AllowedPattern"], "0" * 64)
        assert re.fullmatch(declared["AllowedPattern"], declared["Default"])


class TestTwoStages:
    def test_no_resource_has_a_name_that_another_stage_would_have_too(
        self, template: dict[str, Any]
    ) -> None:
        """Finding 7.2: three schedules were named by their logical id, so a second stage could not be created."""
        made = translate(template, code="code", layers="layers")
        named = {
            f"{resource_id}.{key}": value
            for resource_id, resource in made.items()
            for key, value in resource.get("Properties", {}).items()
            if key in NAMES.get(resource["Type"], ())
        }
        assert len(named) > 25
        assert [place for place, value in named.items() if not _differs(value)] == []

    def test_every_type_that_must_be_named_is_judged(self, of_type: OfType) -> None:
        """Finding 7.2: a schedule without a name would get its logical id from SAM."""
        for name, schedule in of_type("AWS::Scheduler::Schedule").items():
            assert {"Name", "GroupName"} <= set(schedule), name


# Which properties name a resource within an account and region.
NAMES = {
    "AWS::Lambda::Function": ("FunctionName",),
    "AWS::Scheduler::Schedule": ("Name",),
    "AWS::Scheduler::ScheduleGroup": ("Name",),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName",),
    "AWS::SQS::Queue": ("QueueName",),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::SecretsManager::Secret": ("Name",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
    "AWS::CloudWatch::Dashboard": ("DashboardName",),
    "AWS::SNS::Topic": ("TopicName",),
    "AWS::RDS::DBCluster": ("DBClusterIdentifier",),
    "AWS::RDS::DBInstance": ("DBInstanceIdentifier",),
    "AWS::SES::EmailIdentity": ("EmailIdentity",),
    "AWS::CloudFront::OriginAccessControl": ("OriginAccessControlConfig",),
    "AWS::CloudFront::ResponseHeadersPolicy": ("ResponseHeadersPolicyConfig",),
    "AWS::EC2::LaunchTemplate": ("LaunchTemplateName",),
    "AWS::Route53::HealthCheck": (),
}


def _differs(value: Any) -> bool:
    """Return whether a name holds the stack's name, or follows from a parameter that is a stage's own."""
    text = json.dumps(value)
    return "AWS::StackName" in text or any(given in text for given in OWN)


OWN = (PARAMETERS["PublicUrl"], '{"Ref": "MailDomain"}')


class TestCors:
    @pytest.mark.parametrize(("further", "branch"), [("", 2), ("https://a.example", 1)])
    def test_the_expanded_api_has_the_whole_configuration(
        self, further: str, branch: int, template: dict[str, Any]
    ) -> None:
        """Finding 7.4: an intrinsic function in AllowOrigins made SAM take the origins for the whole configuration."""
        parameters = {**PARAMETERS, "CorsOrigins": further}
        made = translate(template, code="code", layers="layers", parameters=parameters)
        body = made["HttpApi"]["Properties"]["Body"]
        given = body["x-amazon-apigateway-cors"]["Fn::If"][branch]
        assert set(given) == {
            *("allowCredentials", "allowOrigins", "allowMethods", "allowHeaders"),
            *("exposeHeaders", "maxAge"),
        }
        assert given["allowCredentials"] is True
        assert PARAMETERS["PublicUrl"] in json.dumps(given["allowOrigins"])
        assert (further in json.dumps(given["allowOrigins"])) or not further


class TestConcurrency:
    """Finding 2.12: what a stage needs of the account's limit is said before anything is uploaded."""

    def note(self, template: dict[str, Any], *, limit: int | None, **given: str) -> str:
        return deploy.concurrency_note(given, template, limit=limit)

    def test_a_limit_that_suffices(self, template: dict[str, Any]) -> None:
        assert "needs 200 of them" in self.note(template, limit=1000)

    def test_a_new_account_is_told_what_to_request(self, template: dict[str, Any]) -> None:
        words = self.note(template, limit=10)
        assert "Request 1000 under Service Quotas > AWS Lambda > Concurrent executions" in words

    def test_reserving_more_than_there_is_is_refused(self, template: dict[str, Any]) -> None:
        with pytest.raises(deploy.DeployRefused, match="ReserveConcurrency=off until"):
            self.note(template, limit=500, ReserveConcurrency="on")
        assert "needs" in self.note(template, limit=1000, ReserveConcurrency="on")

    def test_pollers_need_their_share(self, template: dict[str, Any]) -> None:
        with pytest.raises(deploy.DeployRefused, match="at least 400"):
            self.note(template, limit=9000, ReserveConcurrency="on", PublishPollers="40")

    def test_an_unknown_limit_is_no_obstacle(self, template: dict[str, Any]) -> None:
        assert "is unknown" in self.note(template, limit=None)

    def test_a_consumer_may_reserve_at_least_what_its_queues_may_use(
        self, template: dict[str, Any], of_type: OfType
    ) -> None:
        """Finding 2.12: with less, pollers take messages that cannot be delivered, and they end as dead letters."""
        functions = of_type("AWS::Lambda::Function")
        used: dict[str, int] = {}
        for source in of_type("AWS::Lambda::EventSourceMapping").values():
            most = source["ScalingConfig"]
            if "Fn::If" in most:
                most = most["Fn::If"][2]
            name = source["FunctionName"]["Ref"]
            used[name] = used.get(name, 0) + int(_default(most["MaximumConcurrency"], template))
        for name, most_at_once in used.items():
            kept = functions[name]["ReservedConcurrentExecutions"]["Fn::If"]
            assert kept[0] == "ReservesConcurrency"
            assert int(_default(kept[1], template)) >= most_at_once, name

    def test_every_function_but_migrate_has_its_share(self, of_type: OfType) -> None:
        without = {
            name
            for name, found in of_type("AWS::Lambda::Function").items()
            if "ReservedConcurrentExecutions" not in found
        }
        assert without == {"MigrateFunction"}


def _default(value: Any, template: dict[str, Any]) -> Any:
    return template["Parameters"][value["Ref"]]["Default"] if isinstance(value, dict) else value

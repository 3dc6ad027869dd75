"""Does each resource name what it is meant to name: its own rate, a parameter's effect, the code's own limits and headers?"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from layers.build import ROOT
from shared.publishing.stage import LEASE
from shared.web import app
from tests.template.conftest import Resources

OfType = Callable[[str], Resources]
RATES = {
    "ReconcileFunction": "ReconcileRate",
    "TokenRefreshFunction": "TokenRefreshRate",
    "DigestFunction": "DigestRate",
}


class TestRates:
    @pytest.mark.parametrize("function", RATES)
    def test_each_sweep_runs_at_its_own_rate_and_calls_itself(
        self, function: str, of_type: OfType
    ) -> None:
        """Finding 8.17: reconcile at the digest's rate was noticed by no test."""
        schedule = of_type("AWS::Scheduler::Schedule")[f"{function}Rate"]
        assert schedule["ScheduleExpression"] == {"Ref": RATES[function]}
        assert schedule["Target"]["Arn"] == {"Fn::GetAtt": [function, "Arn"]}
        assert schedule["GroupName"] == {"Ref": "ScheduleGroup"}


class TestParameters:
    def test_every_parameter_has_an_effect(self, template: dict[str, Any]) -> None:
        """Finding 8.17: a parameter that nothing refers to."""
        used = json.dumps({k: v for k, v in template.items() if k != "Parameters"})
        unused = [
            name
            for name in template["Parameters"]
            if f'"Ref": "{name}"' not in used and f"${{{name}}}" not in used
        ]
        assert unused == []

    def test_every_condition_decides_something(self, template: dict[str, Any]) -> None:
        """Finding 8.17: a switch that switches nothing."""
        whole = json.dumps(template)
        for name in template["Conditions"]:
            used = (f'"Fn::If": ["{name}"', f'"Condition": "{name}"')
            assert any(each in whole for each in used), name

    @pytest.mark.parametrize(
        ("variable", "parameter"),
        [
            ("LOG_LEVEL", "LogLevel"), ("DISABLE_REGISTRATION", "DisableRegistration"),
            ("PASSWORD_RANGE_URL", "PasswordRangeUrl"),
            ("CORS_ORIGINS", "CorsOrigins"), ("PUBLIC_URL", "PublicUrl"), ("STAGE", "Stage"),
            ("DISABLED_FEATURES", "DisabledFeatures"), ("HIDDEN_PROVIDERS", "HiddenProviders"),
            ("MAIL_TRANSPORT", "MailTransport"), ("SMTP_HOST", "SmtpHost"), ("SMTP_PORT", "SmtpPort"),
            ("SMTP_SECURITY", "SmtpSecurity"), ("SMTP_USER", "SmtpUser"), ("SENTRY_DSN", "SentryDsn"),
            ("MASTODON_URL", "MastodonUrl"), ("SECURITY_CONTACT", "SecurityContact"),
            ("GENERIC_OAUTH", "GenericOauth"),
            ("OAUTH_URL", "OauthUrl"), ("OAUTH_CLIENT_ID", "OauthClientId"),
            ("OAUTH_SCOPE", "OauthScope"), ("OAUTH_DISPLAY_NAME", "OauthDisplayName"),
            ("OAUTH_LOGO_URL", "OauthLogoUrl"), ("OAUTH_AUTH_URL", "OauthAuthUrl"),
            ("OAUTH_TOKEN_URL", "OauthTokenUrl"), ("OAUTH_USERINFO_URL", "OauthUserinfoUrl"),
        ],
    )  # fmt: skip
    def test_a_variable_comes_from_the_parameter_of_its_name(
        self, variable: str, parameter: str, functions: Resources
    ) -> None:
        """Finding 8.17: two variables exchanged."""
        for function in functions.values():
            assert function["Environment"]["Variables"][variable] == {"Ref": parameter}


class TestDatabase:
    def test_production_cannot_be_deleted_by_mistake(
        self, of_type: OfType, template: dict[str, Any]
    ) -> None:
        """Finding 8.17: deletion protection off was noticed by no test."""
        assert template["Conditions"]["IsProd"] == {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}
        assert "prod" in template["Parameters"]["Stage"]["AllowedValues"]
        (cluster,) = of_type("AWS::RDS::DBCluster").values()
        assert cluster["DeletionProtection"] == {"Fn::If": ["IsProd", True, False]}
        assert cluster["DBClusterParameterGroupName"] == {"Ref": "DatabaseParameters"}
        assert cluster["EnableHttpEndpoint"] is True  # the runbook of restoring needs it

    def test_connections_are_encrypted(self, of_type: OfType) -> None:
        """Finding 8.17: `force_ssl` off was noticed by no test."""
        (group,) = of_type("AWS::RDS::DBClusterParameterGroup").values()
        assert group["Parameters"]["rds.force_ssl"] == "1"


class TestLimits:
    def test_media_are_let_go_before_the_function_is_killed(self, of_type: OfType) -> None:
        """Finding 8.17: the code's own times and the function's have to fit each other."""
        stage = of_type("AWS::Lambda::Function")["StageFunction"]
        assert 0 < LEASE.total_seconds() <= stage["Timeout"] + 120

    def test_migrate_has_the_longest_time_and_its_resource_waits_for_it(
        self, of_type: OfType
    ) -> None:
        """Finding 7.6: it waits for minutes; a shorter limit would cut that off."""
        timeout = of_type("AWS::Lambda::Function")["MigrateFunction"]["Timeout"]
        assert timeout == 900
        (migration,) = of_type("Custom::Migration").values()
        assert migration["ServiceTimeout"] >= timeout


class TestCors:
    @pytest.mark.parametrize("branch", [1, 2])
    def test_the_gateway_and_the_application_name_the_same_headers(
        self, branch: int, template: dict[str, Any]
    ) -> None:
        """Finding 8.17: a header that the gateway does not admit never reaches the application."""
        given = template["Resources"]["HttpApi"]["Properties"]["CorsConfiguration"]["Fn::If"][
            branch
        ]
        assert set(app._OURS_TO_SEND) == set(given["AllowHeaders"])
        assert set(app._OURS_TO_READ) <= set(given["ExposeHeaders"])
        assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(given["AllowMethods"])


class TestNatInstance:
    def test_the_route_waits_for_its_signal(self, resources: Resources) -> None:
        """Finding 7.6: migrate ran before the machine forwarded anything."""
        machine = resources["NatInstance"]
        assert machine["CreationPolicy"]["ResourceSignal"]["Count"] == 1
        script = resources["NatInstanceTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
        assert "--resource NatInstance " in json.dumps(script)
        assert {"Ref": "NatInstance"} in resources["DefaultRoute"]["Properties"]["InstanceId"][
            "Fn::If"
        ]
        assert "DefaultRoute" in resources["MigrateFunction"]["DependsOn"]

    def test_a_newer_image_replaces_nothing_and_a_generation_does(
        self, template: dict[str, Any]
    ) -> None:
        """Finding 7.6: a deployment took the latest image and replaced the machine."""
        declared = template["Parameters"]["NatInstanceImage"]
        assert (
            declared["Type"] == "String"
        )  # CloudFormation would look an SSM type up at each deployment
        assert declared["Default"].startswith("resolve:ssm:/")
        launched = template["Resources"]["NatInstanceTemplate"]["Properties"]["LaunchTemplateData"]
        assert launched["ImageId"] == {"Fn::Sub": "${NatInstanceImage}"}
        assert "NatInstanceGeneration" in json.dumps(launched["UserData"])

    @pytest.mark.parametrize(
        ("image", "is_taken"),
        [
            ("ami-0123456789abcdef0", True),
            ("resolve:ssm:/own/nat-image:3", True),
            ("resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64", True),
            ("{{resolve:ssm:/own/nat-image}}", False),  # looked up at each deployment
            ("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64", False),
            ("ami-latest", False),
        ],
    )  # fmt: skip
    def test_an_image_can_be_pinned(
        self, template: dict[str, Any], image: str, is_taken: bool
    ) -> None:
        """Finding 7.6: the image was no parameter that is raised on purpose."""
        declared = template["Parameters"]["NatInstanceImage"]
        assert bool(re.fullmatch(declared["AllowedPattern"], image)) is is_taken
        assert re.fullmatch(declared["AllowedPattern"], declared["Default"])

    def test_each_way_out_has_its_own_address(self, template: dict[str, Any]) -> None:
        """Finding 7.7: switching Egress collided on one address."""
        resources = template["Resources"]
        gateway = resources["NatGateway"]["Properties"]["AllocationId"]["Fn::GetAtt"][0]
        machine = resources["NatInstanceAddress"]["Properties"]["AllocationId"]["Fn::GetAtt"][0]
        assert gateway != machine
        assert resources[gateway]["Condition"] == "UsesGateway"
        assert resources[machine]["Condition"] == "UsesInstance"

    def test_the_guide_names_the_parameter(self) -> None:
        """Finding 7.7: the runbook said to terminate it and deploy, which recreated nothing."""
        guide = (ROOT / "docs" / "operations.md").read_text()
        assert "raise `NatInstanceGeneration`" in guide
        assert "terminate it and deploy" not in guide

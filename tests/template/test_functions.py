"""Do the template, the folders, the settings and the documented paths name the same things?"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from layers.build import ROOT
from shared.access.policy import POLICY
from shared.core.config import Settings
from tests.template.conftest import PARAMETERS, Resources, translate

OfType = Callable[[str], Resources]

# Which function answers which path; the longest prefix wins. The architecture's table, as far as it is built.
PATHS = {
    "IdentityFunction": ["/auth/*", "/user/*", "/app"],
    "OrganizationsFunction": [
        "/settings/*",
        "/organizations/*",
        "/notifications/*",
        "/customers/*",
        "/app/ownership/*",
        "/announcements/*",
    ],
    "AdminFunction": ["/admin/*"],
    "PostsFunction": ["/posts/*", "/app/posts/*"],
    "ChannelsFunction": ["/integrations/*", "/app/integrations/social/*"],
    "MediaFunction": ["/media/*"],
    "AutomationFunction": ["/webhooks/*"],
    "PublicApiFunction": ["/public/v1/*", "/api/public/v1/*", "$default"],
    "AppsFunction": [
        *("/oauth/*", "/device/*", "/.well-known/*", "/user/oauth-app/*", "/user/approved-apps/*"),
        *("/api/oauth/*", "/api/device/*", "/api/.well-known/*"),
    ],
    "McpFunction": ["/mcp/*", "/api/mcp/*"],
    "RootFunction": [
        *("/", "/health", "/health/ready", "/docs/*", "/openapi.json"),
        *("/.well-known/security.txt", "/monitor/*"),
    ],
}
# Variables that Powertools reads, not we.
OTHERS_READ = {"POWERTOOLS_SERVICE_NAME"}


def _routes(function: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (event["Properties"].get("Method", "ANY"), event["Properties"].get("Path", "$default"))
        for event in function.get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }


def _prefix(path: str) -> str:
    return path.replace("{proxy+}", "*")


def _passed_to(events: Mapping[str, str], path: str) -> str:
    """Return the function that API Gateway calls: that of the path itself, else that of the longest prefix."""
    if path in events:
        return events[path]
    prefixes = [one for one in events if path.startswith(one.removesuffix("{proxy+}"))]
    below = [one for one in prefixes if one.endswith("/{proxy+}") and len(path) > len(one) - 8]
    return events[max(below, key=len, default="$default")]


def _owner(path: str) -> str:
    """Return the function that the table gives a path."""
    owners = {
        pattern.removesuffix("/*"): name for name, patterns in PATHS.items() for pattern in patterns
    }
    return owners[
        max(
            (one for one in owners if f"{path}/".startswith(f"{one}/")), key=len, default="$default"
        )
    ]


class TestRoutes:
    def test_paths_are_those_of_the_table(self, functions: Resources) -> None:
        for name, function in functions.items():
            own = {_prefix(path) for _, path in _routes(function)}
            covered = {path for path in own if f"{path}/*" not in own}
            assert covered == set(PATHS.get(name, [])), name

    def test_the_gateway_passes_every_route_to_the_function_that_has_it(
        self, functions: Resources
    ) -> None:
        """`{proxy+}` stands for one segment or more, so what a route without an id needs is a path of its own."""
        events = {path: name for name, found in functions.items() for _, path in _routes(found)}
        for key in POLICY:
            path = re.sub(r"\{[^}]+\}", "x", key.partition(" ")[2])
            assert _passed_to(events, path) == _owner(path), key
        assert _passed_to(events, "/nowhere") == "PublicApiFunction"

    def test_what_is_public_is_below_api_too(self, functions: Resources) -> None:
        """Finding 5.1: clients are given `https://host/api` as the base as often as `https://host`."""
        owners = {path: name for name, found in functions.items() for _, path in _routes(found)}
        public = {
            path: owner
            for path, owner in owners.items()
            if path.startswith(("/public/", "/mcp", "/oauth/", "/device", "/.well-known/{"))
        }
        assert len(public) == 7
        for path, owner in public.items():
            assert owners[f"/api{path}"] == owner

    def test_a_path_beside_its_own_prefix_belongs_to_the_same_function(
        self, functions: Resources
    ) -> None:
        owners = {path: name for name, found in functions.items() for _, path in _routes(found)}
        for path, owner in owners.items():
            assert owners.get(path.removesuffix("/{proxy+}"), owner) == owner

    def test_the_gateway_decides_no_method(self, functions: Resources) -> None:
        # A method that a path does not know is a 405 in the format of our errors, which the gateway does not know.
        methods = {method for found in functions.values() for method, _ in _routes(found)}
        assert methods == {"ANY"}

    def test_http_functions_answer_before_the_gateway_gives_up(self, functions: Resources) -> None:
        for name in PATHS:
            assert functions[name]["Timeout"] < 30

    def test_no_shared_throttle_is_low_enough_to_be_an_attack(
        self, template: dict[str, Any]
    ) -> None:
        """Finding 2.7: 20 requests a second to `/auth/*` from anywhere blocked everybody's login."""
        api = template["Resources"]["HttpApi"]["Properties"]
        limits = [api["DefaultRouteSettings"], *api.get("RouteSettings", {}).values()]
        # The account's limits, which every stage shares anyway.
        for limit in limits:
            assert limit.get("ThrottlingRateLimit", 10_000) >= 10_000
            assert limit.get("ThrottlingBurstLimit", 5_000) >= 5_000


class TestCode:
    def test_every_function_has_its_folder_and_every_folder_its_function(
        self, functions: Resources
    ) -> None:
        named = {"/".join(found["Handler"].split(".")[:3]) for found in functions.values()}
        there = {
            str(path.relative_to(ROOT).with_suffix(""))
            for path in (ROOT / "functions").glob("*/app.py")
        }
        assert named == there

    def test_every_handler_is_defined_in_its_file(self, functions: Resources) -> None:
        for function in functions.values():
            *module, entry = function["Handler"].split(".")
            source = Path(ROOT, *module).with_suffix(".py").read_text()
            assert f"def {entry}(" in source or f"\n{entry} = " in source, function["Handler"]

    def test_a_function_is_one_file(self) -> None:
        extra = [
            path
            for path in (ROOT / "functions").glob("*/*.py")
            if path.name not in ("app.py", "__init__.py")
        ]
        assert extra == []

    def test_every_function_runs_where_the_wheels_are_for(self, functions: Resources) -> None:
        for function in functions.values():
            assert function["Runtime"] == "python3.13"
            assert function["Architectures"] == ["arm64"]

    def test_every_function_waits_for_the_schema(self, template: dict[str, Any]) -> None:
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::Serverless::Function" and name != "MigrateFunction":
                assert resource["DependsOn"] == "Migration"


class TestEnvironment:
    def test_every_variable_is_a_setting(self, functions: Resources) -> None:
        known = {name.upper() for name in Settings.model_fields} | OTHERS_READ
        for name, function in functions.items():
            assert set(function["Environment"]["Variables"]) <= known, name

    def test_what_has_no_default_that_works_in_aws_is_set(self, functions: Resources) -> None:
        needed = {
            *("STAGE", "PUBLIC_URL", "DATABASE_HOST", "DATABASE_CA_FILE", "KMS_KEY_ID"),
            *("PUBLISH_QUEUE_URL", "STAGE_QUEUE_URL", "VARIANTS_QUEUE_URL", "SCHEDULE_GROUP"),
            *("SCHEDULE_ROLE_ARN", "SCHEDULE_TARGET_ARN", "SCHEDULE_DEAD_LETTER_ARN"),
            *("APP_SECRET_NAME", "PROVIDERS_SECRET_NAME", "MEDIA_BUCKET", "MEDIA_PUBLIC_URL"),
            *(
                "MAIL_FROM",
                "MAIL_TRANSPORT",
                "SMTP_HOST",
                "SMTP_PORT",
                "SMTP_SECURITY",
                "SMTP_USER",
            ),
            "SMTP_SECRET_NAME",
        }
        for name, function in functions.items():
            assert needed <= set(function["Environment"]["Variables"]), name

    def test_nothing_secret_is_in_a_variable(self, functions: Resources) -> None:
        for function in functions.values():
            for variable, value in function["Environment"]["Variables"].items():
                assert "resolve:secretsmanager" not in str(value), variable


class TestSnapshots:
    def test_snap_start_serves_an_alias_and_only_http(self, functions: Resources) -> None:
        for name, function in functions.items():
            assert ("SnapStart" in function) == (name in PATHS), name
            if name in PATHS:
                assert function["SnapStart"] == {
                    "ApplyOn": {"Fn::If": ["HasSnapStart", "PublishedVersions", "None"]}
                }
                assert function["AutoPublishAlias"] == "live"

    def test_every_property_makes_a_version_where_there_is_an_alias(
        self, functions: Resources
    ) -> None:
        for function in functions.values():
            if "AutoPublishAlias" in function:
                assert function["AutoPublishAliasAllProperties"] is True

    def test_an_old_version_goes_away(self, functions: Resources) -> None:
        # The snapshot of a version is paid for as long as the version exists.
        for function in functions.values():
            if "AutoPublishAlias" in function:
                assert function["VersionDeletionPolicy"] == "Delete"

    def test_a_new_release_moves_every_alias(self, template: dict[str, Any]) -> None:
        """Finding 7.3: SAM hashes references, not values, so a changed parameter alone made no version."""
        parameters = {**PARAMETERS, "Release": "a" * 64}
        before = translate(template, code="code", layers="one", parameters=parameters)
        same = translate(template, code="code", layers="one", parameters=parameters)
        after = translate(
            template, code="code", layers="one", parameters={**parameters, "Release": "b" * 64}
        )
        aliases = {n for n, found in before.items() if found["Type"] == "AWS::Lambda::Alias"}
        assert len(_versions(before)) == len(aliases) == 13
        assert _versions(before) == _versions(same)
        assert not _versions(before) & _versions(after)

    @pytest.mark.parametrize(("code", "layers"), [("new", "one"), ("code", "two")])
    def test_new_content_moves_every_alias_without_a_release_too(
        self, code: str, layers: str, template: dict[str, Any]
    ) -> None:
        """Finding 7.3: whoever calls `sam deploy` directly gets new versions for new code and new layers."""
        before = translate(template, code="code", layers="one")
        assert not _versions(before) & _versions(translate(template, code=code, layers=layers))


def _versions(resources: Resources) -> set[str]:
    return {name for name, found in resources.items() if found["Type"] == "AWS::Lambda::Version"}

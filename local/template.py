"""Reads `template.yaml`: the functions, routes, queues, timers and stores that the runtime provides.

They are declared nowhere else. A resource type or property that is neither provided here nor known to matter only in AWS
is refused by name, so that the local system cannot silently differ from the template.
"""

import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.intrinsics import Reference, Resolver, TemplateRefused, read_yaml
from local.properties import AWS_ONLY, HONOURED, WITHOUT_EFFECT
from local.system import (
    ACCOUNT,
    REGION,
    STACK,
    BucketSpec,
    CorsRule,
    FunctionSpec,
    QueueSource,
    QueueSpec,
    Route,
    SecretSpec,
    System,
    TimerSpec,
    arn_of,
    secret_arn,
    stable_uuid,
)


def read_parameters(samconfig: Path) -> dict[str, str]:
    """Read the parameters of the environment `local` in `samconfig.toml`; empty if it is not there."""
    if not samconfig.exists():
        return {}
    stages = tomllib.loads(samconfig.read_text(encoding="utf-8"))
    overrides = (
        stages.get("local", {})
        .get("deploy", {})
        .get("parameters", {})
        .get("parameter_overrides", [])
    )
    pairs = shlex.split(overrides) if isinstance(overrides, str) else overrides
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def read_system(
    path: Path,
    *,
    parameters: Mapping[str, str],
    environment: Mapping[str, str],
    aws_endpoint: str,
    exports: Mapping[str, str] | None = None,
) -> System:
    """Read the system that a template describes.

    `environment` replaces variables of functions, and the template's values are then not resolved. `aws_endpoint` is the
    base of queue URLs.

    Raises:
        TemplateRefused: the template uses something unsupported; the message names the place.
    """
    return _Reader(path, parameters, environment, aws_endpoint, exports or {}).system()


@dataclass(slots=True)
class _Found:
    functions: dict[str, FunctionSpec] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    sources: list[QueueSource] = field(default_factory=list)
    timers: list[TimerSpec] = field(default_factory=list)


class _Reader:
    def __init__(
        self,
        path: Path,
        parameters: Mapping[str, str],
        environment: Mapping[str, str],
        aws_endpoint: str,
        exports: Mapping[str, str],
    ) -> None:
        self._folder = path.parent
        self._template = read_yaml(path)
        self._environment = environment
        self._endpoint = aws_endpoint
        self._found = _Found()
        pseudo = {
            "AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": STACK, "AWS::StackId": arn_of("cloudformation", f"stack/{STACK}/local"),
        }  # fmt: skip
        self._resolver = Resolver(
            self._template, parameters=parameters, pseudo=pseudo, exports=exports, refer=self._refer
        )
        self._resources = {
            name: body
            for name, body in self._template.get("Resources", {}).items()
            if self._exists(name, body)
        }

    def system(self) -> System:
        for name, body in self._resources.items():
            self._check(name, body)
        for name in self._of_type("AWS::Serverless::Function"):
            self._function(name)
        for name in self._of_type("AWS::Lambda::EventSourceMapping"):
            self._mapping(name)
        for name in self._of_type("AWS::Scheduler::Schedule"):
            self._schedule(name)
        apis = self._of_type("AWS::Serverless::HttpApi")
        cors = self._api_cors(next(iter(apis))) if apis else None
        return System(
            functions=self._found.functions,
            routes=self._found.routes,
            sources=self._found.sources,
            timers=self._found.timers,
            queues=[self._queue(name) for name in self._of_type("AWS::SQS::Queue")],
            buckets=[self._bucket(name) for name in self._of_type("AWS::S3::Bucket")],
            secrets=[self._secret(name) for name in self._of_type("AWS::SecretsManager::Secret")],
            key_ids=[self._reference(name).ref for name in self._of_type("AWS::KMS::Key")],
            key_aliases={
                str(self._property(name, "AliasName")): str(self._property(name, "TargetKeyId"))
                for name in self._of_type("AWS::KMS::Alias")
            },
            schedule_groups=[
                self._reference(name).ref for name in self._of_type("AWS::Scheduler::ScheduleGroup")
            ],
            mail_identities=[
                str(self._property(name, "EmailIdentity"))
                for name in self._of_type("AWS::SES::EmailIdentity")
            ],
            api_cors=cors,
        )

    # Resources and their names

    def _exists(self, name: str, body: Mapping[str, Any]) -> bool:
        condition = body.get("Condition")
        return condition is None or self._resolver.holds(condition, f"{name}.Condition")

    def _of_type(self, type_name: str) -> list[str]:
        return [name for name, body in self._resources.items() if body["Type"] == type_name]

    def _check(self, name: str, body: Mapping[str, Any]) -> None:
        type_name = body.get("Type", "")
        if type_name in HONOURED:
            known = HONOURED[type_name] | WITHOUT_EFFECT[type_name]
            unknown = sorted(set(body.get("Properties", {})) - known)
            if unknown:
                raise TemplateRefused(
                    f"{name}.Properties.{unknown[0]}: the local runtime does not know this property of {type_name}"
                )
        elif not type_name.startswith(AWS_ONLY):
            raise TemplateRefused(
                f"{name}: the local runtime does not know resources of type {type_name}"
            )

    def _property(self, name: str, key: str, default: Any = None) -> Any:
        properties = self._resources[name].get("Properties", {})
        return (
            self._resolver.resolve(properties[key], f"{name}.{key}")
            if key in properties
            else default
        )

    def _reference(self, name: str) -> Reference:
        reference = self._refer(name)
        if reference is None:
            raise TemplateRefused(f"{name} exists only in AWS")
        return reference

    def _refer(self, name: str) -> Reference | None:
        """Return a resource's local name; None if it exists only in AWS."""
        owner, _, part = name.partition(".")
        if owner not in self._resources:
            raise TemplateRefused(f"{name} is referred to, but the template has no such resource")
        type_name = self._resources[owner]["Type"]
        if type_name == "AWS::Serverless::Function":
            return self._refer_function(owner, part)
        named = {
            "AWS::SQS::Queue": self._refer_queue,
            "AWS::S3::Bucket": self._refer_bucket,
            "AWS::SecretsManager::Secret": self._refer_secret,
            "AWS::Scheduler::ScheduleGroup": self._refer_group,
            "AWS::IAM::Role": self._refer_role,
        }
        if type_name in named:
            return named[type_name](owner)
        if type_name == "AWS::KMS::Key":
            # Ciphertexts contain the id of their KMS key, so it is the same in every home.
            key_id = stable_uuid(owner)
            return Reference(key_id, {"Arn": arn_of("kms", f"key/{key_id}"), "KeyId": key_id})
        if type_name == "AWS::KMS::Alias":
            return Reference(str(self._property(owner, "AliasName")))
        if type_name == "AWS::SES::EmailIdentity":
            return Reference(str(self._property(owner, "EmailIdentity")))
        if type_name == "AWS::Serverless::HttpApi":
            return Reference("local")
        return None

    def _physical_name(self, name: str, key: str) -> str:
        return str(self._property(name, key, f"{STACK}-{name}"))

    def _refer_function(self, owner: str, part: str) -> Reference:
        function_name = self._physical_name(owner, "FunctionName")
        arn = arn_of("lambda", f"function:{function_name}")
        if part == "Alias":
            return Reference(
                f"{arn}:{self._function_properties(owner).get('AutoPublishAlias', 'live')}"
            )
        if part == "Version":
            return Reference(f"{arn}:1")
        return Reference(function_name, {"Arn": arn})

    def _refer_queue(self, owner: str) -> Reference:
        queue_name = self._physical_name(owner, "QueueName")
        url = f"{self._endpoint}/{ACCOUNT}/{queue_name}"
        return Reference(
            url, {"Arn": arn_of("sqs", queue_name), "QueueName": queue_name, "QueueUrl": url}
        )

    def _refer_bucket(self, owner: str) -> Reference:
        bucket = str(self._property(owner, "BucketName", f"{STACK}-{owner}")).lower()
        domain = f"{bucket}.s3.amazonaws.com"
        return Reference(
            bucket,
            {"Arn": f"arn:aws:s3:::{bucket}", "DomainName": domain, "RegionalDomainName": domain},
        )

    def _refer_secret(self, owner: str) -> Reference:
        arn = secret_arn(self._physical_name(owner, "Name"))
        return Reference(arn, {"Id": arn})

    def _refer_group(self, owner: str) -> Reference:
        group = self._physical_name(owner, "Name")
        return Reference(group, {"Arn": arn_of("scheduler", f"schedule-group/{group}")})

    def _refer_role(self, owner: str) -> Reference:
        role = self._physical_name(owner, "RoleName")
        return Reference(
            role, {"Arn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "RoleId": f"AROA{owner.upper()}"}
        )

    # Functions and what invokes them

    def _function_properties(self, name: str) -> dict[str, Any]:
        shared = self._template.get("Globals", {}).get("Function", {})
        merged = _merged(shared, self._resources[name].get("Properties", {}))
        unknown = sorted(
            set(merged)
            - HONOURED["AWS::Serverless::Function"]
            - WITHOUT_EFFECT["AWS::Serverless::Function"]
        )
        if unknown:
            raise TemplateRefused(
                f"Globals.Function.{unknown[0]}: the local runtime does not know this property"
            )
        return merged

    def _function(self, name: str) -> None:
        properties = self._function_properties(name)

        def given(key: str, default: Any = None) -> Any:
            return (
                self._resolver.resolve(properties[key], f"{name}.{key}")
                if key in properties
                else default
            )

        variables = properties.get("Environment", {}).get("Variables", {})
        environment = {
            key: _text(self._resolver.resolve(value, f"{name}.Environment.{key}"))
            for key, value in variables.items()
            if key not in self._environment
        }
        invoke = given("EventInvokeConfig", {})
        self._take(
            f"{name}.EventInvokeConfig",
            invoke,
            {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"},
        )
        self._found.functions[name] = FunctionSpec(
            logical_id=name,
            name=self._reference(name).ref,
            runtime=given("Runtime"),
            handler=given("Handler"),
            code=(self._folder / given("CodeUri", ".")).resolve(),
            timeout_seconds=int(given("Timeout", 3)),
            memory_mb=int(given("MemorySize", 128)),
            environment={**environment, **self._environment},
            async_retries=int(invoke.get("MaximumRetryAttempts", 2)),
            dead_letter_arn=given("DeadLetterQueue", {}).get("TargetArn"),
            may_recur=given("RecursiveLoop", "Terminate") == "Allow",
        )
        for event_name, event in properties.get("Events", {}).items():
            self._event(name, f"{name}.Events.{event_name}", event_name, event)

    def _event(self, function: str, where: str, event_name: str, event: Mapping[str, Any]) -> None:
        kind, raw = event["Type"], event.get("Properties", {})
        # An event's API and role are known here; resolving them would need attributes that exist only in AWS.
        given = {
            key: self._resolver.resolve(value, f"{where}.{key}")
            for key, value in raw.items()
            if key not in ("ApiId", "RoleArn")
        }
        if kind == "HttpApi":
            self._take(
                where,
                given,
                {
                    "Method",
                    "Path",
                    "PayloadFormatVersion",
                    "TimeoutInMillis",
                    "RouteSettings",
                    "Auth",
                },
            )
            self._found.routes.append(
                Route(
                    given.get("Method", "ANY")
                    .upper()
                    .replace("X-AMAZON-APIGATEWAY-ANY-METHOD", "ANY"),
                    given.get("Path", "$default"),
                    function,
                )
            )
        elif kind == "SQS":
            self._source(where, function, {"EventSourceArn": given.pop("Queue"), **given})
        elif kind in ("ScheduleV2", "Schedule"):
            self._timer(where, function, event_name, given)
        else:
            raise TemplateRefused(f"{where}: the local runtime does not know events of type {kind}")

    def _take(self, where: str, given: Mapping[str, Any], known: set[str]) -> None:
        unknown = sorted(set(given) - known)
        if unknown:
            raise TemplateRefused(
                f"{where}.{unknown[0]}: the local runtime does not know this property"
            )

    def _source(self, where: str, function: str, given: dict[str, Any]) -> None:
        self._take(
            where,
            given,
            HONOURED["AWS::Lambda::EventSourceMapping"]
            | WITHOUT_EFFECT["AWS::Lambda::EventSourceMapping"],
        )
        if str(given.get("Enabled", "true")).lower() != "true":
            return
        concurrency = given.get("ScalingConfig", {}).get("MaximumConcurrency")
        self._found.sources.append(
            QueueSource(
                function=function,
                queue_arn=given["EventSourceArn"],
                batch_size=int(given.get("BatchSize", 10)),
                window_seconds=int(given.get("MaximumBatchingWindowInSeconds", 0)),
                max_concurrency=int(concurrency) if concurrency else None,
                reports_failures="ReportBatchItemFailures"
                in given.get("FunctionResponseTypes", []),
            )
        )

    def _mapping(self, name: str) -> None:
        properties = self._resources[name].get("Properties", {})
        given = self._resolver.resolve(properties, name)
        target = str(given.pop("FunctionName"))
        function = next(
            (
                key
                for key, spec in self._found.functions.items()
                if target == spec.name or target == spec.arn or target.startswith(f"{spec.arn}:")
            ),
            None,
        )
        if function is None:
            raise TemplateRefused(f"{name}.FunctionName: {target} is no function of the template")
        self._source(name, function, given)

    def _timer(self, where: str, function: str, event_name: str, given: dict[str, Any]) -> None:
        self._take(where, given, {
            "DeadLetterConfig", "Description", "Enabled", "FlexibleTimeWindow", "GroupName", "Input", "Name", "OmitName", "PermissionsBoundary",
            "RetryPolicy", "Schedule", "ScheduleExpression", "ScheduleExpressionTimezone", "State",
        })  # fmt: skip
        if (
            given.get("State", "ENABLED") != "ENABLED"
            or str(given.get("Enabled", "true")).lower() != "true"
        ):
            return
        self._found.timers.append(
            self._timer_of(
                given,
                name=given.get("Name", f"{STACK}-{function}-{event_name}")[:64],
                expression=given.get("ScheduleExpression") or given["Schedule"],
                target={"Arn": self._found.functions[function].arn, **given},
            )
        )

    def _schedule(self, name: str) -> None:
        given = self._resolver.resolve(self._resources[name].get("Properties", {}), name)
        if given.get("State", "ENABLED") == "ENABLED":
            self._found.timers.append(
                self._timer_of(
                    given,
                    name=given.get("Name", f"{STACK}-{name}")[:64],
                    expression=given["ScheduleExpression"],
                    target=given["Target"],
                )
            )

    def _timer_of(
        self, given: Mapping[str, Any], *, name: str, expression: str, target: Mapping[str, Any]
    ) -> TimerSpec:
        retry, dead_letter = target.get("RetryPolicy", {}), target.get("DeadLetterConfig", {})
        return TimerSpec(
            name=name,
            group=str(given.get("GroupName", "default")),
            target_arn=target["Arn"],
            expression=expression,
            timezone=given.get("ScheduleExpressionTimezone", "UTC"),
            input=target.get("Input"),
            max_attempts=int(retry.get("MaximumRetryAttempts", 185)),
            max_age_seconds=int(retry.get("MaximumEventAgeInSeconds", 86_400)),
            dead_letter_arn=dead_letter.get("Arn"),
        )

    # Stores

    def _queue(self, name: str) -> QueueSpec:
        kept = HONOURED["AWS::SQS::Queue"] - {"QueueName"}
        properties = {key for key in self._resources[name].get("Properties", {}) if key in kept}
        return QueueSpec(
            name,
            self._reference(name).attributes["QueueName"],
            {key: self._property(name, key) for key in sorted(properties)},
        )

    def _bucket(self, name: str) -> BucketSpec:
        rules = self._property(name, "CorsConfiguration", {}).get("CorsRules", [])
        return BucketSpec(
            self._reference(name).ref,
            [
                CorsRule(
                    origins=rule["AllowedOrigins"],
                    methods=rule["AllowedMethods"],
                    headers=rule.get("AllowedHeaders", []),
                    exposed=rule.get("ExposedHeaders", []),
                    max_age_seconds=int(rule["MaxAge"]) if "MaxAge" in rule else None,
                )
                for rule in rules
            ],
        )

    def _secret(self, name: str) -> SecretSpec:
        return SecretSpec(
            self._physical_name(name, "Name"),
            self._property(name, "SecretString"),
            self._property(name, "GenerateSecretString"),
        )

    def _api_cors(self, name: str) -> CorsRule | None:
        shared = self._template.get("Globals", {}).get("HttpApi", {})
        merged = _merged(shared, self._resources[name].get("Properties", {}))
        if "CorsConfiguration" not in merged:
            return None
        given = self._resolver.resolve(merged["CorsConfiguration"], f"{name}.CorsConfiguration")
        return CorsRule(
            origins=given.get("AllowOrigins", []),
            methods=given.get("AllowMethods", []),
            headers=given.get("AllowHeaders", []),
            exposed=given.get("ExposeHeaders", []),
            max_age_seconds=int(given["MaxAge"]) if "MaxAge" in given else None,
            credentials=str(given.get("AllowCredentials", "false")).lower() == "true",
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a resource's properties over the template's Globals as SAM does: mappings merge, lists concatenate."""
    return dict(_merge_items(shared, own))


def _merge_items(shared: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in [*shared, *(key for key in own if key not in shared)]:
        left, right = shared.get(key), own.get(key)
        if key not in own or key not in shared:
            yield key, right if key in own else left
        elif (
            isinstance(left, dict)
            and isinstance(right, dict)
            and not _is_function(left)
            and not _is_function(right)
        ):
            yield key, _merged(left, right)
        elif isinstance(left, list) and isinstance(right, list):
            yield key, [*left, *right]
        else:
            yield key, right


def _is_function(node: Mapping[str, Any]) -> bool:
    return len(node) == 1 and next(iter(node)).startswith(("Fn::", "Ref"))

"""What does `template.yaml` describe: the functions, routes, queues, timers and stores that the runtime is to provide.

Nothing of that is written a second time. A resource type or property that is neither provided here nor known to matter
only in AWS is refused by name, so that the template and the local system cannot drift apart unseen.
"""

import shlex
import tomllib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.intrinsics import Reference, Resolver, TemplateRefused, read_yaml

ACCOUNT = "123456789012"
REGION = "us-east-1"
STACK = "roost-local"


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One Lambda function. `code` is the folder its handler is imported from."""

    logical_id: str
    name: str
    handler: str
    code: Path
    timeout_seconds: int
    memory_mb: int
    environment: Mapping[str, str]
    async_retries: int
    dead_letter_arn: str | None

    @property
    def arn(self) -> str:
        """The unqualified ARN."""
        return _arn("lambda", f"function:{self.name}")


@dataclass(frozen=True, slots=True)
class Route:
    """A method (or `ANY`) and path of the HTTP API, and the function that answers it."""

    method: str
    path: str
    function: str

    @property
    def key(self) -> str:
        """How API Gateway names the route."""
        return f"{self.method} {self.path}" if self.path != "$default" else "$default"


@dataclass(frozen=True, slots=True)
class QueueSource:
    """An event source mapping: which queue feeds which function, and how."""

    function: str
    queue_arn: str
    batch_size: int
    window_seconds: int
    max_concurrency: int | None
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class TimerSpec:
    """A schedule that the template itself declares. `input` is what the target gets, None: Scheduler's own event."""

    name: str
    group: str
    target_arn: str
    expression: str
    timezone: str
    input: str | None
    max_attempts: int
    max_age_seconds: int
    dead_letter_arn: str | None


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """One queue; `attributes` are those of SQS `CreateQueue`."""

    logical_id: str
    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CorsRule:
    """One CORS rule of a bucket or of the HTTP API."""

    origins: Sequence[str]
    methods: Sequence[str]
    headers: Sequence[str] = ()
    exposed: Sequence[str] = ()
    max_age_seconds: int | None = None
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """One bucket and who may use it from a browser."""

    name: str
    cors: Sequence[CorsRule]


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """One secret: its text, or how to generate it (`GenerateSecretString`)."""

    name: str
    text: str | None
    generate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class System:
    """Everything the template describes that exists on a laptop."""

    functions: Mapping[str, FunctionSpec]
    routes: Sequence[Route]
    sources: Sequence[QueueSource]
    timers: Sequence[TimerSpec]
    queues: Sequence[QueueSpec]
    buckets: Sequence[BucketSpec]
    secrets: Sequence[SecretSpec]
    key_ids: Sequence[str]
    key_aliases: Mapping[str, str]
    schedule_groups: Sequence[str]
    mail_identities: Sequence[str]
    api_cors: CorsRule | None = None

    def function_by_arn(self, arn: str) -> FunctionSpec | None:
        """Find a function by its ARN, qualified by an alias or version or not."""
        return next(
            (
                spec
                for spec in self.functions.values()
                if arn == spec.arn or arn.startswith(f"{spec.arn}:")
            ),
            None,
        )


# What exists in AWS only: networks, rights, alarms, the database cluster (an embedded server here), the content network.
_AWS_ONLY = (
    "AWS::ApiGatewayV2::", "AWS::ApplicationAutoScaling::", "AWS::Budgets::", "AWS::CertificateManager::", "AWS::CloudFormation::",
    "AWS::CloudFront::", "AWS::CloudTrail::", "AWS::CloudWatch::", "AWS::EC2::", "AWS::IAM::", "AWS::Lambda::Alias", "AWS::Lambda::Permission",
    "AWS::Lambda::Version", "AWS::Logs::", "AWS::RDS::", "AWS::Route53::", "AWS::S3::BucketPolicy", "AWS::SES::ConfigurationSet",
    "AWS::SNS::", "AWS::SQS::QueuePolicy", "AWS::SSM::", "AWS::SecretsManager::ResourcePolicy", "AWS::SecretsManager::RotationSchedule",
    "AWS::SecretsManager::SecretTargetAttachment", "AWS::Serverless::LayerVersion", "AWS::WAFv2::", "AWS::XRay::", "Custom::",
)  # fmt: skip

# For each type that is provided: the properties that are honoured, and those that change nothing on a laptop.
_HONOURED: dict[str, set[str]] = {
    "AWS::Serverless::Function": {
        "AutoPublishAlias", "CodeUri", "DeadLetterQueue", "Environment", "EventInvokeConfig", "Events", "FunctionName", "Handler", "MemorySize", "Timeout",
    },
    "AWS::Serverless::HttpApi": {"CorsConfiguration"},
    "AWS::SQS::Queue": {
        "DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "QueueName", "RedrivePolicy", "VisibilityTimeout",
    },
    "AWS::Lambda::EventSourceMapping": {
        "BatchSize", "Enabled", "EventSourceArn", "FunctionName", "FunctionResponseTypes", "MaximumBatchingWindowInSeconds", "ScalingConfig",
    },
    "AWS::Scheduler::ScheduleGroup": {"Name"},
    "AWS::Scheduler::Schedule": {
        "Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "State", "Target", "FlexibleTimeWindow", "ActionAfterCompletion",
    },
    "AWS::S3::Bucket": {"BucketName", "CorsConfiguration"},
    "AWS::SecretsManager::Secret": {"GenerateSecretString", "Name", "SecretString"},
    "AWS::KMS::Key": {"KeySpec", "KeyUsage"},
    "AWS::KMS::Alias": {"AliasName", "TargetKeyId"},
    "AWS::SES::EmailIdentity": {"EmailIdentity"},
}  # fmt: skip
_WITHOUT_EFFECT: dict[str, set[str]] = {
    "AWS::Serverless::Function": {
        "Architectures", "AutoPublishAliasAllProperties", "AutoPublishCodeSha256", "DeploymentPreference", "Description", "EphemeralStorage", "KmsKeyArn",
        "Layers", "LoggingConfig", "PermissionsBoundary", "Policies", "PropagateTags", "ProvisionedConcurrencyConfig", "RecursiveLoop",
        "ReservedConcurrentExecutions", "Role", "RolePath", "Runtime", "RuntimeManagementConfig", "SnapStart", "Tags", "Tracing", "VersionDeletionPolicy", "VersionDescription", "VpcConfig",
    },
    "AWS::Serverless::HttpApi": {
        "AccessLogSettings", "DefaultRouteSettings", "Description", "DisableExecuteApiEndpoint", "Domain", "FailOnWarnings", "Name", "PropagateTags",
        "RouteSettings", "StageName", "StageVariables", "Tags",
    },
    "AWS::SQS::Queue": {"KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "ReceiveMessageWaitTimeSeconds", "RedriveAllowPolicy", "SqsManagedSseEnabled", "Tags"},
    "AWS::Lambda::EventSourceMapping": {"ProvisionedPollerConfig", "Tags", "MetricsConfig"},
    "AWS::Scheduler::ScheduleGroup": {"Tags"},
    "AWS::Scheduler::Schedule": {"Description", "KmsKeyArn"},
    "AWS::S3::Bucket": {
        "AccelerateConfiguration", "AccessControl", "BucketEncryption", "IntelligentTieringConfigurations", "InventoryConfigurations", "LifecycleConfiguration",
        "LoggingConfiguration", "MetricsConfigurations", "OwnershipControls", "PublicAccessBlockConfiguration", "Tags", "VersioningConfiguration",
    },
    "AWS::SecretsManager::Secret": {"Description", "KmsKeyId", "Tags"},
    "AWS::KMS::Key": {"Description", "EnableKeyRotation", "Enabled", "KeyPolicy", "MultiRegion", "Origin", "PendingWindowInDays", "RotationPeriodInDays", "Tags"},
    "AWS::KMS::Alias": set(),
    "AWS::SES::EmailIdentity": {
        "ConfigurationSetAttributes", "DkimAttributes", "DkimSigningAttributes", "FeedbackAttributes", "MailFromAttributes", "Tags",
    },
}  # fmt: skip


def read_parameters(samconfig: Path) -> dict[str, str]:
    """Read the parameters that `samconfig.toml` gives for the stage `local`; none if it does not have that stage."""
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
    """Read a template as the system it describes.

    `environment` replaces variables of functions, which are then not resolved at all. `aws_endpoint` is where queue
    addresses point.

    Raises:
        TemplateRefused: something in it is not supported; the message names where it stands.
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
            "AWS::StackName": STACK, "AWS::StackId": _arn("cloudformation", f"stack/{STACK}/local"),
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

    # Resources: which there are, and what each is called

    def _exists(self, name: str, body: Mapping[str, Any]) -> bool:
        condition = body.get("Condition")
        return condition is None or self._resolver.holds(condition, f"{name}.Condition")

    def _of_type(self, type_name: str) -> list[str]:
        return [name for name, body in self._resources.items() if body["Type"] == type_name]

    def _check(self, name: str, body: Mapping[str, Any]) -> None:
        type_name = body.get("Type", "")
        if type_name in _HONOURED:
            known = _HONOURED[type_name] | _WITHOUT_EFFECT[type_name]
            unknown = sorted(set(body.get("Properties", {})) - known)
            if unknown:
                raise TemplateRefused(
                    f"{name}.Properties.{unknown[0]}: the local runtime does not know this property of {type_name}"
                )
        elif not type_name.startswith(_AWS_ONLY):
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
        """Say what a resource is called here; None if it exists in AWS only."""
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
            # Ciphertexts carry the id of their key, so it is the same in every home.
            key_id = _stable_uuid(owner)
            return Reference(key_id, {"Arn": _arn("kms", f"key/{key_id}"), "KeyId": key_id})
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
        arn = _arn("lambda", f"function:{function_name}")
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
            url, {"Arn": _arn("sqs", queue_name), "QueueName": queue_name, "QueueUrl": url}
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
        return Reference(group, {"Arn": _arn("scheduler", f"schedule-group/{group}")})

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
            - _HONOURED["AWS::Serverless::Function"]
            - _WITHOUT_EFFECT["AWS::Serverless::Function"]
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
            handler=given("Handler"),
            code=(self._folder / given("CodeUri", ".")).resolve(),
            timeout_seconds=int(given("Timeout", 3)),
            memory_mb=int(given("MemorySize", 128)),
            environment={**environment, **self._environment},
            async_retries=int(invoke.get("MaximumRetryAttempts", 2)),
            dead_letter_arn=given("DeadLetterQueue", {}).get("TargetArn"),
        )
        for event_name, event in properties.get("Events", {}).items():
            self._event(name, f"{name}.Events.{event_name}", event_name, event)

    def _event(self, function: str, where: str, event_name: str, event: Mapping[str, Any]) -> None:
        kind, raw = event["Type"], event.get("Properties", {})
        # The API and the role an event names are given; resolving them would ask for AWS-only attributes.
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
            _HONOURED["AWS::Lambda::EventSourceMapping"]
            | _WITHOUT_EFFECT["AWS::Lambda::EventSourceMapping"],
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
        kept = _HONOURED["AWS::SQS::Queue"] - {"QueueName"}
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


def secret_arn(name: str) -> str:
    """Name a secret as Secrets Manager does, but the same in every home."""
    return _arn("secretsmanager", f"secret:{name}-{_stable_uuid(name)[:6]}")


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def _stable_uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{STACK}/{name}"))


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

"""Writes the section of `README.md` on what an idle environment costs, from `template.yaml` and `samconfig.toml`.

python -m local.docs.costs            write the section
python -m local.docs.costs --check    fail if the section does not match the template

Every quantity is read from the template with an environment's parameters. What the template does not say (how long a
sweep runs, how many long polls Lambda keeps open) is a named assumption below.
"""

import re
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.intrinsics import NO_VALUE, Resolver, TemplateRefused, read_yaml
from shared.core.sentences import counted
from shared.db.roles import IDLE_SESSION_TIMEOUT

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
STAGES = ("dev", "prod")
BEGIN, END = "<!-- made by `make docs` -->\n", "<!-- end of what is made -->\n"


@dataclass(frozen=True, slots=True)
class Price:
    """A list price in dollars, for one `unit`.

    `source` is the web page that shows it today. `compared` names the offer of AWS's Price List that it was compared with
    and the offer's publication date; empty if it was not compared.
    """

    dollars: float
    unit: str
    source: str
    compared: str = ""


REGION = "us-east-1"
# List prices of that region, without any free tier. Look them up for your region.
PRICES_AS_OF = "2026-11"
# AWS's Price List was read from third-party copies on 2026-11-30; these are the dates of the copied offers.
_EC2, _VPC = "AmazonEC2, 2026-09-24", "AmazonVPC, 2026-08-31"
_AURORA, _LAMBDA = "AmazonRDS, 2026-09-11", "AWSLambda, 2026-09-19"
PRICES: Mapping[str, Price] = {
    "nat_gateway": Price(0.045, "hour", "aws.amazon.com/vpc/pricing"),
    "t4g.nano": Price(0.0042, "hour", "aws.amazon.com/ec2/pricing/on-demand", _EC2),
    "gp3": Price(0.08, "GB and month", "aws.amazon.com/ebs/pricing"),
    "public_address": Price(0.005, "hour", "aws.amazon.com/vpc/pricing", _VPC),
    "aurora_capacity": Price(
        0.12, "capacity unit and hour", "aws.amazon.com/rds/aurora/pricing", _AURORA
    ),
    "aurora_storage": Price(0.10, "GB and month", "aws.amazon.com/rds/aurora/pricing", _AURORA),
    "key": Price(1.0, "key and month", "aws.amazon.com/kms/pricing"),
    "secret": Price(0.40, "secret and month", "aws.amazon.com/secrets-manager/pricing"),
    "snapshot": Price(0.0000015046, "GB and second", "aws.amazon.com/lambda/pricing", _LAMBDA),
    "poller": Price(0.00925, "poller and hour", "aws.amazon.com/lambda/pricing", _LAMBDA),
    "sqs_request": Price(0.40e-6, "request", "aws.amazon.com/sqs/pricing"),
    "lambda_request": Price(0.20e-6, "request", "aws.amazon.com/lambda/pricing", _LAMBDA),
    "lambda_time": Price(
        0.0000133334, "GB and second on arm64", "aws.amazon.com/lambda/pricing", _LAMBDA
    ),
    "alarm_metric": Price(0.10, "metric and month", "aws.amazon.com/cloudwatch/pricing"),
    "custom_metric": Price(0.30, "metric and month", "aws.amazon.com/cloudwatch/pricing"),
    "health_check": Price(0.50, "check and month", "aws.amazon.com/route53/pricing"),
    "health_check_https": Price(1.0, "check and month", "aws.amazon.com/route53/pricing"),
}
HOURS = 730.0  # hours a month, as in AWS's own calculator
SECONDS = HOURS * 3600

# Without provisioned pollers, Lambda keeps this many long polls open for each queue; each lasts 20 seconds.
# Sources: docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html and
# docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html, read 2026-11.
LONG_POLLS = 5
LONG_POLL_SECONDS = 20
# While awake, Aurora never runs with less than this, whatever its minimum capacity.
# Source: docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2-auto-pause.html, read 2026-11.
LEAST_AWAKE_CAPACITY = 0.5
SWEEP_SECONDS = 0.5  # assumed: how long a sweep runs that finds nothing
STORED_GB = 1.0  # assumed: the database is nearly empty
# API Gateway keeps these for each route: Count, 4xx, 5xx, Latency, IntegrationLatency, DataProcessed.
# Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html, read 2026-11.
METRICS_OF_A_ROUTE = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the bill: what it is for, and its dollars a month in one environment."""

    label: str
    dollars: float


class Stack:
    """The template with one environment's parameters, as far as costs need it."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._template = template
        self._parameters = parameters
        self._resolver = Resolver(
            template,
            parameters=parameters,
            pseudo={"AWS::Region": REGION},
            exports={},
            refer=lambda _name: None,
        )
        self.resources: Mapping[str, Mapping[str, Any]] = {
            name: body
            for name, body in template["Resources"].items()
            if "Condition" not in body or self._resolver.holds(body["Condition"], name)
        }

    def of_type(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return the properties of every resource of a type that the environment has."""
        return [
            body.get("Properties", {}) for body in self.resources.values() if body["Type"] == kind
        ]

    def value(self, node: Any, default: Any = None) -> Any:
        """Return the value of an expression over parameters; `default` if it has none."""
        found = self._resolver.resolve(node, "costs")
        return default if found is NO_VALUE else found

    def holds(self, condition: str) -> bool:
        """Return whether a condition is true in the environment."""
        return self._resolver.holds(condition, "costs")

    def functions(self) -> Sequence[Mapping[str, Any]]:
        """Return the properties of every function, with those of `Globals`."""
        shared = self._template["Globals"]["Function"]
        return [{**shared, **own} for own in self.of_type("AWS::Serverless::Function")]

    def events(self, kind: str) -> Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Return each event of a kind with the function that it invokes."""
        return [
            (function, event["Properties"])
            for function in self.functions()
            for event in function.get("Events", {}).values()
            if event["Type"] == kind
        ]


def rows(stack: Stack) -> Sequence[Row]:
    """Return the bill of an idle environment; every environment has the same lines in the same order."""
    return [
        _way_out(stack),
        Row("its public address", len(stack.of_type("AWS::EC2::EIP")) * _monthly("public_address")),
        _capacity(stack),
        Row("database storage, 1 GB", STORED_GB * PRICES["aurora_storage"].dollars),
        _keys(stack),
        _secrets(stack),
        _snapshots(stack),
        _polling(stack),
        _sweeps(stack),
        _alarms(stack),
        _metrics(stack),
        _health_check(stack),
    ]


def table(template: Mapping[str, Any], samconfig: Mapping[str, Any]) -> str:
    """Return the table of all environments, in Markdown."""
    bills = [rows(Stack(template, parameters(samconfig, stage))) for stage in STAGES]
    lines = [f"| | {' | '.join(STAGES)} |", f"|{' --- |' * (len(STAGES) + 1)}"]
    for line in zip(*bills, strict=True):
        labels = list(dict.fromkeys(row.label for row in line))
        lines.append(
            f"| {' / '.join(labels)} | {' | '.join(_money(row.dollars) for row in line)} |"
        )
    sums = [sum(row.dollars for row in bill) for bill in bills]
    lines.append(f"| **together** | {' | '.join(f'**about {total:.0f}**' for total in sums)} |")
    return "\n".join(lines) + "\n"


def section(template: Mapping[str, Any], samconfig: Mapping[str, Any]) -> str:
    """Return the whole section between its two markers."""
    return f"""
Dollars a month while nobody uses it, at the list prices of us-east-1 ({PRICES_AS_OF}) without any free tier, computed from
`template.yaml` with the parameters in `samconfig.toml` (`local/docs/costs.py` has prices and assumptions). Where both environments
differ, the text on the left names dev first. Requests, messages, emails, logs, stored media and traffic come on top.

{table(template, samconfig)}
`DetailedRouteMetrics=on` adds about {_route_metrics(template):.0f} dollars, `Tracing=on` 5 dollars for each million traces, a provisioned
poller (`PublishPollers`) {_monthly("poller"):.2f} dollars each.

{_comparison()}

"""


def _comparison() -> str:
    """Return which prices were compared with AWS's Price List."""
    open_ = [name for name, price in PRICES.items() if not price.compared]
    return (
        f"{len(PRICES) - len(open_)} of the {len(PRICES)} prices were compared with AWS's Price List (published August and September "
        f"2026).\nNot verified: {', '.join(name.replace('_', ' ') for name in open_)}."
    )


def parameters(samconfig: Mapping[str, Any], stage: str) -> Mapping[str, str]:
    """Return the template's parameters that an environment sets."""
    given = samconfig[stage]["deploy"]["parameters"]["parameter_overrides"]
    pairs = shlex.split(given) if isinstance(given, str) else given
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def main(arguments: Sequence[str]) -> int:
    """Write the section, or with `--check` report whether it is current; return the exit status."""
    present = README.read_text()
    before, begin, rest = present.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(
            f"README.md has no section between {BEGIN.strip()} and {END.strip()}.", file=sys.stderr
        )
        return 1
    wanted = before + begin + _current_section() + end + after
    if list(arguments) != ["--check"]:
        README.write_text(wanted)
    elif present != wanted:
        print("README.md's costs do not match the template; run `make docs`.", file=sys.stderr)
        return 1
    return 0


def _current_section() -> str:
    samconfig = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    return section(read_yaml(ROOT / "template.yaml"), samconfig)


def _way_out(stack: Stack) -> Row:
    gateways, machines = (
        stack.of_type("AWS::EC2::NatGateway"),
        stack.of_type("AWS::EC2::LaunchTemplate"),
    )
    total, named = len(gateways) * _monthly("nat_gateway"), ["NAT gateway"] * len(gateways)
    for machine in machines:
        data = machine["LaunchTemplateData"]
        disks = [disk["Ebs"] for disk in data["BlockDeviceMappings"]]
        total += _monthly(data["InstanceType"])
        total += sum(PRICES[disk["VolumeType"]].dollars * disk["VolumeSize"] for disk in disks)
        named.append("NAT instance with its disk")
    return Row(" and ".join(named), total)


def _capacity(stack: Stack) -> Row:
    (cluster,) = stack.of_type("AWS::RDS::DBCluster")
    instances = len(stack.of_type("AWS::RDS::DBInstance"))
    scaling = cluster["ServerlessV2ScalingConfiguration"]
    least = float(stack.value(scaling["MinCapacity"]))
    pause = stack.value(scaling["SecondsUntilAutoPause"])
    if pause is None or stack.holds("HasHealthCheck"):
        awake, capacity = HOURS, max(least, LEAST_AWAKE_CAPACITY)
        label = f"Aurora, always awake: {counted(instances, 'instance')} of {capacity:g} {'unit' if capacity == 1 else 'units'}"
    else:
        each = int(pause) + _connected_seconds(stack)
        awake = min(HOURS, sum(HOURS * 3600 / every for every in _rates(stack)) * each / 3600)
        capacity = max(least, LEAST_AWAKE_CAPACITY)
        label = f"Aurora, awake for {awake / HOURS:.0%} of the time: each sweep wakes it for {each / 60:.0f} minutes"
    return Row(label, instances * awake * capacity * PRICES["aurora_capacity"].dollars)


def _connected_seconds(stack: Stack) -> float:
    """Return how long a sweep stays connected: while it runs, or until the server closes a frozen process's connection."""
    given = stack.functions()[0]["Environment"]["Variables"]["DATABASE_MAY_SLEEP"]
    closes = stack.value(given) == "true"
    return SWEEP_SECONDS if closes else IDLE_SESSION_TIMEOUT.total_seconds()


def _keys(stack: Stack) -> Row:
    count = len(stack.of_type("AWS::KMS::Key"))
    return Row(
        f"{counted(count, 'key')} (each of the first two yearly rotations adds a dollar a month and key)",
        count * PRICES["key"].dollars,
    )


def _secrets(stack: Stack) -> Row:
    made = len(stack.of_type("AWS::SecretsManager::Secret"))
    (cluster,) = stack.of_type("AWS::RDS::DBCluster")
    count = made + bool(cluster.get("ManageMasterUserPassword"))
    return Row(f"{counted(count, 'secret')}, RDS's own included", count * PRICES["secret"].dollars)


def _snapshots(stack: Stack) -> Row:
    kept = [
        int(function["MemorySize"])
        for function in stack.functions()
        if stack.value(function.get("SnapStart", {}).get("ApplyOn")) == "PublishedVersions"
    ]
    gigabytes = sum(kept) / 1024
    label = f"{len(kept)} snapshots of functions" if kept else "no snapshots of functions"
    return Row(label, gigabytes * SECONDS * PRICES["snapshot"].dollars)


def _polling(stack: Stack) -> Row:
    pollers, polled = 0, 0
    for _function, source in stack.events("SQS"):
        config = stack.value(source.get("ProvisionedPollerConfig"))
        pollers += int(config["MinimumPollers"]) if config else 0
        polled += not config
    requests = polled * LONG_POLLS * SECONDS / LONG_POLL_SECONDS
    dollars = pollers * _monthly("poller") + requests * PRICES["sqs_request"].dollars
    provisioned = f", {counted(pollers, 'provisioned poller')}" if pollers else ""
    return Row(f"Lambda polls {counted(polled, 'queue')}{provisioned}", dollars)


def _sweeps(stack: Stack) -> Row:
    dollars = 0.0
    timers = stack.events("ScheduleV2")
    for (function, _), every in zip(timers, _rates(stack), strict=True):
        gigabytes = int(function["MemorySize"]) / 1024
        each = SWEEP_SECONDS * gigabytes * PRICES["lambda_time"].dollars
        dollars += SECONDS / every * (each + PRICES["lambda_request"].dollars)
    return Row(f"{counted(len(timers), 'sweep')} that find nothing", dollars)


def _rates(stack: Stack) -> Sequence[float]:
    """Return the seconds between two runs of each sweep."""
    return [
        _seconds_between(str(stack.value(event["ScheduleExpression"])))
        for _, event in stack.events("ScheduleV2")
    ]


def _seconds_between(rate: str) -> float:
    found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", rate)
    if found is None:
        raise TemplateRefused(f"{rate} is not rate(N minutes|hours|days); costs cannot be computed")
    return int(found[1]) * {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}[found[2]]


def _alarms(stack: Stack) -> Row:
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    watched = sum(
        sum("MetricStat" in metric for metric in alarm["Metrics"]) if "Metrics" in alarm else 1
        for alarm in alarms
    )
    return Row(
        f"{counted(len(alarms), 'alarm')} on {counted(watched, 'metric')}",
        watched * PRICES["alarm_metric"].dollars,
    )


def _metrics(stack: Stack) -> Row:
    """Return the cost of the gauges that every sweep writes. Counters are written, and paid for, only when something happens."""
    source = (ROOT / "shared" / "core" / "metrics.py").read_text()
    count = len(re.findall(r"^def gauge_", source, re.MULTILINE))
    (api,) = stack.of_type("AWS::Serverless::HttpApi")
    routes = stack.value(api["DefaultRouteSettings"]["DetailedMetricsEnabled"])
    of_routes = len(stack.events("HttpApi")) * METRICS_OF_A_ROUTE if routes else 0
    label = f"{counted(count, 'custom metric')}" + (f", {of_routes} of routes" if of_routes else "")
    return Row(label, (count + of_routes) * PRICES["custom_metric"].dollars)


def _health_check(stack: Stack) -> Row:
    count = len(stack.of_type("AWS::Route53::HealthCheck"))
    each = PRICES["health_check"].dollars + PRICES["health_check_https"].dollars
    return Row(
        f"{counted(count, 'health check')} from outside"
        if count
        else "no health check from outside",
        count * each,
    )


def _route_metrics(template: Mapping[str, Any]) -> float:
    routes = [
        event
        for resource in template["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "HttpApi"
    ]
    return len(routes) * METRICS_OF_A_ROUTE * PRICES["custom_metric"].dollars


def _monthly(name: str) -> float:
    """Return the monthly cost of something that is billed by the hour."""
    return HOURS * PRICES[name].dollars


def _money(dollars: float) -> str:
    return "0" if dollars == 0 else f"{dollars:.0f}" if dollars >= 9.5 else f"{dollars:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

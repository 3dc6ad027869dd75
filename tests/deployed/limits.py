"""What the emulator cannot do, and why: the one list of what `make test-deploy` leaves out of the template or does not ask.

`tests/deployed/test_limits.py` asks the emulator about each, and fails when one is no longer true.
"""

import copy
import json
import string
from typing import Any

# Types that its CloudFormation does not know. They and what refers to them are left out.
NOT_PROVIDED = {
    "AWS::EC2::EIP": "no addresses; the way out is the machine's own network",
    "AWS::EC2::EIPAssociation": "as above",
    "AWS::EC2::Instance": "no machines, so no NAT instance and no signal from it",
    "AWS::EC2::SecurityGroupEgress": "security groups are kept as records and filter nothing",
}
# Properties that it refuses; resources that have them are left out.
PROPERTIES_REFUSED = {("AWS::CloudWatch::Alarm", "Metrics"): "no alarm on an expression"}
# Attributes of resources that it does not know; the outputs that show them are left out.
OUTPUTS_NOT_PROVIDED = {"MailRecords": "no DKIM tokens of a mail identity"}
# Roles are enforced, but these calls are judged by another resource than in AWS: what is allowed here instead, and why.
WIDENED = {
    ("MailPolicy", "ses:SendEmail"): (
        "*",
        "a mail has no resource, in AWS the identity that sends it",
    ),
    ("ArmPolicy", "scheduler:CreateSchedule"): (
        {
            "Fn::Sub": "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/*/post-*"
        },
        "every schedule is judged as one of group `default`",
    ),
}
# It is asked over plain HTTP, on the loopback, which the policies of queues and bucket refuse: that statement is left out.
_TLS_ONLY = "aws:SecureTransport"
# A batch of messages is judged as an action of its own; in AWS it is SendMessage, whose name every policy gives.
_SEND, _SEND_BATCH = "sqs:SendMessage", "sqs:SendMessageBatch"
_SECRET = "AWS::SecretsManager::Secret"  # a reference to one gives its name; in AWS it is the ARN
# What is made but does not do what it does in AWS.
NOT_DONE = {
    "routes": "an API that comes with an OpenAPI body gets no routes, so functions are invoked by their alias with the "
    "event that API Gateway makes",
    "database": "a cluster is a record without a server; functions get the embedded PostgreSQL by DATABASE_URL, without "
    "IAM and TLS",
    "recursion": "RecursiveLoop does not reach the function; tests/template holds the property",
    "processor": "functions run on this machine's processor, so the wheels are those of `layers.build --host`",
}


def emulated(template: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """Return the built template without what the emulator lacks, its functions with more variables."""
    made = copy.deepcopy(template)
    made["Globals"]["Function"]["Environment"]["Variables"].update(variables)
    resources: dict[str, Any] = made["Resources"]
    gone = {name for name, found in resources.items() if _is_refused(found)}
    while more := {n for n, found in resources.items() if n not in gone and _needs(found, gone)}:
        gone |= more
    for name in gone:
        del resources[name]
    _widen(resources)
    _admit_plain_http(resources)
    secrets = {name for name, each in resources.items() if each["Type"] == _SECRET}
    made["Resources"] = resources = _as_judged(resources, secrets)
    # It does not know ExcludePunctuation (only ExcludeCharacters), and a quote would end the JSON that holds the key.
    generated = resources["FirstJwtKey"]["Properties"]["GenerateSecretString"]
    generated["ExcludeCharacters"] = string.punctuation
    # It compares the number with a text where a parameter gives it.
    source = resources["PublishFunction"]["Properties"]["Events"]["Queue"]["Properties"]
    source["ScalingConfig"] = {"MaximumConcurrency": 100}
    del source["ProvisionedPollerConfig"]
    for resource in resources.values():
        waits = resource.get("DependsOn", [])
        kept = [name for name in ([waits] if isinstance(waits, str) else waits) if name not in gone]
        if "DependsOn" in resource:
            resource["DependsOn"] = kept
    made["Outputs"] = {
        name: found
        for name, found in made["Outputs"].items()
        if name not in OUTPUTS_NOT_PROVIDED and not _needs(found, gone)
    }
    return made


def _is_refused(found: dict[str, Any]) -> bool:
    kind, properties = found["Type"], found.get("Properties", {})
    return kind in NOT_PROVIDED or any((kind, name) in PROPERTIES_REFUSED for name in properties)


def _widen(resources: dict[str, Any]) -> None:
    """Allow more where the emulator judges a call by another resource than AWS does."""
    for (policy, action), (resource, _reason) in WIDENED.items():
        statements = resources[policy]["Properties"]["PolicyDocument"]["Statement"]
        (meant,) = [found for found in statements if action in str(found.get("Action"))]
        meant["Resource"] = resource


def _admit_plain_http(resources: dict[str, Any]) -> None:
    for name, found in list(resources.items()):
        if found["Type"] in {"AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"}:
            document = found["Properties"]["PolicyDocument"]
            document["Statement"] = [
                each for each in document["Statement"] if _TLS_ONLY not in str(each)
            ]
            if not document["Statement"]:
                del resources[name]


def _as_judged(value: Any, secrets: set[str]) -> Any:
    """Return the value with secrets named by their ARN, in the form that gives it here and in AWS, and batches allowed."""
    if isinstance(value, list):
        return [_as_judged(each, secrets) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and value.get("Ref") in secrets:
        return {"Fn::GetAtt": [value["Ref"], "Id"]}
    made = {key: _as_judged(each, secrets) for key, each in value.items()}
    if made.get("Action") == _SEND:
        made["Action"] = [_SEND, _SEND_BATCH]
    return made


def _needs(found: dict[str, Any], gone: set[str]) -> bool:
    """Return whether a resource's values refer to one that is left out; waiting for it is no need."""
    text = json.dumps({key: value for key, value in found.items() if key != "DependsOn"})
    return any(
        f'{{"Ref": "{name}"}}' in text or f'"Fn::GetAtt": ["{name}"' in text or f"${{{name}" in text
        for name in gone
    )

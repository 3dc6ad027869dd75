"""What the emulator cannot do, and why: the one list of what `make test-deploy` leaves out of the template or does not ask.

A resource type that is no longer refused by the emulator makes a test fail, so that the list cannot outlive its reason.
"""

import copy
import json
from typing import Any

# Types that its CloudFormation does not know. They and what refers to them are left out.
NOT_PROVIDED = {
    "AWS::CloudWatch::Alarm": "none with metric math, and none is ever evaluated",
    "AWS::EC2::EIP": "no addresses; the way out is the machine's own network",
    "AWS::EC2::EIPAssociation": "as above",
    "AWS::EC2::Instance": "no machines, so no NAT instance and no signal from it",
    "AWS::EC2::SecurityGroupEgress": "security groups are kept as records and filter nothing",
}
# Attributes of resources that it does not know; the outputs that show them are left out.
OUTPUTS_NOT_PROVIDED = {"MailRecords": "no DKIM tokens of a mail identity"}
# What is made but does not do what it does in AWS. Tests of it are skipped by these names.
NOT_DONE = {
    "roles": "which role a function's calls are made with is not tried here; tests/template holds what each may do",
    "publishing": "nothing listens for a platform yet: connecting a channel and publishing are tried by the local runtime",
    "routes": "an API that comes with an OpenAPI body gets no routes, so functions are invoked by their alias with the "
    "event that API Gateway makes",
    "database": "a cluster needs Docker; functions get the embedded PostgreSQL by DATABASE_URL, without IAM and TLS",
    "recursion": "RecursiveLoop is kept and no loop is ever stopped; tests/template holds the property",
    "snapshots": "SnapStart is kept, no snapshot is taken",
    "processor": "functions run on this machine's processor, so the wheels are those of `layers.build --host`",
}


def emulated(template: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """Return the built template without what the emulator lacks, its functions with more variables."""
    made = copy.deepcopy(template)
    made["Globals"]["Function"]["Environment"]["Variables"].update(variables)
    resources: dict[str, Any] = made["Resources"]
    gone = {name for name, found in resources.items() if found["Type"] in NOT_PROVIDED}
    while more := {n for n, found in resources.items() if n not in gone and _needs(found, gone)}:
        gone |= more
    for name in gone:
        del resources[name]
    # Its generated passwords may hold quotes although the template excludes punctuation, and a quote breaks the JSON.
    resources["AppSecret"]["Properties"]["SecretString"] = json.dumps(
        {"jwtKeys": json.dumps({"1": "k" * 64})}
    )
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


def _needs(found: dict[str, Any], gone: set[str]) -> bool:
    """Return whether a resource's values refer to one that is left out; waiting for it is no need."""
    text = json.dumps({key: value for key, value in found.items() if key != "DependsOn"})
    return any(
        f'{{"Ref": "{name}"}}' in text or f'"Fn::GetAtt": ["{name}"' in text or f"${{{name}" in text
        for name in gone
    )

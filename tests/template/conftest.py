"""What do the tests of `template.yaml` read: the file itself, and what SAM makes of it."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from samtranslator.translator.transform import transform

from layers.build import read_template

Resources = dict[str, dict[str, Any]]
PARAMETERS = {
    "Stage": "prod",
    "PublicUrl": "https://roost.example.com",
    "MailDomain": "example.com",
}


class _NoManagedPolicies:
    """The template names managed policies by ARN, so SAM has nothing to look up."""

    def load(self) -> dict[str, str]:
        return {}


def translate(
    template: dict[str, Any], *, code: str, layers: str, parameters: Mapping[str, str] = PARAMETERS
) -> Resources:
    """Return the resources that SAM makes of the template, with functions and layers built as named."""
    given = copy.deepcopy(template)
    del given["Globals"]["Function"]["CodeUri"]
    for resource in given["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://bucket/{code}"
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = f"s3://bucket/{layers}"
    made: Resources = transform(given, dict(parameters), _NoManagedPolicies())["Resources"]
    return made


@pytest.fixture(scope="package")
def template() -> dict[str, Any]:
    return read_template()


@pytest.fixture(scope="package")
def resources() -> Resources:
    """Everything that CloudFormation gets, generated roles included."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return translate(read_template(), code="code", layers="layers")


@pytest.fixture(scope="package")
def functions(template: dict[str, Any]) -> Resources:
    """Each function by logical id: its properties, those of `Globals` merged in."""
    shared = template["Globals"]["Function"]
    return {
        name: {
            **shared,
            **resource["Properties"],
            "Environment": {
                "Variables": {
                    **shared["Environment"]["Variables"],
                    **resource["Properties"].get("Environment", {}).get("Variables", {}),
                }
            },
        }
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


@pytest.fixture(scope="package")
def of_type(resources: Resources) -> Callable[[str], Resources]:
    """Give the properties of every resource of a type, by logical id."""

    def find(kind: str) -> Resources:
        return {
            name: resource["Properties"]
            for name, resource in resources.items()
            if resource["Type"] == kind
        }

    return find

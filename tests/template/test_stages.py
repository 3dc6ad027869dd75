"""Does each stage in `samconfig.toml` give the template what it asks for, and no secret?"""

import re
import tomllib
from typing import Any

import pytest

from layers.build import ROOT

STAGES = ("dev", "prod")


def _parameters(stage: str) -> dict[str, str]:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides = config[stage]["deploy"]["parameters"]["parameter_overrides"]
    return dict(entry.split("=", 1) for entry in overrides)


@pytest.mark.parametrize("stage", STAGES)
class TestStages:
    def test_every_parameter_exists_and_every_one_without_default_is_given(
        self, stage: str, template: dict[str, Any]
    ) -> None:
        given, known = set(_parameters(stage)), template["Parameters"]
        assert given <= set(known)
        assert {name for name, found in known.items() if "Default" not in found} <= given

    def test_every_value_is_allowed(self, stage: str, template: dict[str, Any]) -> None:
        for name, value in _parameters(stage).items():
            declared = template["Parameters"][name]
            allowed = declared.get("AllowedValues")
            assert allowed is None or value in allowed
            assert re.fullmatch(declared.get("AllowedPattern", ".*"), value)

    def test_nothing_is_secret(self, stage: str) -> None:
        secret = re.compile(r"password|secret(?!arn)|token(?!refreshrate)|key", re.IGNORECASE)
        assert not [name for name in _parameters(stage) if secret.search(name)]


class TestSleeping:
    def test_dev_may_sleep_and_nothing_wakes_it_more_than_hourly(self) -> None:
        given = _parameters("dev")
        assert given["DatabaseMinCapacity"] == "0"
        for rate in ("ReconcileRate", "TokenRefreshRate", "DigestRate"):
            assert re.fullmatch(r"rate\(\d+ (hours?|days?)\)", given[rate])

    def test_prod_never_sleeps_and_looks_every_minute(self) -> None:
        given = _parameters("prod")
        assert float(given["DatabaseMinCapacity"]) > 0
        assert given["ReconcileRate"] == "rate(1 minute)"
        assert given["Egress"] == "gateway"


TAKEN_AND_REFUSED = {
    "Release": (["0" * 64], ["0" * 63, "v1"]),
    "PublicUrl": (
        ["https://roost.example.com"],
        ["http://roost.example.com", "https://roost.example.com/", "roost.example.com"],
    ),
    "PasswordRangeUrl": (["https://range.example.com/"], ["http://range.example.com/"]),
    "SecurityContact": (
        ["mailto:security@example.com", "https://example.com/security"],
        ["security@example.com", "https://example.com/a b"],
    ),
    "NatInstanceImage": (["ami-0123456789abcdef0"], ["ami-latest"]),
    "MediaDomain": (["media.example.com"], ["https://media.example.com", "media.example.com/"]),
    "MediaCertificateArn": (
        ["arn:aws:acm:us-east-1:123456789012:certificate/1"],
        ["arn:aws:acm:eu-west-1:123456789012:certificate/1", "certificate/1"],
    ),
}


class TestParameters:
    """What is mistyped is refused before anything is changed."""

    @pytest.mark.parametrize("name", TAKEN_AND_REFUSED)
    def test_what_a_parameter_takes(self, name: str, template: dict[str, Any]) -> None:
        declared = template["Parameters"][name]
        taken, refused = TAKEN_AND_REFUSED[name]
        optional = [declared["Default"]] if "Default" in declared else []
        for value in (*taken, *optional):
            assert re.fullmatch(declared["AllowedPattern"], value), value
        for value in refused:
            assert not re.fullmatch(declared["AllowedPattern"], value), value

    def test_every_pattern_has_its_examples(self, template: dict[str, Any]) -> None:
        patterned = {
            name for name, one in template["Parameters"].items() if "AllowedPattern" in one
        }
        assert patterned == set(TAKEN_AND_REFUSED)

    def test_a_switch_takes_only_the_values_that_conditions_compare(
        self, template: dict[str, Any]
    ) -> None:
        """Mistyped, it would be off without a word."""
        compared = {
            (one["Fn::Equals"][0]["Ref"], one["Fn::Equals"][1])
            for one in template["Conditions"].values()
            if isinstance(one.get("Fn::Equals", [None, 0])[1], str)
        }
        assert len(compared) > 10
        for name, value in compared:
            assert value in template["Parameters"][name]["AllowedValues"], name

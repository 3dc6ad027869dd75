"""Does each `!If` choose the right one of its two values?"""

from collections.abc import Iterator
from typing import Any

import pytest

Choice = tuple[str, str, Any, Any]
NOTHING = {"Ref": "AWS::NoValue"}

# By condition: the last names of the properties that it decides between two values, each with the value that it has while
# the condition holds.
CHOSEN: dict[tuple[str, str], Any] = {
    ("HasTracing", "Tracing"): "Active",
    ("HasSnapStart", "ApplyOn"): "PublishedVersions",
    ("HasCertificate", "DisableExecuteApiEndpoint"): True,
    ("HasDetailedRouteMetrics", "DetailedMetricsEnabled"): True,
    ("IsProd", "DeletionProtection"): True,
    ("MaySleep", "DATABASE_MAY_SLEEP"): "true",
    ("MaySleep", "Period"): 7200,
    ("UsesSmtp", "SMTP_SECRET_NAME"): {"Ref": "SmtpSecret"},
    ("UsesGateway", "Value"): {"Ref": "EgressAddress"},
    ("HasOwnStorage", "MEDIA_BUCKET"): {"Ref": "StorageBucket"},
    ("HasOwnStorage", "MEDIA_PUBLIC_URL"): {"Ref": "StoragePublicUrl"},
    ("HasMediaDomain", "MEDIA_PUBLIC_URL"): {"Fn::Sub": "https://${MediaDomain}"},
    ("HasOwnStorage", "S3_REGION"): {"Ref": "StorageRegion"},
    ("HasOwnStorage", "S3_ADDRESSING"): {"Ref": "StorageAddressing"},
    ("HasRestoredDatabase", "DATABASE_ADMIN_SECRET_NAME"): {"Ref": "RestoredDatabaseSecretArn"},
    ("HasRestoredDatabase", "SecretArn"): {"Ref": "RestoredDatabaseSecretArn"},
    ("HasRestoredDatabase", "Cluster"): {"Ref": "RestoredDatabaseResourceId"},
    ("HasCorsOrigins", "AllowedOrigins"): {"Fn::Sub": "${PublicUrl},${CorsOrigins}"},
}
# These hold more than a value, so only the one that stands while the condition holds mentions the parameter.
MENTIONED = {("HasCorsOrigins", "CorsConfiguration"): "${CorsOrigins}"}
# Left out while its condition holds: the pollers' number bounds it instead.
LEFT_OUT_WHILE_IT_HOLDS = {("HasPollers", "ScalingConfig")}


def choices(node: Any, name: str = "") -> Iterator[Choice]:
    """Yield each `!If`: its condition, the name of its property, and its two values."""
    if isinstance(node, list):
        for one in node:
            yield from choices(one, name)
    elif isinstance(node, dict):
        if "Fn::If" in node:
            condition, then, otherwise = node["Fn::If"]
            yield condition, name, then, otherwise
        for key, one in node.items():
            yield from choices(one, name if str(key).startswith("Fn::") else str(key))


@pytest.fixture(scope="module")
def found(template: dict[str, Any]) -> list[Choice]:
    return list(choices(template))


def test_a_property_is_left_out_where_its_condition_does_not_hold(
    found: list[Choice],
) -> None:
    optional = [one for one in found if NOTHING in one[2:]]
    assert len(optional) > 30
    turned = {(condition, name) for condition, name, then, _ in optional if then == NOTHING}
    assert turned == LEFT_OUT_WHILE_IT_HOLDS
    assert [one for one in optional if one[2] == one[3]] == []


def test_of_two_values_the_one_that_the_condition_names_is_chosen(
    found: list[Choice],
) -> None:
    both = [one for one in found if NOTHING not in one[2:]]
    assert {(condition, name) for condition, name, *_ in both} == {*CHOSEN, *MENTIONED}
    for condition, name, then, otherwise in both:
        assert then != otherwise, name
        if word := MENTIONED.get((condition, name)):
            assert word in str(then), name
            assert word not in str(otherwise), name
        else:
            assert then == CHOSEN[condition, name], name

"""Are the safeguards on that nobody misses until the day they are needed? Finding 8.17: each could be taken off unnoticed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.core.config import Settings
from shared.notifications import mails
from shared.webhooks import deliver
from tests.template.conftest import Resources

OfType = Callable[[str], Resources]
USUAL_RATES = {
    "ReconcileRate": "rate(1 minute)",  # a lost hint costs a post so much time
    "TokenRefreshRate": "rate(15 minutes)",
    "DigestRate": "rate(1 hour)",
}


class TestAtRest:
    def test_every_queue_and_bucket_is_encrypted(self, of_type: OfType) -> None:
        for name, queue in of_type("AWS::SQS::Queue").items():
            assert queue["SqsManagedSseEnabled"] is True, name
        for name, bucket in of_type("AWS::S3::Bucket").items():
            (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, name

    def test_no_bucket_can_be_opened_to_everybody(self, of_type: OfType) -> None:
        for name, bucket in of_type("AWS::S3::Bucket").items():
            blocked = bucket["PublicAccessBlockConfiguration"]
            assert len(blocked) == 4, name
            assert set(blocked.values()) == {True}, name

    def test_what_survives_the_stack_survives_its_own_replacement(
        self, resources: Resources
    ) -> None:
        """A change that replaces a resource deletes the old one, whatever the stack's deletion would do."""
        kept = {
            name: found
            for name, found in resources.items()
            if found.get("DeletionPolicy", "Delete") != "Delete"
        }
        assert {"DatabaseCluster", "MediaBucket", "TokenKey"} <= set(kept)
        for name, found in kept.items():
            assert found.get("UpdateReplacePolicy") == found["DeletionPolicy"], name


class TestWays:
    def test_the_public_address_has_tls_1_2_and_is_the_only_one(
        self, of_type: OfType, template: dict[str, Any]
    ) -> None:
        (domain,) = of_type("AWS::ApiGatewayV2::DomainName").values()
        (configuration,) = domain["DomainNameConfigurations"]
        assert configuration["SecurityPolicy"] == "TLS_1_2"
        api = template["Resources"]["HttpApi"]["Properties"]
        assert api["DisableExecuteApiEndpoint"] == {"Fn::If": ["HasCertificate", True, False]}

    def test_the_machine_forwards_what_is_not_its_own(self, resources: Resources) -> None:
        """EC2 drops such packets unless told otherwise, and then no function reaches a platform."""
        assert resources["NatInstance"]["Properties"]["SourceDestCheck"] is False

    @pytest.mark.parametrize("branch", [1, 2])
    def test_pages_of_ours_may_send_cookies_and_read_every_header(
        self, branch: int, template: dict[str, Any]
    ) -> None:
        api = template["Resources"]["HttpApi"]["Properties"]
        given = api["CorsConfiguration"]["Fn::If"][branch]
        assert given["AllowCredentials"] is True
        assert {"retry-after", "x-request-id", "link", "warning"} <= set(given["ExposeHeaders"])
        assert set(given["AllowMethods"]) == {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
        assert given["MaxAge"] == 3600
        origins = [{"Fn::Split": [",", {"Fn::Sub": "${PublicUrl},${CorsOrigins}"}]}]
        assert given["AllowOrigins"] == [*origins, [{"Ref": "PublicUrl"}]][branch - 1]


def test_the_migration_waits_for_its_way_to_the_database_and_out(
    resources: Resources, of_type: OfType
) -> None:
    """It runs while the stack is being made, and nothing else makes CloudFormation finish these first."""
    needed = {
        *of_type("AWS::EC2::Route"),
        *of_type("AWS::EC2::SubnetRouteTableAssociation"),
        *of_type("AWS::EC2::VPCEndpoint"),
        "DatabaseInstance",
        *(
            name
            for name, rule in of_type("AWS::EC2::SecurityGroupEgress").items()
            if "DestinationSecurityGroupId" in rule
        ),
    }
    assert "FunctionsToDatabase" in needed
    assert needed <= set(resources["MigrateFunction"]["DependsOn"])


def test_a_holder_is_killed_before_its_lease_ends(of_type: OfType) -> None:
    """Finding 8.17: else two of them send the same message, or the same mail, at once."""
    functions = of_type("AWS::Lambda::Function")
    leases = {
        "PublishFunction": timedelta(seconds=Settings.model_fields["lease_seconds"].default),
        "DeliverWebhooksFunction": deliver.LEASE,
        "DigestFunction": mails.DIGEST_LEASE,
    }
    for name, lease in leases.items():
        assert functions[name]["Timeout"] < lease.total_seconds(), name


@pytest.mark.parametrize("parameter", USUAL_RATES)
def test_sweeps_come_as_often_as_members_rely_on(parameter: str, template: dict[str, Any]) -> None:
    assert template["Parameters"][parameter]["Default"] == USUAL_RATES[parameter]

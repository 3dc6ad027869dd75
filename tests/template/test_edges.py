"""Is what leaves the network encrypted well enough, logged where wanted, and gone when its time is over?"""

import json
from collections.abc import Callable
from typing import Any

from layers.build import ROOT
from tests.template.conftest import Resources

OfType = Callable[[str], Resources]


class TestMediaHost:
    def test_with_a_domain_tls_is_1_2_at_least(self, of_type: OfType) -> None:
        """Finding 7.15: CloudFront's default certificate admits TLS 1.0."""
        (found,) = of_type("AWS::CloudFront::Distribution").values()
        condition, own, otherwise = found["DistributionConfig"]["ViewerCertificate"]["Fn::If"]
        assert condition == "HasMediaDomain"
        assert own == {
            "AcmCertificateArn": {"Ref": "MediaCertificateArn"},
            "SslSupportMethod": "sni-only",
            "MinimumProtocolVersion": "TLSv1.2_2021",
        }
        assert otherwise == {"Ref": "AWS::NoValue"}
        assert found["DistributionConfig"]["Aliases"]["Fn::If"][:2] == [
            "HasMediaDomain",
            [{"Ref": "MediaDomain"}],
        ]

    def test_without_one_the_guide_and_the_parameter_say_what_is_admitted(
        self, template: dict[str, Any]
    ) -> None:
        assert "TLS 1.0" in template["Parameters"]["MediaDomain"]["Description"]
        assert "TLS 1.0" in (ROOT / "docs" / "operations.md").read_text()

    def test_functions_hand_out_addresses_below_the_domain(self, functions: Resources) -> None:
        for function in functions.values():
            address = function["Environment"]["Variables"]["MEDIA_PUBLIC_URL"]
            assert "HasMediaDomain" in json.dumps(address)


class TestAlarmTopic:
    def test_it_is_encrypted_with_a_key_that_alarms_may_use(self, of_type: OfType) -> None:
        """Finding 7.15: the topic was not encrypted. With AWS's own key of SNS no alarm would arrive."""
        (topic,) = of_type("AWS::SNS::Topic").values()
        assert topic["KmsMasterKeyId"] == {"Ref": "AlarmKey"}
        statements = of_type("AWS::KMS::Key")["AlarmKey"]["KeyPolicy"]["Statement"]
        (allowed,) = [
            found
            for found in statements
            if found["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        ]
        assert set(allowed["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}
        assert allowed["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        }


class TestAccessLogs:
    def test_they_go_to_a_bucket_of_their_own(
        self, of_type: OfType, resources: Resources, template: dict[str, Any]
    ) -> None:
        """Finding 7.15: nobody could say who had read a file."""
        assert resources["AccessLogBucket"]["Condition"] == "HasAccessLogs"
        assert template["Parameters"]["AccessLogs"]["AllowedValues"] == ["off", "on"]
        media = of_type("AWS::S3::Bucket")["MediaBucket"]
        (distribution,) = of_type("AWS::CloudFront::Distribution").values()
        of_s3 = media["LoggingConfiguration"]["Fn::If"]
        of_cloudfront = distribution["DistributionConfig"]["Logging"]["Fn::If"]
        assert of_s3[0] == of_cloudfront[0] == "HasAccessLogs"
        assert of_s3[1]["DestinationBucketName"] == {"Ref": "AccessLogBucket"}
        assert of_cloudfront[1]["Bucket"] == {
            "Fn::GetAtt": ["AccessLogBucket", "RegionalDomainName"]
        }
        assert of_s3[1]["LogFilePrefix"] != of_cloudfront[1]["Prefix"]

    def test_s3_may_write_them_and_cloudfront_can(self, of_type: OfType) -> None:
        policy = of_type("AWS::S3::BucketPolicy")["AccessLogBucketPolicy"]["PolicyDocument"]
        (allowed,) = [found for found in policy["Statement"] if found["Effect"] == "Allow"]
        prefix = of_type("AWS::S3::Bucket")["MediaBucket"]["LoggingConfiguration"]["Fn::If"][1]
        assert allowed["Principal"] == {"Service": "logging.s3.amazonaws.com"}
        assert allowed["Resource"] == {
            "Fn::Sub": f"${{AccessLogBucket.Arn}}/{prefix['LogFilePrefix']}*"
        }
        bucket = of_type("AWS::S3::Bucket")["AccessLogBucket"]
        (rule,) = bucket["OwnershipControls"]["Rules"]
        assert rule["ObjectOwnership"] == "BucketOwnerPreferred"  # CloudFront writes by ACL

    def test_they_are_private_and_expire(self, of_type: OfType) -> None:
        bucket = of_type("AWS::S3::Bucket")["AccessLogBucket"]
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        assert rule["ExpirationInDays"] == {"Ref": "LogRetentionDays"}
        assert rule["Status"] == "Enabled"


def test_markers_of_deleted_media_go_away(of_type: OfType) -> None:
    """Finding 7.15: a delete marker stayed for ever after the last version behind it."""
    bucket = of_type("AWS::S3::Bucket")["MediaBucket"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    (markers,) = [rule for rule in rules if rule.get("ExpiredObjectDeleteMarker")]
    assert markers["Status"] == "Enabled"
    # S3 takes no expiry in days in the same rule.
    assert "ExpirationInDays" not in markers
    assert "Prefix" not in markers

"""Do the values behind the resources do what they are there for: who reaches whom, how long, how often, and when it rings?"""

import json
from collections.abc import Callable

import pytest

from layers.build import PICTURES
from shared.publishing import stage
from tests.template.conftest import Resources

OfType = Callable[[str], Resources]
# Which resource each variable names.
NAMED = {
    "PUBLISH_QUEUE_URL": {"Ref": "PublishQueue"},
    "STAGE_QUEUE_URL": {"Ref": "StageQueue"},
    "VARIANTS_QUEUE_URL": {"Ref": "VariantsQueue"},
    "WEBHOOKS_QUEUE_URL": {"Ref": "WebhooksQueue"},
    "MAILS_QUEUE_URL": {"Ref": "MailsQueue"},
    "ERASE_QUEUE_URL": {"Ref": "EraseQueue"},
    "SCHEDULE_GROUP": {"Ref": "ScheduleGroup"},
    "SCHEDULE_DEAD_LETTER_ARN": {"Fn::GetAtt": ["ScheduleDeadLetterQueue", "Arn"]},
    "KMS_KEY_ID": {"Ref": "TokenKey"},
    "APP_SECRET_NAME": {"Ref": "AppSecret"},
    "PROVIDERS_SECRET_NAME": {"Ref": "ProvidersSecret"},
    "SMTP_SECRET_NAME": {"Fn::If": ["UsesSmtp", {"Ref": "SmtpSecret"}, ""]},
    "DATABASE_HOST": {"Fn::GetAtt": ["DatabaseCluster", "Endpoint.Address"]},
    "MEDIA_BUCKET": {"Fn::If": ["HasOwnStorage", {"Ref": "StorageBucket"}, {"Ref": "MediaBucket"}]},
    "MEDIA_PUBLIC_URL": {
        "Fn::If": [
            "HasOwnStorage",
            {"Ref": "StoragePublicUrl"},
            {
                "Fn::If": [
                    "HasMediaDomain",
                    {"Fn::Sub": "https://${MediaDomain}"},
                    {"Fn::Sub": "https://${MediaDistribution.DomainName}"},
                ]
            },
        ]
    },
    "S3_ENDPOINT_URL": {"Ref": "StorageEndpoint"},
    "S3_REGION": {"Fn::If": ["HasOwnStorage", {"Ref": "StorageRegion"}, ""]},
    "S3_ADDRESSING": {"Fn::If": ["HasOwnStorage", {"Ref": "StorageAddressing"}, ""]},
    "S3_CREDENTIALS_SECRET": {"Ref": "StorageSecretArn"},
    "MEDIA_QUOTA_BYTES": {"Ref": "MediaQuotaBytes"},
    "BILLING": {"Ref": "Billing"},
}
# Alarms that ring at another number than the first one, and at which.
RING_ABOVE = {
    "PublishQueueAgeAlarm": 1200, "StageQueueAgeAlarm": 3600, "VariantsQueueAgeAlarm": 900,
    "WebhooksQueueAgeAlarm": 1200, "MailsQueueAgeAlarm": 1200, "EraseQueueAgeAlarm": 7200, "AfterCommitFailuresAlarm": 5, "MailBouncesAlarm": 0.04,
    "ApiFailuresAlarm": 5, "DatabaseCapacityAlarm": 90, "DatabaseConnectionsAlarm": 80,
    "ReconcileSilentAlarm": 1, "HealthCheckAlarm": 1,
}  # fmt: skip
# What each alarm on a metric of AWS watches.
WATCHED = {
    "ScheduleDroppedAlarm": "ScheduleGroup",
    "ReconcileSilentAlarm": "ReconcileFunction",
    "NatGatewayAlarm": "NatGateway",
    "NatInstanceAlarm": "NatInstance",
    "HealthCheckAlarm": "HealthCheck",
    "ApiFailuresAlarm": "HttpApi",
    "DatabaseCapacityAlarm": "DatabaseCluster",
}


class TestVariables:
    @pytest.mark.parametrize("variable", NAMED)
    def test_a_variable_names_the_resource_of_its_name(
        self, variable: str, functions: Resources
    ) -> None:
        """Finding 8.17: two queues or secrets exchanged."""
        for name, function in functions.items():
            assert function["Environment"]["Variables"][variable] == NAMED[variable], name

    def test_migrate_gets_the_administrators_secret_of_the_database_in_use(
        self, functions: Resources
    ) -> None:
        secret = functions["MigrateFunction"]["Environment"]["Variables"][
            "DATABASE_ADMIN_SECRET_NAME"
        ]
        assert secret["Fn::If"] == [
            "HasRestoredDatabase",
            {"Ref": "RestoredDatabaseSecretArn"},
            {"Fn::GetAtt": ["DatabaseCluster", "MasterUserSecret.SecretArn"]},
        ]


class TestLayers:
    def test_who_imports_a_package_of_a_layer_has_the_layer(self, functions: Resources) -> None:
        """Finding 8.17: without its layer the function fails at its first import."""
        shared = [{"Ref": "DependenciesLayer"}]
        own = {"VariantsFunction": "PicturesLayer", "McpFunction": "ToolsLayer"}
        for name, function in functions.items():
            layers = [*function["Layers"]]
            if name in own:
                assert layers in ([{"Ref": own[name]}], [*shared, {"Ref": own[name]}]), name
            else:
                assert layers == shared, name
        assert "pyvips" in PICTURES


class TestAlarms:
    def test_each_rings_at_its_number(self, of_type: OfType) -> None:
        """Finding 8.17: a threshold that nothing reaches is no alarm."""
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
            assert alarm["Threshold"] == RING_ABOVE.get(name, 0), name

    @pytest.mark.parametrize("name", WATCHED)
    def test_each_watches_what_it_is_named_after(self, name: str, of_type: OfType) -> None:
        """Finding 8.17: an alarm with the dimension of something else."""
        (dimension,) = of_type("AWS::CloudWatch::Alarm")[name]["Dimensions"]
        assert dimension["Value"] == {"Ref": WATCHED[name]}

    def test_the_public_address_is_asked_whether_it_is_ready(self, of_type: OfType) -> None:
        (check,) = of_type("AWS::Route53::HealthCheck").values()
        assert check["HealthCheckConfig"]["ResourcePath"] == "/health/ready"
        assert check["HealthCheckConfig"]["Type"] == "HTTPS"


class TestRetries:
    def test_a_missed_sweep_is_not_made_up_for(self, of_type: OfType) -> None:
        """The next one follows within a minute; repeated ones would run beside it."""
        for schedule in of_type("AWS::Scheduler::Schedule").values():
            assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 0}

    def test_a_firing_is_tried_again_before_it_becomes_a_dead_letter(self, of_type: OfType) -> None:
        """Finding 8.17: the Scheduler invokes asynchronously, so its own retries do not cover a failure of prepare."""
        (config,) = of_type("AWS::Lambda::EventInvokeConfig").values()
        assert config["FunctionName"] == {"Ref": "PrepareFunction"}
        assert config["MaximumRetryAttempts"] == 2
        assert 0 < config["MaximumEventAgeInSeconds"] <= 3600

    def test_a_batch_is_no_larger_than_a_queue_hands_out_at_once(self, of_type: OfType) -> None:
        # More needs a batching window, which every post would wait for.
        # Source: docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html, read 2026-11.
        for source in of_type("AWS::Lambda::EventSourceMapping").values():
            assert 1 <= source["BatchSize"] <= 10
            assert "MaximumBatchingWindowInSeconds" not in source


class TestTimes:
    def test_stage_has_the_time_that_moving_media_takes(self, of_type: OfType) -> None:
        """Finding 8.17: a lease is renewed while bytes move, so the function's own time is the limit of a file."""
        timeout = of_type("AWS::Lambda::Function")["StageFunction"]["Timeout"]
        assert timeout == 900
        assert timeout > stage.LEASE.total_seconds()


class TestStorage:
    def test_a_browser_may_upload_parts_and_read_their_tags(self, of_type: OfType) -> None:
        """Finding 8.17: without PUT or ETag no upload of a page is ever completed."""
        bucket = of_type("AWS::S3::Bucket")["MediaBucket"]
        (rule,) = bucket["CorsConfiguration"]["CorsRules"]
        assert {"GET", "HEAD", "PUT"} <= set(rule["AllowedMethods"])
        assert rule["ExposedHeaders"] == ["ETag"]
        assert {"content-type", "content-md5"} <= set(rule["AllowedHeaders"])
        assert "PublicUrl" in json.dumps(rule["AllowedOrigins"])

    def test_what_nobody_needs_goes_away_and_what_was_deleted_can_be_restored(
        self, of_type: OfType
    ) -> None:
        """Finding 8.17: the times of the bucket's rules."""
        bucket = of_type("AWS::S3::Bucket")["MediaBucket"]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
        assert {rule["Status"] for rule in rules.values()} == {"Enabled"}
        given_up = rules["UploadsNeverCompleted"]["AbortIncompleteMultipartUpload"]
        assert given_up == {"DaysAfterInitiation": 2}
        assert rules["UploadsNeverLookedAt"]["ExpirationInDays"] == 2
        kept = rules["DeletedMedia"]["NoncurrentVersionExpiration"]
        assert kept == {"NoncurrentDays": 30}

    def test_what_users_uploaded_is_served_encrypted_and_never_as_a_page(
        self, of_type: OfType
    ) -> None:
        """Finding 8.17: the headers could be switched off, and the bucket's signature too."""
        (distribution,) = of_type("AWS::CloudFront::Distribution").values()
        behavior = distribution["DistributionConfig"]["DefaultCacheBehavior"]
        assert behavior["ViewerProtocolPolicy"] == "redirect-to-https"
        assert behavior["ResponseHeadersPolicyId"] == {"Ref": "MediaHeaders"}
        headers = of_type("AWS::CloudFront::ResponseHeadersPolicy")["MediaHeaders"]
        secured = headers["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
        assert secured["ContentTypeOptions"] == {"Override": True}
        policy = secured["ContentSecurityPolicy"]
        assert policy == {
            "ContentSecurityPolicy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
            "Override": True,
        }
        referrer = {"ReferrerPolicy": "no-referrer", "Override": True}
        assert secured["ReferrerPolicy"] == referrer
        (access,) = of_type("AWS::CloudFront::OriginAccessControl").values()
        assert access["OriginAccessControlConfig"]["SigningBehavior"] == "always"

    def test_the_key_of_the_tokens_is_renewed(self, of_type: OfType) -> None:
        assert of_type("AWS::KMS::Key")["TokenKey"]["EnableKeyRotation"] is True


class TestDatabase:
    def test_it_grows_between_its_two_parameters_and_sleeps_only_where_it_may(
        self, of_type: OfType
    ) -> None:
        """Finding 8.17: least and most exchanged, or production that falls asleep."""
        (cluster,) = of_type("AWS::RDS::DBCluster").values()
        scaling = cluster["ServerlessV2ScalingConfiguration"]
        assert scaling["MinCapacity"] == {"Ref": "DatabaseMinCapacity"}
        assert scaling["MaxCapacity"] == {"Ref": "DatabaseMaxCapacity"}
        assert scaling["SecondsUntilAutoPause"]["Fn::If"] == [
            "MaySleep",
            300,
            {"Ref": "AWS::NoValue"},
        ]


class TestNetwork:
    def test_functions_reach_the_database_platforms_and_nothing_else(self, of_type: OfType) -> None:
        """Finding 8.17: a port that is closed stops every function, one that is open is noticed by nobody."""
        group = of_type("AWS::EC2::SecurityGroup")["FunctionSecurityGroup"]
        (out,) = group["SecurityGroupEgress"]
        assert (out["FromPort"], out["ToPort"], out["CidrIp"]) == (443, 443, "0.0.0.0/0")
        assert "SecurityGroupIngress" not in group
        further = of_type("AWS::EC2::SecurityGroupEgress")
        assert set(further) == {"FunctionsToDatabase", "FunctionsToMailServer"}
        database = further["FunctionsToDatabase"]
        assert (database["FromPort"], database["ToPort"]) == (5432, 5432)
        assert database["DestinationSecurityGroupId"] == {"Ref": "DatabaseSecurityGroup"}
        mail = further["FunctionsToMailServer"]
        assert mail["FromPort"] == mail["ToPort"] == {"Ref": "SmtpPort"}

    def test_the_database_is_reached_by_functions_alone(self, of_type: OfType) -> None:
        """Finding 8.17: open to the world."""
        group = of_type("AWS::EC2::SecurityGroup")["DatabaseSecurityGroup"]
        (into,) = group["SecurityGroupIngress"]
        assert {name: value for name, value in into.items() if name != "Description"} == {
            "IpProtocol": "tcp",
            "FromPort": 5432,
            "ToPort": 5432,
            "SourceSecurityGroupId": {"Ref": "FunctionSecurityGroup"},
        }

    def test_functions_and_database_are_in_the_private_subnets(
        self, of_type: OfType, functions: Resources
    ) -> None:
        private = [{"Ref": "PrivateSubnetA"}, {"Ref": "PrivateSubnetB"}]
        for name, function in functions.items():
            assert function["VpcConfig"] == {
                "SubnetIds": private,
                "SecurityGroupIds": [{"Ref": "FunctionSecurityGroup"}],
            }, name
        (subnets,) = of_type("AWS::RDS::DBSubnetGroup").values()
        assert subnets["SubnetIds"] == private
        (cluster,) = of_type("AWS::RDS::DBCluster").values()
        assert cluster["DBSubnetGroupName"] == {"Ref": "DatabaseSubnets"}
        assert cluster["VpcSecurityGroupIds"] == [{"Ref": "DatabaseSecurityGroup"}]

    def test_each_subnet_has_its_routes(self, of_type: OfType) -> None:
        routes = {
            one["SubnetId"]["Ref"]: one["RouteTableId"]["Ref"]
            for one in of_type("AWS::EC2::SubnetRouteTableAssociation").values()
        }
        assert routes == {
            "PublicSubnet": "PublicRoutes",
            "PrivateSubnetA": "PrivateRoutes",
            "PrivateSubnetB": "PrivateRoutes",
        }
        assert set(routes) == set(of_type("AWS::EC2::Subnet"))
        (storage,) = of_type("AWS::EC2::VPCEndpoint").values()
        assert storage["RouteTableIds"] == [{"Ref": "PrivateRoutes"}]

    def test_the_way_out_leads_through_the_public_subnet(self, of_type: OfType) -> None:
        public, private = (
            of_type("AWS::EC2::Route")[name] for name in ("PublicDefaultRoute", "DefaultRoute")
        )
        assert public["DestinationCidrBlock"] == private["DestinationCidrBlock"] == "0.0.0.0/0"
        assert public["RouteTableId"] == {"Ref": "PublicRoutes"}
        assert public["GatewayId"] == {"Ref": "InternetGateway"}
        assert private["RouteTableId"] == {"Ref": "PrivateRoutes"}
        (gateway,) = of_type("AWS::EC2::NatGateway").values()
        assert gateway["SubnetId"] == {"Ref": "PublicSubnet"}

    def test_the_machine_is_in_the_public_subnet_and_forwards_for_functions_alone(
        self, of_type: OfType
    ) -> None:
        machine = of_type("AWS::EC2::Instance")["NatInstance"]
        assert machine["NetworkInterfaces"] == [
            {
                "DeviceIndex": "0",
                "SubnetId": {"Ref": "PublicSubnet"},
                "AssociatePublicIpAddress": True,
                "GroupSet": [{"Ref": "NatInstanceSecurityGroup"}],
            }
        ]
        assert machine["LaunchTemplate"]["LaunchTemplateId"] == {"Ref": "NatInstanceTemplate"}
        group = of_type("AWS::EC2::SecurityGroup")["NatInstanceSecurityGroup"]
        (into,) = group["SecurityGroupIngress"]
        assert into["SourceSecurityGroupId"] == {"Ref": "FunctionSecurityGroup"}
        assert (into["FromPort"], into["ToPort"]) == (0, 65535)
        (out,) = group["SecurityGroupEgress"]
        assert (out["IpProtocol"], out["CidrIp"]) == ("-1", "0.0.0.0/0")

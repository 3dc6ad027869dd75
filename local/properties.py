"""The resource types and properties of a template that the local runtime knows.

A type or property in neither table is refused by name, so that the local system cannot silently differ from the template.
"""

# Exist only in AWS: networks, permissions, alarms, the database cluster (an embedded server here), the CDN.
AWS_ONLY = (
    "AWS::ApiGatewayV2::", "AWS::ApplicationAutoScaling::", "AWS::Budgets::", "AWS::CertificateManager::", "AWS::CloudFormation::",
    "AWS::CloudFront::", "AWS::CloudTrail::", "AWS::CloudWatch::", "AWS::EC2::", "AWS::IAM::", "AWS::Lambda::Alias", "AWS::Lambda::Permission",
    "AWS::Lambda::Version", "AWS::Logs::", "AWS::RDS::", "AWS::Route53::", "AWS::S3::BucketPolicy", "AWS::SES::ConfigurationSet",
    "AWS::SNS::", "AWS::SQS::QueuePolicy", "AWS::SSM::", "AWS::SecretsManager::ResourcePolicy", "AWS::SecretsManager::RotationSchedule",
    "AWS::SecretsManager::SecretTargetAttachment", "AWS::Serverless::LayerVersion", "AWS::WAFv2::", "AWS::XRay::", "Custom::",
)  # fmt: skip

# For each supported type: the properties that have an effect, and those that change nothing on a laptop.
HONOURED: dict[str, set[str]] = {
    "AWS::Serverless::Function": {
        "AutoPublishAlias", "CodeUri", "DeadLetterQueue", "Environment", "EventInvokeConfig", "Events", "FunctionName", "Handler", "MemorySize",
        "RecursiveLoop", "Runtime", "Timeout",
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
WITHOUT_EFFECT: dict[str, set[str]] = {
    "AWS::Serverless::Function": {
        "Architectures", "AutoPublishAliasAllProperties", "AutoPublishCodeSha256", "DeploymentPreference", "Description", "EphemeralStorage", "KmsKeyArn",
        "Layers", "LoggingConfig", "PermissionsBoundary", "Policies", "PropagateTags", "ProvisionedConcurrencyConfig",
        "ReservedConcurrentExecutions", "Role", "RolePath", "RuntimeManagementConfig", "SnapStart", "Tags", "Tracing", "VersionDeletionPolicy", "VersionDescription", "VpcConfig",
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

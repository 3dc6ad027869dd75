"""A bucket and a queue for tests, and the ways a browser and a message reach them."""

import json
from typing import Any

import boto3
import requests

from tests.conftest import Configure

BUCKET = "media-bucket"
PUBLIC = "https://media.example"


def make_storage(configure: Configure, **settings: object) -> None:
    """Make an empty bucket and the variants queue, inside moto."""
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    url = boto3.client("sqs").create_queue(QueueName="variants")["QueueUrl"]
    configure(MEDIA_BUCKET=BUCKET, MEDIA_PUBLIC_URL=PUBLIC, VARIANTS_QUEUE_URL=url, **settings)


def keys(prefix: str = "") -> list[str]:
    found = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return sorted(entry["Key"] for entry in found.get("Contents", ()))


def stored(key: str) -> dict[str, Any]:
    """The object under `key`, as S3 answers it, with its bytes under `content`."""
    answer = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)
    return {**answer, "content": answer["Body"].read()}


def open_uploads() -> int:
    return len(boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


def asked_for_variants(url: str) -> list[dict[str, str]]:
    """Take what is on the variants queue."""
    taken = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in taken.get("Messages", ())]


def put_parts(started: dict[str, Any], content: bytes) -> list[dict[str, Any]]:
    """PUT every part as a browser does; what completion needs."""
    done = []
    for part in started["parts"]:
        start = (part["number"] - 1) * started["partSize"]
        answer = requests.put(
            part["url"], data=content[start : start + started["partSize"]], timeout=5
        )
        assert answer.status_code == 200, answer.text
        done.append({"number": part["number"], "etag": answer.headers["etag"]})
    return done

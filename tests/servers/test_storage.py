"""Whether files are kept in an object storage other than S3: s3rver, which shares no code with moto or with our front.

Finding 4.4: other object storages were promised, without a place for their address and keys.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import boto3
import httpx
import pytest

from shared.aws import secrets, storage
from shared.aws.storage import ObjectMissing, UploadedPart
from shared.core.ranges import Ranges
from shared.media.probe import examine
from tests.conftest import Configure
from tests.shared.media.files import SECRET, an_mp4, box

pytestmark = pytest.mark.servers

SERVER = Path(__file__).parent / "s3" / "node_modules" / ".bin" / "s3rver"
BUCKET = "media"
MEBIBYTE = 1024**2


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = shutil.which("node")
    assert node, "make test-servers needs Node"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("s3")
    command = [node, str(SERVER), "-d", str(folder), "-a", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen([*command, "--configure-bucket", BUCKET])
    url = f"http://127.0.0.1:{port}"
    ends_at = time.monotonic() + 30
    try:
        while True:
            try:
                httpx.get(url, timeout=1)
                break
            except httpx.TransportError:
                assert process.poll() is None, "s3rver did not start"
                assert time.monotonic() < ends_at, "s3rver does not answer"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(autouse=True)
def _storage(address: str, aws: None, configure: Configure) -> None:
    secrets.forget_secrets()
    boto3.client("secretsmanager").create_secret(
        Name="storage", SecretString='{"accessKeyId": "S3RVER", "secretAccessKey": "S3RVER"}'
    )
    configure(
        MEDIA_BUCKET=BUCKET,
        MEDIA_PUBLIC_URL=f"{address}/{BUCKET}",
        S3_ENDPOINT_URL=address,
        S3_REGION="auto",
        S3_CREDENTIALS_SECRET="storage",
    )


def uploaded(key: str, content: bytes) -> None:
    """Upload in parts by signed addresses, as a browser does."""
    upload_id = storage.create_multipart(key)
    parts = []
    for number, start in enumerate(range(0, len(content), 8 * MEBIBYTE), 1):
        part = content[start : start + 8 * MEBIBYTE]
        url = storage.presign_part(
            key, upload_id, number, size_bytes=len(part), valid_for=timedelta(minutes=5)
        )
        answer = httpx.put(url, content=part, timeout=30)
        assert answer.status_code == 200, answer.text
        parts.append(UploadedPart(number, answer.headers["etag"]))
    storage.complete_multipart(key, upload_id, parts)


def test_an_upload_in_parts_is_cleaned_served_and_removed() -> None:
    film = an_mp4(media_bytes=20 * MEBIBYTE, in_moov=box(b"udta", SECRET))
    uploaded("incoming/film", film)
    stored = storage.head("incoming/film")
    assert stored.size_bytes == len(film)
    read = partial(storage.read_range, "incoming/film", etag=stored.etag)
    examined = examine(Ranges(read, stored.size_bytes))
    storage.put_together(
        "incoming/film", "files/film.mp4", examined.content, source=stored, content_type="video/mp4"
    )
    served = storage.read_range("files/film.mp4", 0, len(film))
    assert len(served) == len(film)
    assert SECRET not in served
    assert served.count(b"mdat") == 1
    storage.delete("incoming/film")
    with pytest.raises(ObjectMissing):
        storage.head("incoming/film")


def test_small_files_copies_and_ranges() -> None:
    storage.put("files/a.png", b"0123456789", content_type="image/png")
    assert storage.read_range("files/a.png", 2, 3) == b"234"
    stored = storage.head("files/a.png")
    storage.copy("files/a.png", "files/b.png", source=stored, content_type="image/png")
    assert storage.read_range("files/b.png", 0, 100) == b"0123456789"
    with pytest.raises(ObjectMissing):
        storage.read_range("files/none.png", 0, 1)


def test_keys_that_it_does_not_know_are_refused(address: str, configure: Configure) -> None:
    boto3.client("secretsmanager").create_secret(
        Name="wrong", SecretString='{"accessKeyId": "nobody", "secretAccessKey": "wrong"}'
    )
    configure(S3_CREDENTIALS_SECRET="wrong")
    with pytest.raises(storage.StorageUnavailable):
        storage.put("files/a.png", b"x", content_type="image/png")

"""Whether the storage is asked in a way that S3 and its relatives understand, and its refusals are told apart."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.stub import Stubber

from shared.aws import storage
from shared.aws.storage import ObjectMissing, PartsRefused, StorageUnavailable, StoredObject
from tests.conftest import Configure
from tests.shared.media.storage import BUCKET, PUBLIC, keys, make_storage, open_uploads

MEBIBYTE = 1024**2


@pytest.fixture(autouse=True)
def _storage(aws: None, configure: Configure) -> None:
    make_storage(configure)


class TestAddresses:
    def test_public_address_and_back(self) -> None:
        url = storage.public_url("files/a b/ü.png")
        assert url == f"{PUBLIC}/files/a%20b/%C3%BC.png"
        assert storage.key_of(f"{PUBLIC}/files/x.png") == "files/x.png"

    @pytest.mark.parametrize("url", ["https://elsewhere.example/files/x.png", PUBLIC, ""])
    def test_addresses_elsewhere_are_not_ours(self, url: str) -> None:
        assert storage.key_of(url) is None

    def test_signature_covers_part_and_length_and_ends(self) -> None:
        url = storage.presign_part("a/b", "upload", 7, size_bytes=5, valid_for=timedelta(hours=1))
        query = parse_qs(urlsplit(url).query)
        assert (query["partNumber"], query["uploadId"]) == (["7"], ["upload"])
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-SignedHeaders"] == ["content-length;host"]
        assert query["X-Amz-Expires"] == ["3600"]
        # A checksum that is part of the signature would have to be computed by the browser.
        assert not [name for name in query if "checksum" in name.lower()]

    def test_other_storages_have_the_bucket_in_the_path(self, configure: Configure) -> None:
        configure(S3_ENDPOINT_URL="http://127.0.0.1:9000", S3_REGION="auto")
        url = storage.presign_part("a/b", "upload", 1, size_bytes=5, valid_for=timedelta(hours=1))
        assert url.startswith(f"http://127.0.0.1:9000/{BUCKET}/a/b?")
        assert "%2Fauto%2Fs3%2F" in url


class TestObjects:
    def test_ranges_are_read(self) -> None:
        storage.put("key", b"0123456789", content_type="image/png")
        assert storage.read_range("key", 2, 3) == b"234"
        assert storage.read_range("key", 8, 100) == b"89"
        assert storage.head("key").size_bytes == 10

    def test_missing_object_is_told(self) -> None:
        with pytest.raises(ObjectMissing):
            storage.read_range("key", 0, 1)
        with pytest.raises(ObjectMissing):
            storage.head("key")

    def test_object_that_changed_is_neither_read_nor_copied(self) -> None:
        storage.put("key", b"looked at", content_type="image/png")
        seen = storage.head("key")
        storage.put("key", b"another!!", content_type="image/png")
        with pytest.raises(ObjectMissing):
            storage.read_range("key", 0, 1, etag=seen.etag)
        with Stubber(storage._client()) as s3:  # moto copies whatever is there
            s3.add_client_error("copy_object", "PreconditionFailed", http_status_code=412)
            with pytest.raises(ObjectMissing):
                storage.copy("key", "to", source=seen, content_type="image/png")

    def test_deleting_twice_is_harmless(self) -> None:
        storage.put("key", b"x", content_type="image/png")
        storage.delete("key")
        storage.delete("key")
        assert keys() == []

    def test_copy_in_parts_that_fails_leaves_no_parts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "_COPY_PART_BYTES", 5 * MEBIBYTE)
        boto3.client("s3").put_object(Bucket=BUCKET, Key="key", Body=b"x")
        too_long = StoredObject(11 * MEBIBYTE, storage.head("key").etag)
        with pytest.raises(PartsRefused):  # S3 refuses the range, moto the small part
            storage.copy("key", "to", source=too_long, content_type="video/mp4")
        assert open_uploads() == 0

    def test_storage_that_copies_no_parts_copies_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(**_: Any) -> tuple[Any, dict[str, Any]]:
            return SimpleNamespace(status_code=501), {"Error": {"Code": "NotImplemented"}}

        monkeypatch.setattr(storage, "_COPY_PART_BYTES", 1)
        storage.put("key", b"abc", content_type="video/mp4")
        events = storage._client().meta.events
        events.register("before-call.s3.UploadPartCopy", refuse)
        try:
            storage.copy("key", "to", source=storage.head("key"), content_type="video/mp4")
        finally:
            events.unregister("before-call.s3.UploadPartCopy", refuse)
        assert (keys(), open_uploads()) == (["key", "to"], 0)

    @pytest.mark.parametrize(
        ("code", "failure"),
        [
            ("InvalidPart", PartsRefused),
            ("EntityTooSmall", PartsRefused),
            ("NoSuchUpload", ObjectMissing),
            ("SlowDown", StorageUnavailable),
            ("AccessDenied", StorageUnavailable),
        ],
    )
    def test_refusals_are_told_apart(self, code: str, failure: type[Exception]) -> None:
        with Stubber(storage._client()) as s3:
            s3.add_client_error("complete_multipart_upload", code)
            with pytest.raises(failure):
                storage.complete_multipart("key", "upload", [])

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from local.home import listen
from local.storage.front import Storage
from local.storage.objects import ObjectStore
from local.storage.signatures import Verifier
from tests.local.conftest import AWS_KEYS, read_small_system

BUCKET = "roost-local-uploads"
MB = 1024 * 1024


@dataclass(frozen=True)
class Front:
    url: str
    store: ObjectStore

    def client(self, secret: str = AWS_KEYS["aws_secret_access_key"], **config: Any) -> Any:
        return boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=AWS_KEYS["aws_access_key_id"],
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}, signature_version="s3v4", **config),
        )

    def presign(
        self,
        operation: str,
        key: str,
        *,
        expires: int = 60,
        secret: str = AWS_KEYS["aws_secret_access_key"],
        **more: Any,
    ) -> str:
        url: str = self.client(secret).generate_presigned_url(
            operation, Params={"Bucket": BUCKET, "Key": key, **more}, ExpiresIn=expires
        )
        return url


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Front]:
    """Serve a store on a free port, from a thread."""
    store = ObjectStore(folder)
    app = Storage(
        store, read_small_system().buckets, Verifier(*AWS_KEYS.values()), public_bucket=BUCKET
    )
    with listen(0, what="the test", variable="PORT") as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield Front(f"http://127.0.0.1:{listener.getsockname()[1]}", store)
        server.should_exit = True
        thread.join()
    store.close()


@pytest.fixture(scope="module")
def module_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with serving(tmp_path_factory.mktemp("objects")) as front:
        yield front


@pytest.fixture
def front(module_front: Front) -> Front:
    for stored in list(module_front.store.list(BUCKET, prefix="", after="")):
        module_front.store.delete(BUCKET, stored.key)
    return module_front


def code(answer: httpx.Response) -> str:
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


class TestObjects:
    def test_put_get_head_delete(self, front: Front) -> None:
        s3 = front.client()
        put = s3.put_object(
            Bucket=BUCKET,
            Key="a/ü b+c.txt",
            Body=b"hello",
            ContentType="text/plain",
            CacheControl="max-age=5",
            Metadata={"kind": "x"},
        )

        got = s3.get_object(Bucket=BUCKET, Key="a/ü b+c.txt")
        assert got["Body"].read() == b"hello"
        assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == (
            "text/plain",
            "max-age=5",
            {"kind": "x"},
        )
        assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
        assert s3.head_object(Bucket=BUCKET, Key="a/ü b+c.txt")["ContentLength"] == 5
        s3.delete_object(Bucket=BUCKET, Key="a/ü b+c.txt")
        with pytest.raises(ClientError, match="NoSuchKey"):
            s3.get_object(Bucket=BUCKET, Key="a/ü b+c.txt")
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket=BUCKET, Key="a/ü b+c.txt")

    def test_empty_object(self, front: Front) -> None:
        front.client().put_object(Bucket=BUCKET, Key="empty", Body=b"")

        assert front.client().get_object(Bucket=BUCKET, Key="empty")["Body"].read() == b""

    @pytest.mark.parametrize(
        ("asked", "status", "content", "described"),
        [
            ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
            ("bytes=7-", 206, b"789", "bytes 7-9/10"),
            ("bytes=-2", 206, b"89", "bytes 8-9/10"),
            ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
            ("bytes=0-1,4-5", 200, b"0123456789", None),
            ("lines=1-2", 200, b"0123456789", None),
        ],
    )
    def test_ranges(
        self, front: Front, asked: str, status: int, content: bytes, described: str | None
    ) -> None:
        front.client().put_object(Bucket=BUCKET, Key="digits", Body=b"0123456789")

        answer = httpx.get(front.presign("get_object", "digits"), headers={"Range": asked})

        assert (answer.status_code, answer.content, answer.headers.get("content-range")) == (
            status,
            content,
            described,
        )

    def test_range_beyond_the_end_is_refused(self, front: Front) -> None:
        front.client().put_object(Bucket=BUCKET, Key="digits", Body=b"0123456789")

        answer = httpx.get(front.presign("get_object", "digits"), headers={"Range": "bytes=10-"})

        assert (answer.status_code, code(answer)) == (416, "InvalidRange")

    def test_unchanged_object_is_not_sent_again(self, front: Front) -> None:
        etag = front.client().put_object(Bucket=BUCKET, Key="a", Body=b"x")["ETag"]

        assert (
            httpx.get(front.presign("get_object", "a"), headers={"If-None-Match": etag}).status_code
            == 304
        )

    def test_copy_and_its_replaced_headers(self, front: Front) -> None:
        s3 = front.client()
        s3.put_object(Bucket=BUCKET, Key="a", Body=b"x", ContentType="text/plain")

        s3.copy_object(Bucket=BUCKET, Key="b", CopySource={"Bucket": BUCKET, "Key": "a"})
        s3.copy_object(
            Bucket=BUCKET,
            Key="c",
            CopySource={"Bucket": BUCKET, "Key": "a"},
            MetadataDirective="REPLACE",
            ContentType="image/png",
        )
        s3.delete_object(Bucket=BUCKET, Key="a")

        assert s3.get_object(Bucket=BUCKET, Key="b")["Body"].read() == b"x"
        assert [s3.head_object(Bucket=BUCKET, Key=key)["ContentType"] for key in "bc"] == [
            "text/plain",
            "image/png",
        ]

    def test_delete_many(self, front: Front) -> None:
        s3 = front.client()
        for key in "abc":
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")

        s3.delete_objects(
            Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}, {"Key": "c"}, {"Key": "none"}]}
        )

        assert [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["b"]

    def test_body_that_is_not_what_it_says_is_refused(self, front: Front) -> None:
        answer = httpx.put(
            front.presign("put_object", "a"),
            content=b"x",
            headers={"Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww=="},
        )

        assert (answer.status_code, code(answer)) == (400, "BadDigest")
        assert front.store.find(BUCKET, "a") is None

    def test_unknown_bucket_and_unknown_operation(self, front: Front) -> None:
        with pytest.raises(ClientError, match="NoSuchBucket"):
            front.client().get_object(Bucket="other", Key="a")
        with pytest.raises(ClientError, match="NotImplemented"):
            front.client().get_object_acl(Bucket=BUCKET, Key="a")


class TestList:
    def test_prefix_delimiter_and_pages(self, front: Front) -> None:
        s3 = front.client()
        for key in ("a/1", "a/2", "a/ü&", "b", "c/1"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")

        assert [
            one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix="a/")["Contents"]
        ] == ["a/1", "a/2", "a/ü&"]
        grouped = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
        assert [one["Key"] for one in grouped["Contents"]] == ["b"]
        assert [one["Prefix"] for one in grouped["CommonPrefixes"]] == ["a/", "c/"]
        pages = list(
            s3.get_paginator("list_objects_v2").paginate(
                Bucket=BUCKET, PaginationConfig={"PageSize": 2}
            )
        )
        assert [[one["Key"] for one in page["Contents"]] for page in pages] == [
            ["a/1", "a/2"],
            ["a/ü&", "b"],
            ["c/1"],
        ]
        folders = list(
            s3.get_paginator("list_objects_v2").paginate(
                Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 1}
            )
        )
        assert [
            page.get("CommonPrefixes", page.get("Contents")) is not None for page in folders
        ] == [True, True, True]


class TestSignatures:
    def test_presigned_put_and_get(self, front: Front) -> None:
        url = front.presign("put_object", "a b", ContentType="image/png")

        assert (
            httpx.put(url, content=b"x", headers={"Content-Type": "image/png"}).status_code == 200
        )
        assert httpx.get(front.presign("get_object", "a b")).content == b"x"

    def test_download_name_by_the_query(self, front: Front) -> None:
        front.client().put_object(Bucket=BUCKET, Key="a", Body=b"x")

        answer = httpx.get(
            front.presign(
                "get_object", "a", ResponseContentDisposition='attachment; filename="ä.png"'
            )
        )

        assert answer.headers["content-disposition"].startswith("attachment")

    def test_forged_signature(self, front: Front) -> None:
        answer = httpx.get(front.presign("get_object", "a", secret="somebody-else's"))

        assert (answer.status_code, code(answer)) == (403, "SignatureDoesNotMatch")

    @pytest.mark.parametrize(
        "change",
        [("/a?", "/b?"), ("X-Amz-Expires=60", "X-Amz-Expires=61"), ("host", "host%3Brange")],
    )
    def test_changed_request(self, front: Front, change: tuple[str, str]) -> None:
        url = front.presign("get_object", "a").replace(*change)

        assert (httpx.get(url).status_code, code(httpx.get(url))) == (403, "SignatureDoesNotMatch")

    def test_other_method_or_type_than_signed(self, front: Front) -> None:
        assert (
            code(httpx.put(front.presign("get_object", "a"), content=b"x"))
            == "SignatureDoesNotMatch"
        )
        typed = front.presign("put_object", "a", ContentType="image/png")
        assert (
            code(httpx.put(typed, content=b"x", headers={"Content-Type": "text/html"}))
            == "SignatureDoesNotMatch"
        )

    def test_expired(self, front: Front) -> None:
        url = front.presign("get_object", "a", expires=1)
        time.sleep(2.1)

        answer = httpx.get(url)

        assert (answer.status_code, code(answer), "Request has expired" in answer.text) == (
            403,
            "AccessDenied",
            True,
        )

    def test_unsigned(self, front: Front) -> None:
        assert httpx.get(f"{front.url}/{BUCKET}/a").status_code == 403
        assert httpx.put(f"{front.url}/{BUCKET}/a", content=b"x").status_code == 403

    def test_unknown_key(self, front: Front) -> None:
        url = front.presign("get_object", "a").replace("Credential=local", "Credential=other")

        assert code(httpx.get(url)) == "InvalidAccessKeyId"

    def test_unsigned_amz_header(self, front: Front) -> None:
        answer = httpx.put(
            front.presign("put_object", "a"), content=b"x", headers={"x-amz-meta-owner": "me"}
        )

        assert (answer.status_code, code(answer)) == (403, "AccessDenied")


class TestMultipart:
    def test_presigned_parts_make_one_object(self, front: Front) -> None:
        s3 = front.client()
        parts = [os.urandom(5 * MB), os.urandom(5 * MB), b"end"]
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="film", ContentType="video/mp4")[
            "UploadId"
        ]
        etags = []
        for number, part in enumerate(parts, 1):
            url = front.presign("upload_part", "film", UploadId=upload, PartNumber=number)
            etags.append(httpx.put(url, content=part).headers["etag"])
        listed = s3.list_parts(Bucket=BUCKET, Key="film", UploadId=upload)["Parts"]
        assert [(one["PartNumber"], one["Size"], one["ETag"]) for one in listed] == [
            (n, len(p), etags[n - 1]) for n, p in enumerate(parts, 1)
        ]
        assert s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"][0]["Key"] == "film"

        named = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        done = s3.complete_multipart_upload(
            Bucket=BUCKET, Key="film", UploadId=upload, MultipartUpload={"Parts": named}
        )

        whole = b"".join(parts)
        digests = b"".join(hashlib.md5(part).digest() for part in parts)
        assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
        got = s3.get_object(Bucket=BUCKET, Key="film")
        assert (got["Body"].read() == whole, got["ContentType"]) == (True, "video/mp4")
        across = httpx.get(
            front.presign("get_object", "film"),
            headers={"Range": f"bytes={5 * MB - 2}-{10 * MB + 1}"},
        )
        assert across.content == whole[5 * MB - 2 : 10 * MB + 2]
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)

    def begin(self, front: Front, sizes: list[int]) -> tuple[Any, str, list[dict[str, Any]]]:
        s3 = front.client()
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="film")["UploadId"]
        named = [
            {
                "PartNumber": number,
                "ETag": s3.upload_part(
                    Bucket=BUCKET, Key="film", UploadId=upload, PartNumber=number, Body=b"x" * size
                )["ETag"],
            }
            for number, size in enumerate(sizes, 1)
        ]
        return s3, upload, named

    def test_refusals(self, front: Front) -> None:
        s3, upload, named = self.begin(front, [10, 10])

        def complete(parts: list[dict[str, Any]], upload_id: str = upload) -> None:
            s3.complete_multipart_upload(
                Bucket=BUCKET, Key="film", UploadId=upload_id, MultipartUpload={"Parts": parts}
            )

        with pytest.raises(ClientError, match="EntityTooSmall"):
            complete(named)
        with pytest.raises(ClientError, match="InvalidPartOrder"):
            complete(named[::-1])
        with pytest.raises(ClientError, match=r"\(InvalidPart\)"):
            complete([{"PartNumber": 1, "ETag": '"00"'}])
        with pytest.raises(ClientError, match="NoSuchUpload"):
            complete(named, "other")
        assert front.store.find(BUCKET, "film") is None
        s3.abort_multipart_upload(Bucket=BUCKET, Key="film", UploadId=upload)
        with pytest.raises(ClientError, match="NoSuchUpload"):
            s3.list_parts(Bucket=BUCKET, Key="film", UploadId=upload)

    def test_parts_not_chosen_leave_nothing_behind(self, front: Front, tmp_path: Path) -> None:
        s3, upload, named = self.begin(front, [10, 20])
        s3.complete_multipart_upload(
            Bucket=BUCKET, Key="film", UploadId=upload, MultipartUpload={"Parts": named[:1]}
        )

        assert s3.head_object(Bucket=BUCKET, Key="film")["ContentLength"] == 10
        folder = front.store._blobs
        assert len(list(folder.glob("*/*"))) == 1


class TestBrowsers:
    def test_preflight_and_put_from_an_allowed_origin(self, front: Front) -> None:
        url = front.presign("put_object", "a")
        asked = {
            "Origin": "https://a.example",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type,x-amz-date",
        }

        preflight = httpx.options(url, headers=asked)
        put = httpx.put(url, content=b"x", headers={"Origin": "https://a.example"})

        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (
            200,
            "https://a.example",
        )
        assert preflight.headers["access-control-allow-headers"] == "content-type, x-amz-date"
        assert (
            put.headers["access-control-allow-origin"],
            put.headers["access-control-expose-headers"],
        ) == ("https://a.example", "ETag")

    @pytest.mark.parametrize(
        "changed",
        [
            {"Origin": "https://evil.example"},
            {"Access-Control-Request-Method": "DELETE"},
            {"Access-Control-Request-Headers": "x-other"},
        ],
    )
    def test_preflight_of_anything_else_is_refused(
        self, front: Front, changed: dict[str, str]
    ) -> None:
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT", **changed}

        assert httpx.options(front.presign("put_object", "a"), headers=asked).status_code == 403

    def test_everybody_reads_by_the_public_address_and_nobody_writes(self, front: Front) -> None:
        front.client().put_object(
            Bucket=BUCKET, Key="org/ü.svg", Body=b"<svg/>", ContentType="image/svg+xml"
        )

        got = httpx.get(f"{front.url}/_public/org/%C3%BC.svg", headers={"Range": "bytes=0-3"})

        assert (got.status_code, got.content, got.headers["content-type"]) == (
            206,
            b"<svg",
            "image/svg+xml",
        )
        assert (
            got.headers["content-security-policy"]
            == "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox"
        )
        assert httpx.get(f"{front.url}/_public/org/none").status_code == 403
        assert httpx.put(f"{front.url}/_public/org/new", content=b"x").status_code == 405


class TestRestart:
    def test_objects_and_open_uploads_are_there_again_and_leftovers_are_not(
        self, tmp_path: Path
    ) -> None:
        with serving(tmp_path) as front:
            front.client().put_object(
                Bucket=BUCKET, Key="a", Body=b"x", ContentType="text/plain", Metadata={"k": "v"}
            )
            upload = front.client().create_multipart_upload(Bucket=BUCKET, Key="b")["UploadId"]
            etag = front.client().upload_part(
                Bucket=BUCKET, Key="b", UploadId=upload, PartNumber=1, Body=b"y"
            )["ETag"]
            crashed = front.store.writer()
            crashed.write(b"half")
            front.store.writer().finish()

        with serving(tmp_path) as front:
            got = front.client().get_object(Bucket=BUCKET, Key="a")
            parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
            front.client().complete_multipart_upload(
                Bucket=BUCKET, Key="b", UploadId=upload, MultipartUpload=parts
            )

            assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (
                b"x",
                "text/plain",
                {"k": "v"},
            )
            assert front.client().get_object(Bucket=BUCKET, Key="b")["Body"].read() == b"y"
            assert len(list((tmp_path / "blobs").glob("*/*"))) == 2
        crashed.discard()

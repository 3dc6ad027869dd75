"""Whether an address given by a user leads anywhere that it should not."""

import gzip
import ipaddress
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest

from shared.core import net
from shared.core.net import (
    ENDS_AT,
    AddressRefused,
    AnswerPacked,
    AnswerTooLarge,
    check_url,
    guarded_client,
    is_public,
    timed_client,
)
from tests.answering import says, serving
from tests.conftest import Configure


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "100.127.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:0:7f00:1",
        "100::1",
        "3fff::1",
        "5f00::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_private_address_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_address_on_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.1/",
        "https://127.1/",
        "https://017700000001/",
        "https://0x7f000001/",
        "https://0/",
        "https://localhost./",
        "https://api.localhost/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[::ffff:0:7f00:1]/",
        "https:///",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://example.org/",
        "ftp://example.org/",
        "https://user:secret@example.org/",
    ],
)
def test_address_is_refused_before_anything_is_sent(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", _no_connection)
    monkeypatch.setattr(socket, "getaddrinfo", _no_connection)
    with guarded_client() as client, pytest.raises(httpx.UnsupportedProtocol):
        client.get(url)


@pytest.mark.parametrize("url", ["https://example.org:8443/", "https://example.org:22/"])
def test_other_ports_are_refused_where_one_is_said(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _no_connection)
    with guarded_client(only_port=443) as client, pytest.raises(AddressRefused):
        client.get(url)
    check_url(httpx.URL("https://example.org:443/"), only_port=443)
    check_url(httpx.URL(url))


def test_name_with_one_private_address_among_its_addresses_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _answers([["93.184.215.14", "10.0.0.1"]]))
    monkeypatch.setattr(socket, "create_connection", _no_connection)
    with guarded_client() as client, pytest.raises(AddressRefused):
        client.get("https://example.org/")


def test_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers a public address first and a private one afterwards: DNS rebinding."""
    tried: list[str] = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        tried.append(address[0])
        raise OSError("closed")

    monkeypatch.setattr(socket, "getaddrinfo", _answers([["93.184.215.14"], ["127.0.0.1"]]))
    monkeypatch.setattr(socket, "create_connection", connect)
    with guarded_client() as client, pytest.raises(httpx.ConnectError):
        client.get("https://example.org/")
    assert tried == ["93.184.215.14"]


def test_name_without_an_address_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with guarded_client() as client, pytest.raises(httpx.ConnectError):
        client.get("https://example.org/")


class TestLoopback:
    def test_is_called_where_the_setting_allows_it(self, configure: Configure) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="true")
        with serving(says(b"here")) as url, guarded_client() as client:
            assert client.get(url).text == "here"

    def test_setting_allows_no_other_private_address(self, configure: Configure) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="true")
        with guarded_client() as client, pytest.raises(AddressRefused):
            client.get("http://10.0.0.1/")


class TestLimits:
    @pytest.fixture(autouse=True)
    def _loopback(self, configure: Configure) -> None:
        configure(ALLOW_LOOPBACK_ADDRESSES="true")

    @pytest.fixture(params=["guarded", "timed"])
    def client(self, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
        made = (
            guarded_client() if request.param == "guarded" else timed_client(limits=httpx.Limits())
        )
        with made as client:
            yield client

    def test_large_answer_is_cut_off(self) -> None:
        with serving(says(b"x" * 5_000)) as url:
            with guarded_client(max_bytes=4_999) as client, pytest.raises(AnswerTooLarge):
                client.get(url)
            with guarded_client(max_bytes=5_000) as client:
                assert len(client.get(url).content) == 5_000

    @pytest.mark.parametrize(
        ("encoding", "pack"),
        [
            ("", bytes),
            ("identity", bytes),
            ("aws-chunked", bytes),
            ("gzip", gzip.compress),
            ("GZIP, aws-chunked", gzip.compress),
            ("x-gzip", lambda body: gzip.compress(body[:10]) + gzip.compress(body[10:])),
            ("deflate", zlib.compress),
            ("deflate", lambda body: zlib.compress(body, wbits=-zlib.MAX_WBITS)),
            ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ],
    )
    def test_packed_answer_is_unpacked(
        self, encoding: str, pack: Callable[[bytes], bytes], client: httpx.Client
    ) -> None:
        """Finding 4.3: what S3 serves (an empty encoding) and what a server packs unasked were refused."""
        body = bytes(range(256)) * 1_000
        with serving(says(pack(body), {"content-encoding": encoding})) as url:
            assert client.get(url).content == body

    def test_answer_is_measured_after_unpacking(self) -> None:
        """Finding 4.3: a small answer does not become large in memory."""
        bomb = gzip.compress(gzip.compress(b"0" * 50_000_000))
        answer = says(bomb, {"content-encoding": "gzip, gzip"})
        with (
            serving(answer) as url,
            guarded_client(max_bytes=1_000_000) as client,
            pytest.raises(AnswerTooLarge),
        ):
            client.get(url)

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("br", b"x"),
            ("gzip", b"not packed"),
            ("gzip", gzip.compress(b"x" * 1_000, mtime=0)[:-9]),
            ("gzip, gzip, gzip", b"x"),
        ],
    )
    def test_answer_whose_packing_cannot_be_read_keeps_its_status(
        self, encoding: str, body: bytes, client: httpx.Client
    ) -> None:
        """Finding 4.3: a packed answer is never taken for no answer."""
        answer = says(body, {"content-encoding": encoding, "x-request-id": "7"}, status=422)
        with serving(answer) as url, pytest.raises(AnswerPacked) as packed:
            client.get(url)
        assert packed.value.status == 422
        assert packed.value.headers["x-request-id"] == "7"

    def test_answer_that_drips_is_cut_off(self) -> None:
        stop = threading.Event()

        def drip(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("content-length", "100")
            request.end_headers()
            for _ in range(100):
                if stop.wait(0.02):
                    return
                request.wfile.write(b"x")

        with serving(drip) as url, guarded_client(max_time=timedelta(seconds=0.2)) as client:
            with pytest.raises(httpx.ReadTimeout):
                client.get(url)
            stop.set()

    def test_own_choice_of_address_has_a_deadline_too(self) -> None:
        """Finding 8.5: a host that sends a byte now and then held the publish function until it was killed."""
        stop = threading.Event()

        def drip(request: BaseHTTPRequestHandler) -> None:
            while not stop.wait(0.02):
                request.wfile.write(b"H")

        with serving(drip) as url, timed_client(limits=httpx.Limits()) as client:
            began = time.monotonic()
            with pytest.raises(httpx.ReadTimeout):
                client.get(url, extensions={ENDS_AT: began + 0.5}, timeout=10)
            assert time.monotonic() - began < 5
            stop.set()

    def test_name_that_is_not_looked_up_in_time_ends_the_request(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 8.5: the system's look-up of names has no limit of its own."""
        go_on = threading.Event()

        def slow(*_: Any, **__: Any) -> Any:
            go_on.wait(10)
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        ends = {ENDS_AT: time.monotonic() + 0.1}
        with timed_client(limits=httpx.Limits()) as client, pytest.raises(httpx.ConnectTimeout):
            client.get("http://slow.example/", extensions=ends)
        go_on.set()

    def test_requests_end_when_they_were_told_to(self) -> None:
        """Each of the redirects begins anew; what ends all of them does not move."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            time.sleep(0.15)
            says(b"", {"location": "/again"}, status=302)(request)

        began = time.monotonic()
        with serving(answer) as url, guarded_client(max_redirects=20) as client:
            with pytest.raises(httpx.TimeoutException):
                client.get(url, extensions={ENDS_AT: began + 0.4})
            assert time.monotonic() - began < 1

    def test_nothing_is_begun_once_it_is_over(self) -> None:
        over = {ENDS_AT: time.monotonic() - 1}
        with (
            serving(says(b"x")) as url,
            guarded_client() as client,
            pytest.raises(httpx.TimeoutException),
        ):
            client.get(url, extensions=over)

    @pytest.mark.parametrize(
        "to",
        [
            "http://10.0.0.1/",
            "https://10.0.0.1/",
            "https://169.254.169.254/",
            "https://[fc00::1]/",
            "https://2130706433.example.invalid@10.0.0.1/",
            "ftp://example.org/",
        ],
    )
    def test_redirect_to_a_private_address_is_refused(self, to: str) -> None:
        answer = says(b"", {"location": to}, status=302)
        with (
            serving(answer) as url,
            guarded_client(max_redirects=3) as client,
            pytest.raises(httpx.UnsupportedProtocol),
        ):
            client.get(url)

    def test_redirects_are_followed_only_so_far(self) -> None:
        answer = says(b"", {"location": "/again"}, status=302)
        with serving(answer) as url:
            with guarded_client(max_redirects=3) as client, pytest.raises(httpx.TooManyRedirects):
                client.get(url)
            with guarded_client() as client:
                assert client.get(url).status_code == 302


def test_environment_does_not_put_a_proxy_in_between(
    monkeypatch: pytest.MonkeyPatch, configure: Configure
) -> None:
    configure(ALLOW_LOOPBACK_ADDRESSES="true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(says(b"direct")) as url, guarded_client() as client:
        assert client.get(url).text == "direct"


def test_time_is_counted_anew_for_each_request(configure: Configure) -> None:
    configure(ALLOW_LOOPBACK_ADDRESSES="true")
    net._ends_at.set(0.0)
    with serving(says(b"x")) as url, guarded_client() as client:
        assert client.get(url).text == "x"


def _no_connection(*_: Any, **__: Any) -> socket.socket:
    raise AssertionError("a connection was opened")


def _answers(rounds: list[list[str]]) -> Callable[..., Any]:
    left = iter(rounds)

    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in next(left)]

    return resolve

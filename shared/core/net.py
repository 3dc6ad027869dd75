"""How an address that somebody gave us is called: https, public addresses only, and never for long or for much.

What is checked is the address that the connection goes to, at the moment it is made: a name that resolves to another
address a second later gains nothing, and a redirect is a request like any other.
"""

import contextvars
import ipaddress
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import httpcore
import httpx

from shared.core.config import settings

MAX_BYTES = 10 * 1024**2
MAX_TIME = timedelta(minutes=2)
_TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses that Python calls global, or that carry another address inside, where an IPv4 network hides behind an
# IPv6 address. Source: IANA special-purpose address registries, read 2026-11.
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # IPv4-compatible, deprecated
        "64:ff9b:1::/48",  # local NAT64
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local, deprecated
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_ends_at: contextvars.ContextVar[float] = contextvars.ContextVar("guarded_request_ends_at")


class AddressRefused(httpx.UnsupportedProtocol):
    """The address is not one that we call for somebody; nothing was sent."""


class AnswerTooLarge(httpx.ReadError):
    """The answer is larger than we read for somebody."""


def guarded_client(
    *, max_bytes: int = MAX_BYTES, max_time: timedelta = MAX_TIME, max_redirects: int = 0
) -> httpx.Client:
    """Make a client for addresses given by users. Each redirect that is followed is checked anew; keep it at 3.

    Its requests raise `httpx.HTTPError`: `AddressRefused`, `AnswerTooLarge`, or what any client raises; and, as with
    any client, `httpx.InvalidURL` for what is not an address at all.
    """
    return httpx.Client(
        transport=_GuardedTransport(max_bytes, max_time),
        timeout=_TIMEOUT,
        follow_redirects=max_redirects > 0,
        max_redirects=max_redirects,
        headers={"accept-encoding": "identity"},  # what is small on the wire must not be large here
        trust_env=False,
    )


def is_public(address: IpAddress) -> bool:
    """Say whether an address is somebody's on the internet, and not a way into a private network."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    refused = any(address in network for network in _REFUSED if network.version == address.version)
    return address.is_global and not address.is_multicast and not refused


class _GuardedTransport(httpx.HTTPTransport):
    def __init__(self, max_bytes: int, max_time: timedelta) -> None:
        super().__init__(trust_env=False, limits=_LIMITS)
        self._pool._network_backend = _GuardedBackend()
        self._max_bytes = max_bytes
        self._max_time = max_time

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        _check_url(request.url)
        _ends_at.set(time.monotonic() + self._max_time.total_seconds())
        response = super().handle_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise AnswerTooLarge("The answer is compressed although that was not allowed.")
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Measured(response.stream, self._max_bytes)
        return response


class _Measured(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._left = max_bytes

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise AnswerTooLarge("The answer is larger than is read here.")
            yield chunk

    def close(self) -> None:
        self._stream.close()


class _GuardedBackend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve the name, check every address it has, and connect to one of exactly those."""
        addresses = _resolve(host, port)
        for address in addresses:
            if not _is_allowed(address):
                raise AddressRefused(f"{host} is not a public address.")
        failure: Exception = httpcore.ConnectError(f"{host} has no address.")
        for address in addresses:
            try:
                stream = super().connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Timed(stream)
        raise failure


class _Timed(httpcore.NetworkStream):
    """A connection on which nothing waits longer than its request may take: an answer can drip."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _within(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _within(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(*args, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _within(timeout: float | None, too_late: type[Exception]) -> float:
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise too_late("The request has taken too long.")
    return left if timeout is None else min(timeout, left)


def _check_url(url: httpx.URL) -> None:
    if url.userinfo:
        raise AddressRefused("An address with a user name in it is not called.")
    if url.scheme == "https" or (url.scheme == "http" and settings().allow_loopback_addresses):
        return
    raise AddressRefused("Only https addresses are called.")


def _resolve(host: str, port: int) -> list[IpAddress]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} has no address.") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _is_allowed(address: IpAddress) -> bool:
    return is_public(address) or (settings().allow_loopback_addresses and address.is_loopback)

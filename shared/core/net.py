"""HTTP clients with limits on time and size. Addresses from users must be public.

Every request has one deadline for name resolution, connecting, sending and all reads, so a server that sends a byte now and
then cannot keep us waiting. Every answer has a size limit after decompression.

The check applies to the IP address of the connection at the moment of connecting, so a name that resolves to another
address a second later gains nothing. A redirect is checked like any other request.
"""

import contextvars
import ipaddress
import math
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import httpcore
import httpx

from shared.core.config import settings
from shared.core.unpack import CannotUnpack, Unpacked, layers

MAX_BYTES = 10 * 1024**2
MAX_TIME = timedelta(minutes=2)
ENDS_AT = "roost_ends_at"
_TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# All of IPv6 that IANA has assigned as global unicast. Python also calls other ranges global (embedded IPv4 addresses, local
# NAT64, site-local). Source: IANA IPv6 Global Unicast Address Assignments, read 2026-11.
_UNICAST = ipaddress.ip_network("2000::/3")
# Addresses that Python calls global but that are not public or contain an IPv4 address. Source: IANA special-purpose
# address registries, read 2026-11.
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_ends_at: contextvars.ContextVar[float] = contextvars.ContextVar("guarded_request_ends_at")


class AddressRefused(httpx.UnsupportedProtocol):
    """The address is not allowed; nothing was sent."""


class AnswerUnreadable(httpx.ReadError):
    """The body of a response is not accepted. `status` and `headers` are those of the response."""

    def __init__(self, message: str, *, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class AnswerTooLarge(AnswerUnreadable):
    """The response exceeds the size limit."""


class AnswerPacked(AnswerUnreadable):
    """The response uses a compression that we do not support, or is corrupt."""


def guarded_client(
    *,
    max_bytes: int = MAX_BYTES,
    max_time: timedelta = MAX_TIME,
    max_redirects: int = 0,
    only_port: int | None = None,
) -> httpx.Client:
    """Make a client for addresses from users. Every redirect is checked; follow at most 3.

    `max_time` limits each request, and each redirect is its own request; a request's extension `ENDS_AT`, a
    `time.monotonic()` value, limits all of them together. With `only_port`, other ports are refused.

    Requests raise `httpx.HTTPError` (including `AddressRefused` and `AnswerUnreadable`) and, as with any client,
    `httpx.InvalidURL` for an invalid address.
    """
    return httpx.Client(
        transport=_GuardedTransport(max_bytes, max_time, only_port),
        timeout=_TIMEOUT,
        follow_redirects=max_redirects > 0,
        max_redirects=max_redirects,
        headers={
            "accept-encoding": "identity"
        },  # a small compressed answer must not become large here
        trust_env=False,
    )


def timed_client(
    *, limits: httpx.Limits, max_bytes: int = MAX_BYTES, max_time: timedelta = MAX_TIME
) -> httpx.Client:
    """Make a client for addresses that we choose: with the limits of `guarded_client`, but for any address.

    It follows no redirects.
    """
    return httpx.Client(
        transport=_TimedTransport(_TimedBackend(), limits, max_bytes, max_time),
        headers={"accept-encoding": "gzip, deflate"},
        follow_redirects=False,
    )


def is_public(address: IpAddress) -> bool:
    """Return whether an IP address is public and does not lead into a private network."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    refused = any(address in network for network in _REFUSED if network.version == address.version)
    return address.is_global and not address.is_multicast and not refused


def check_url(url: httpx.URL, *, only_port: int | None = None) -> None:
    """Refuse an address by its text alone; its name is resolved and checked when connecting.

    Raises:
        AddressRefused: it is not https, contains a user or another port, or directly names this machine or a private network.
    """
    if not url.host:
        raise AddressRefused("This is not a full address. Enter one that begins with https://.")
    if url.userinfo:
        raise AddressRefused("The address contains a user name. Remove it.")
    literal = _literal(url.host)
    loopback = settings().allow_loopback_addresses
    if literal is not None and loopback and literal.is_loopback:
        return
    if url.scheme != "https" and not (url.scheme == "http" and loopback):
        raise AddressRefused(
            "Only https addresses are allowed. Enter one that begins with https://."
        )
    if literal is not None and not is_public(literal):
        raise AddressRefused(
            "The address leads to this machine or to a private network. Use a public one."
        )
    if only_port is not None and (url.port or 443) != only_port:
        raise AddressRefused(f"Only port {only_port} is allowed. Use an address with that port.")


class _TimedTransport(httpx.HTTPTransport):
    def __init__(
        self,
        backend: httpcore.NetworkBackend,
        limits: httpx.Limits,
        max_bytes: int,
        max_time: timedelta,
        *,
        trust_env: bool = True,
    ) -> None:
        super().__init__(trust_env=trust_env, limits=limits)
        self._pool._network_backend = backend
        self._max_bytes = max_bytes
        self._max_time = max_time

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        latest = request.extensions.get(ENDS_AT, math.inf)
        _ends_at.set(min(time.monotonic() + self._max_time.total_seconds(), latest))
        return bounded(super().handle_request(request), self._max_bytes)


def bounded(response: httpx.Response, max_bytes: int) -> httpx.Response:
    """Decompress a response as it is read, at most `max_bytes` of it.

    Raises:
        AnswerPacked: the compression is not supported. Reading may also raise `AnswerUnreadable`.
    """
    try:
        packed = layers(response.headers.get("content-encoding", ""))
    except CannotUnpack as error:
        response.close()
        status, headers = response.status_code, response.headers
        raise AnswerPacked(str(error), status=status, headers=headers) from error
    assert isinstance(response.stream, httpx.SyncByteStream)
    body: httpx.SyncByteStream = response.stream
    if packed:
        body = Unpacked(body, packed)
        response.headers.pop("content-length", None)  # of the compressed body
    response.headers.pop("content-encoding", None)  # otherwise httpx decompresses without a limit
    response.stream = _Measured(body, response, max_bytes)
    return response


class _GuardedTransport(_TimedTransport):
    def __init__(self, max_bytes: int, max_time: timedelta, only_port: int | None) -> None:
        super().__init__(_GuardedBackend(), _LIMITS, max_bytes, max_time, trust_env=False)
        self._only_port = only_port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        check_url(request.url, only_port=self._only_port)
        return super().handle_request(request)


class _Measured(httpx.SyncByteStream):
    def __init__(
        self, stream: httpx.SyncByteStream, response: httpx.Response, max_bytes: int
    ) -> None:
        self._stream = stream
        self._status, self._headers = response.status_code, response.headers
        self._left = max_bytes

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._left -= len(chunk)
                if self._left < 0:
                    raise AnswerTooLarge(
                        "The response is larger than Roost accepts.",
                        status=self._status,
                        headers=self._headers,
                    )
                yield chunk
        except CannotUnpack as error:
            raise AnswerPacked(str(error), status=self._status, headers=self._headers) from error

    def close(self) -> None:
        self._stream.close()


class _TimedBackend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve the name, check all its IP addresses, and connect to one of them."""
        addresses = _resolve(host, port, _within(timeout, httpcore.ConnectTimeout))
        self.check(host, addresses)
        failure: Exception = httpcore.ConnectError(f"{host} has no address.")
        for address in addresses:
            try:
                stream = super().connect_tcp(
                    str(address),
                    port,
                    _within(timeout, httpcore.ConnectTimeout),
                    local_address,
                    socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Timed(stream)
        raise failure

    def check(self, host: str, addresses: Iterable[IpAddress]) -> None:
        """Accept any address."""


class _GuardedBackend(_TimedBackend):
    def check(self, host: str, addresses: Iterable[IpAddress]) -> None:
        """Refuse a name if any of its addresses is not public."""
        for address in addresses:
            if not _is_allowed(address):
                raise AddressRefused(f"{host} is not a public address.")


class _Timed(httpcore.NetworkStream):
    """A connection on which every wait ends at the request's deadline, even if an answer arrives byte by byte."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _within(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _within(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _within(timeout, httpcore.ConnectTimeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _within(timeout: float | None, too_late: type[Exception]) -> float:
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise too_late("The request took too long.")
    return left if timeout is None else min(timeout, left)


def _literal(host: str) -> IpAddress | None:
    """Read a host that is an IP address in any form that a resolver accepts: 127.1, 0x7f000001, 2130706433."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return None


def _resolve(host: str, port: int, timeout: float) -> list[IpAddress]:
    """Resolve a name. The system's resolver has no timeout, so its thread is abandoned at the deadline."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=timeout)
    except queue.Empty as error:
        raise httpcore.ConnectTimeout(f"Looking up {host} took too long.") from error
    if isinstance(found, OSError | UnicodeError):
        raise httpcore.ConnectError(f"{host} has no address.") from found
    if isinstance(found, BaseException):
        raise found
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _is_allowed(address: IpAddress) -> bool:
    return is_public(address) or (settings().allow_loopback_addresses and address.is_loopback)

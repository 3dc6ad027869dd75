"""Which addresses may a webhook have? What is obviously nobody's on the internet is refused before it is stored.

Whether a name leads somewhere public is asked at every connection, by the guarded client (`shared/core/net.py`).
"""

import ipaddress
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from shared.core.config import settings
from shared.core.net import IpAddress, is_public

_LONGEST = 2_000


def _check(value: str) -> str:
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL as error:
        raise _refused() from error
    loopback = settings().allow_loopback_addresses
    if url.scheme not in ({"https", "http"} if loopback else {"https"}) or not url.host:
        raise _refused()
    if url.userinfo:
        raise PydanticCustomError("invalid_url", "Leave user name and password out of the address.")
    address = _literal(url.host)
    local = url.host == "localhost" or (address is not None and address.is_loopback)
    if (local and not loopback) or (address and not local and not is_public(address)):
        raise PydanticCustomError("invalid_url", "The address must be reachable from the internet.")
    return value


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refused() -> PydanticCustomError:
    return PydanticCustomError("invalid_url", "Write a full address that begins with https://.")


WebhookUrl = Annotated[
    str,
    AfterValidator(_check),
    Field(max_length=_LONGEST, examples=["https://hooks.example.org/roost"]),
]
"""Where messages go."""

"""Checks webhook addresses: those that are clearly not public are refused before they are stored.

Whether a name resolves to a public address is checked at every connection by the guarded client (`shared/core/net.py`).
"""

import re
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from shared.core.net import AddressRefused, check_url

_LONGEST = 2_000
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]+")  # after conversion to ASCII


def _check(value: str) -> str:
    try:
        url = httpx.URL(value)
        check_url(url)
    except AddressRefused as error:
        raise PydanticCustomError("invalid_url", "{why}", {"why": str(error)}) from error
    except httpx.InvalidURL as error:
        raise _unreadable() from error
    if not _HOST.fullmatch(url.raw_host):
        raise _unreadable()
    return value


def _unreadable() -> PydanticCustomError:
    return PydanticCustomError(
        "invalid_url", "This is not a full address. Enter one that begins with https://."
    )


WebhookUrl = Annotated[
    str,
    AfterValidator(_check),
    Field(max_length=_LONGEST, examples=["https://hooks.example.org/roost"]),
]
"""The receiver's address."""

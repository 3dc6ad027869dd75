"""Asks a login provider: through the guarded client, with limits on size and time, and refusals that name the trouble.

The addresses come from an operator, an organization's admin or a provider's own description, so all are treated as addresses
from users: https, public, and no redirects.
"""

import functools
import time
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import httpx

from shared.core import trace
from shared.core.log import log
from shared.core.net import ENDS_AT, AddressRefused, AnswerUnreadable, check_url, guarded_client
from shared.identity.errors import LoginProviderMisconfigured, LoginProviderUnavailable, Trouble
from shared.identity.models import LoginProvider
from shared.providers.answers import read_json

MAX_BYTES = 256 * 1024
MAX_TIME = timedelta(seconds=10)
"""How long all requests of one `begin` or `finish` may take together; the gateway gives up after 30 seconds."""


class Fault(StrEnum):
    """What is wrong with the settings for a provider, for the log."""

    ADDRESS = "address"
    REDIRECT = "redirect"
    NO_DESCRIPTION = "no_description"
    OTHER_ISSUER = "other_issuer"
    CLIENT_REFUSED = "client_refused"
    API_KEY_REFUSED = "api_key_refused"


class Peer:
    """One conversation with a provider.

    Every method raises `LoginProviderUnavailable`, or `LoginProviderMisconfigured` if the address cannot be used.
    """

    def __init__(self, provider: LoginProvider, name: str) -> None:
        self.provider = provider
        self.name = name
        self._ends_at = time.monotonic() + MAX_TIME.total_seconds()

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a GET request and return the response, whatever its status below 500."""
        return self._send("GET", url, headers or {})

    def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a form and return the response, whatever its status below 500."""
        return self._send("POST", url, headers or {}, form)

    def read(self, response: httpx.Response) -> dict[str, Any]:
        """Read a response as a JSON object."""
        body = self.read_any(response)
        if not isinstance(body, dict):
            raise self.unavailable(Trouble.UNREADABLE)
        return body

    def read_any(self, response: httpx.Response) -> Any:
        """Read a response as JSON."""
        try:
            return read_json(response)
        except ValueError as error:
            raise self.unavailable(Trouble.UNREADABLE) from error

    def check_address(self, url: object, what: str) -> str:
        """Return an address that may be opened or called; `what` names it for the log."""
        if not isinstance(url, str):
            raise self.misconfigured(Fault.ADDRESS, what=what)
        try:
            check_url(httpx.URL(url))
        except (AddressRefused, httpx.InvalidURL) as error:
            raise self.misconfigured(Fault.ADDRESS, what=what, error=str(error)) from error
        return url

    def unavailable(self, trouble: Trouble, **details: Any) -> LoginProviderUnavailable:
        """Log the trouble and return the refusal that names it."""
        extra = {"provider": self.provider.value, "reason": trouble.name.lower(), **details}
        log.warning("login.provider_unavailable", extra=extra)
        return LoginProviderUnavailable(self.name, trouble)

    def misconfigured(self, fault: Fault, **details: Any) -> LoginProviderMisconfigured:
        """Log the fault for the operator and return the refusal."""
        extra = {"provider": self.provider.value, "reason": fault.value, **details}
        log.error("login.misconfigured", extra=extra)
        return LoginProviderMisconfigured(self.name, fault)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            request = _client().build_request(
                method,
                url,
                headers={"Accept": "application/json", **headers},
                data=dict(form) if form is not None else None,
                extensions={ENDS_AT: self._ends_at},
            )
            with trace.call(request.url.host, method) as call:
                response = _client().send(request)
                call.status = response.status_code
        except (AddressRefused, httpx.InvalidURL) as error:
            raise self.misconfigured(Fault.ADDRESS, host=_host(url), error=str(error)) from error
        except httpx.TimeoutException as error:
            raise self.unavailable(Trouble.SILENT, host=_host(url)) from error
        except AnswerUnreadable as error:
            raise self.unavailable(Trouble.UNREADABLE, host=_host(url), error=str(error)) from error
        except httpx.HTTPError as error:
            raise self.unavailable(
                Trouble.UNREACHABLE, host=_host(url), error=type(error).__name__
            ) from error
        status = response.status_code
        if status >= 500 or status == 429:
            raise self.unavailable(Trouble.BUSY, host=_host(url), status=status)
        if response.is_redirect:
            raise self.misconfigured(Fault.REDIRECT, host=_host(url), status=status)
        return response


@functools.cache
def _client() -> httpx.Client:
    return guarded_client(max_bytes=MAX_BYTES, max_time=MAX_TIME)


def _host(url: str) -> str:
    """Return an address's host for the log, without what else may be in the address."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2][:200]

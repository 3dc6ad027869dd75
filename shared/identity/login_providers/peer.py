"""Asks a login provider: through the guarded client, with limits on size and time, and refusals that name the trouble.

The addresses come from an operator, an organization's admin or a provider's own description, so all are treated as addresses
from users: https, public, and no redirects.
"""

import functools
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from shared.core import trace
from shared.core.log import log
from shared.core.net import ENDS_AT, AddressRefused, AnswerUnreadable, check_url, guarded_client
from shared.identity.errors import LoginProviderMisconfigured, LoginProviderUnavailable
from shared.identity.models import LoginProvider
from shared.providers.answers import read_json

MAX_BYTES = 256 * 1024
MAX_TIME = timedelta(seconds=10)
"""How long all requests of one `begin` or `finish` may take together; the gateway gives up after 30 seconds."""


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
        try:
            body = read_json(response)
        except ValueError as error:
            raise self.unavailable("sent a response that cannot be read") from error
        if not isinstance(body, dict):
            raise self.unavailable("sent a response that cannot be read")
        return body

    def check_address(self, url: object, what: str) -> str:
        """Return an address that may be opened or called; `what` names it for the log."""
        try:
            if not isinstance(url, str):
                raise AddressRefused("the address is missing")
            check_url(httpx.URL(url))
        except (AddressRefused, httpx.InvalidURL) as error:
            raise self.misconfigured(f"{what}: {error}") from error
        return url

    def unavailable(self, trouble: str, **details: Any) -> LoginProviderUnavailable:
        """Log the trouble and return the refusal that names it."""
        extra = {"provider": self.provider.value, "trouble": trouble, **details}
        log.warning("login.provider_unavailable", extra=extra)
        return LoginProviderUnavailable(self.name, trouble)

    def misconfigured(self, reason: str) -> LoginProviderMisconfigured:
        """Log the reason for the operator and return the refusal."""
        extra = {"provider": self.provider.value, "reason": reason}
        log.error("login.misconfigured", extra=extra)
        return LoginProviderMisconfigured(self.name, reason)

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
            raise self.misconfigured(f"{method} {url[:200]}: {error}") from error
        except httpx.TimeoutException as error:
            seconds = int(MAX_TIME.total_seconds())
            raise self.unavailable(f"did not answer within {seconds} seconds") from error
        except AnswerUnreadable as error:
            raise self.unavailable(
                "sent a response that cannot be read", error=str(error)
            ) from error
        except httpx.HTTPError as error:
            raise self.unavailable("cannot be reached", error=type(error).__name__) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise self.unavailable("is not available at the moment", status=response.status_code)
        if response.is_redirect:
            raise self.misconfigured(f"{method} {url[:200]} redirects, and is not followed")
        return response


@functools.cache
def _client() -> httpx.Client:
    return guarded_client(max_bytes=MAX_BYTES, max_time=MAX_TIME)

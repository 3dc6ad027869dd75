"""The steps of a newcomer in a browser, through the same API: register, connect an account, upload, schedule."""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

PROVIDER = "mastodon-custom"
_TIMEOUT_SECONDS = 40.0  # a little more than the gateway's own timeout
_MAIL_SECONDS = 10.0
_ACTIVATION_LINK = re.compile(r"/auth/activate\?code=([\w.~-]+)")


class StepFailed(Exception):
    """The API refused a step; the message contains its answer."""


class Newcomer:
    """One person with a browser: cookies are kept from step to step."""

    def __init__(self, api_url: str, *, sandbox_url: str, mail_json_url: str) -> None:
        # As a browser on one of Roost's own pages: cookies alone do not let a request write.
        self._api = httpx.Client(
            base_url=api_url,
            timeout=_TIMEOUT_SECONDS,
            headers={"sec-fetch-site": "same-origin"},
        )
        self._sandbox_url = sandbox_url
        self._mail_json_url = mail_json_url

    def __enter__(self) -> "Newcomer":
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    def log_in(self, email: str, password: str) -> bool:
        """Log in. Return False if the address or password is wrong."""
        body = {"provider": "LOCAL", "email": email, "password": password}
        return self._api.post("/auth/login", json=body).is_success

    def register(
        self,
        email: str,
        password: str,
        company: str | None = None,
        *,
        invitation: str | None = None,
    ) -> None:
        """Register with a new organization, or by the token of an invitation, and follow the emailed link.

        An account that is already registered is activated.
        """
        seat = {"org": invitation} if invitation else {"company": company}
        body = {"provider": "LOCAL", "email": email, "password": password, **seat}
        self._api.post("/auth/register", json=body)
        self.call("POST", "/auth/activate", {"code": self._mailed_code(email)})

    def is_signed_in(self) -> bool:
        """Return whether there is a session: a login that asks for a second factor has opened none."""
        return self._api.get("/user/organizations").is_success

    def connect(self, account: str) -> str:
        """Connect a sandbox account by OAuth, approve the request, and return the channel's id."""
        path = f"/integrations/social/{PROVIDER}"
        address = self.call("GET", path, params={"externalUrl": self._sandbox_url})["url"]
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        allowed = httpx.post(
            address.partition("?")[0],
            data={**asked, "decision": "allow", "account": account},
            timeout=_TIMEOUT_SECONDS,
        )
        back = parse_qs(urlsplit(allowed.headers.get("location", "")).query)
        if "code" not in back:
            raise StepFailed(
                f"The sandbox did not let {account} be connected: {allowed.status_code} {allowed.text[:300]}"
            )
        body = {"state": back["state"][0], "code": back["code"][0], "timezone": "UTC"}
        return str(self.call("POST", f"{path}/connect", body)["id"])

    def upload(self, file: Path, *, alt: str) -> str:
        """Upload a file directly to the storage, describe it, wait for its variants, and return its id."""
        content = file.read_bytes()
        started = self.call("POST", "/media", {"name": file.name, "size": len(content)})
        size, parts = started["partSize"], []
        for part in started["parts"]:
            begin = (part["number"] - 1) * size
            put = httpx.put(
                part["url"], content=content[begin : begin + size], timeout=_TIMEOUT_SECONDS
            )
            if not put.is_success:
                raise StepFailed(f"The storage refused a part: {put.status_code} {put.text[:300]}")
            parts.append({"number": part["number"], "etag": put.headers["etag"]})
        media = self.call("POST", f"/media/{started['id']}/complete", {"parts": parts})
        self.call("PUT", f"/media/{media['id']}", {"alt": alt})
        return str(media["id"])

    def schedule(
        self, channel_ids: list[str], parts: list[dict[str, Any]], *, at: datetime
    ) -> list[str]:
        """Schedule one thread on every channel. Return the ids of its roots in the order of the channels."""
        body = {
            "type": "schedule",
            "date": at.isoformat(),
            "tags": [],
            "posts": [
                {"integration": {"id": channel_id}, "value": parts} for channel_id in channel_ids
            ],
        }
        return [str(post["postId"]) for post in self.call("POST", "/posts", body)]

    def post(self, post_id: str) -> Mapping[str, Any]:
        """Read one post with its thread."""
        found: Mapping[str, Any] = self.call("GET", f"/posts/{post_id}")
        return found

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """Call the API.

        Raises:
            StepFailed: it refused.
        """
        answer = self._api.request(method, path, json=body, params=params)
        if not answer.is_success:
            raise StepFailed(f"{method} {path} answered {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def _mailed_code(self, email: str) -> str:
        deadline = time.monotonic() + _MAIL_SECONDS
        while time.monotonic() < deadline:
            for mail in httpx.get(
                self._mail_json_url, timeout=_TIMEOUT_SECONDS
            ).json():  # newest first
                if email in mail["to"] and (match := _ACTIVATION_LINK.search(mail["text"])):
                    return match[1]
            time.sleep(0.1)
        raise StepFailed(f"No activation email arrived for {email}.")

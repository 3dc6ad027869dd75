"""A platform for tests of what its table says: asking it anything is a mistake of the test."""

from collections.abc import Mapping
from typing import NoReturn

from shared.providers.base import Authorization, Connection, OutgoingPost, Provider, Released
from shared.providers.http import Api


def asked() -> NoReturn:
    """Fail the test."""
    raise AssertionError("only this platform's table is tested; nothing may be asked of it")


class Unasked(Provider):
    """It needs a `spec`."""

    def publish(self, api: Api, post: OutgoingPost) -> Released:
        asked()

    def authorize(self, api: Api, *, redirect_uri: str, instance: str | None) -> Authorization:
        asked()

    def connect(
        self, api: Api, *, code: str, redirect_uri: str, remember: Mapping[str, str]
    ) -> Connection:
        asked()

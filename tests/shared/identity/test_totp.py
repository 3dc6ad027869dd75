"""Whether the codes of authenticator apps are those of RFC 6238."""

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
import time_machine

from shared.identity.totp import address_of, new_totp_secret, picture_of, step_of

# RFC 6238, appendix B, SHA-1: the time, and the last six of the eight digits.
SECRET = base64.b32encode(b"12345678901234567890").decode()
VECTORS = [
    (59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
    (2000000000, "279037"), (20000000000, "353130"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "code"), VECTORS)
def test_codes_of_the_standard_are_right_at_their_time(seconds: int, code: str) -> None:
    with time_machine.travel(datetime.fromtimestamp(seconds, UTC), tick=False):
        assert step_of(SECRET, code) == seconds // 30


@pytest.mark.parametrize(
    ("later", "is_right"), [(-30, True), (-31, False), (30, True), (59, True), (60, False)]
)
def test_clock_may_differ_by_one_step(later: int, is_right: bool) -> None:
    at = datetime.fromtimestamp(1111111110, UTC)  # the first second of a step
    with time_machine.travel(at + timedelta(seconds=later), tick=False):
        assert (step_of(SECRET, "050471") is not None) is is_right


@pytest.mark.parametrize("code", ["", "05047", "0504711", "50471", " 050471", "٠٥٠٤٧١"])
def test_other_spellings_are_wrong(code: str) -> None:
    with time_machine.travel(datetime.fromtimestamp(1111111111, UTC), tick=False):
        assert step_of(SECRET, code) is None


def test_secret_has_160_bits_and_is_not_repeated() -> None:
    secrets = {new_totp_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(base64.b32decode(secret)) for secret in secrets} == {20}


def test_address_is_what_apps_read() -> None:
    address = urlsplit(address_of(SECRET, "ada@example.org"))
    assert (address.scheme, address.netloc) == ("otpauth", "totp")
    assert address.path == "/Roost:ada%40example.org"
    assert parse_qs(address.query) == {"secret": [SECRET], "issuer": ["Roost"]}


def test_picture_is_svg_without_anything_to_load() -> None:
    picture = picture_of(address_of(SECRET, "ada@example.org"))
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert "href" not in picture
    assert "<script" not in picture

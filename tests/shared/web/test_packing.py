"""Whether an answer leaves packed, whole, or not at all because the client has it."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.web import packing
from shared.web.packing import AnswerTooLarge, bytes_in_json, finish, is_among, takes_gzip

LONG = json.dumps({"words": "A post about something. " * 100}).encode()
SHORT = b'{"words":"A post."}'
JSON = [(b"content-type", b"application/json"), (b"content-length", b"5")]
GZIP = {"accept-encoding": "gzip"}


def _finish(
    body: bytes = LONG,
    asked: Mapping[str, str] | None = None,
    *,
    status: int = 200,
    headers: packing.Headers = JSON,
    is_list: bool = False,
) -> tuple[int, dict[str, str], bytes]:
    found, given, sent = finish(asked or {}, status, headers, body, is_list=is_list)
    return found, {name.decode(): value.decode() for name, value in given}, sent


class TestPacked:
    def test_json_is_packed_for_who_takes_it(self) -> None:
        status, headers, sent = _finish(asked=GZIP)
        assert status == 200
        assert headers["content-encoding"] == "gzip"
        assert headers["content-length"] == str(len(sent))
        assert headers["vary"] == "accept-encoding"
        assert gzip.decompress(sent) == LONG
        assert len(sent) < len(LONG) / 10

    def test_who_does_not_ask_gets_it_whole(self) -> None:
        _, headers, sent = _finish()
        assert sent == LONG
        assert headers["vary"] == "accept-encoding"
        assert "content-encoding" not in headers

    def test_what_a_packet_holds_is_left_alone(self) -> None:
        _, headers, sent = _finish(SHORT, GZIP)
        assert sent == SHORT
        assert headers.keys() == {"content-type", "content-length"}

    @pytest.mark.parametrize(("size", "packed"), [(1023, False), (1024, True)])
    def test_a_kilobyte_is_enough(self, size: int, packed: bool) -> None:
        _, headers, _ = _finish(b'"' + b"a" * (size - 2) + b'"', GZIP)
        assert ("content-encoding" in headers) == packed

    @pytest.mark.parametrize("kind", [b"text/html", b"image/png", b"text/event-stream"])
    def test_what_is_no_json_is_left_alone(self, kind: bytes) -> None:
        headers = [(b"content-type", kind)]
        assert _finish(asked=GZIP, headers=headers, is_list=True)[2] == LONG

    def test_what_packed_itself_is_left_alone(self) -> None:
        headers = [*JSON, (b"Content-Encoding", b"gzip")]
        assert _finish(asked=GZIP, headers=headers, is_list=True)[2] == LONG

    def test_other_reasons_to_vary_stay(self) -> None:
        headers = [*JSON, (b"vary", b"Origin")]
        assert _finish(headers=headers)[1]["vary"] == "origin, accept-encoding"
        headers = [*JSON, (b"vary", b"Accept-Encoding, Origin")]
        assert _finish(headers=headers)[1]["vary"] == "Accept-Encoding, Origin"

    @pytest.mark.parametrize(
        ("header", "takes"),
        [
            ("", False),
            ("gzip", True),
            ("deflate, gzip, br", True),
            ("GZIP", True),
            ("x-gzip", True),
            ("gzip;q=0", False),
            ("gzip; q=0.0", False),
            ("gzip;q=0.001", True),
            ("gzip;q=1.0, identity; q=0.5", True),
            ("identity, gzip;q=0.5", False),
            ("identity;q=0.5, gzip;q=0.5", True),
            ("*", True),
            ("*;q=0", False),
            ("gzip;q=0, *", False),
            ("*;q=0, gzip", True),
            ("br", False),
            ("gzipped", False),
            ("gzip;q=much", False),
            ("gzip;q=nan", False),
            ("identity", False),
            (",;q,", False),
        ],
    )
    def test_weights_are_read(self, header: str, takes: bool) -> None:
        assert takes_gzip(header) == takes


class TestTagged:
    def test_list_that_is_the_same_is_not_sent_again(self) -> None:
        tag = _finish(is_list=True)[1]["etag"]
        status, headers, sent = _finish(asked={"if-none-match": tag}, is_list=True)
        assert (status, sent) == (304, b"")
        assert headers == {"etag": tag, "vary": "accept-encoding"}

    def test_unchanged_list_varies_as_it_did_when_it_was_sent(self) -> None:
        given = [*JSON, (b"vary", b"Origin")]
        for body in (LONG, SHORT):
            _, sent, _ = _finish(body, headers=given, is_list=True)
            asked = {"if-none-match": sent["etag"]}
            assert _finish(body, asked, headers=given, is_list=True)[1]["vary"] == sent["vary"]

    def test_any_change_is_sent(self) -> None:
        tag = _finish(is_list=True)[1]["etag"]
        changed = LONG.replace(b"something", b"somewhere", 1)
        status, headers, sent = _finish(changed, {"if-none-match": tag}, is_list=True)
        assert (status, sent) == (200, changed)
        assert headers["etag"] != tag

    def test_tag_is_of_the_content_and_not_of_its_form(self) -> None:
        whole, packed = (_finish(asked=asked, is_list=True)[1]["etag"] for asked in ({}, GZIP))
        assert whole == packed
        assert whole.startswith('W/"')

    @pytest.mark.parametrize(("status", "is_list"), [(200, False), (201, True), (422, True)])
    def test_only_lists_that_were_read_have_one(self, status: int, is_list: bool) -> None:
        asked = {"if-none-match": "*"}
        found, headers, sent = _finish(asked=asked, status=status, is_list=is_list)
        assert (found, sent) == (status, LONG)
        assert "etag" not in headers

    @pytest.mark.parametrize(
        ("header", "among"),
        [
            ('W/"a"', True),
            ('"a"', True),
            ('"b", W/"a"', True),
            ("*", True),
            ('"b"', False),
            ("a", False),
            ("", False),
        ],
    )
    def test_header_may_name_several(self, header: str, among: bool) -> None:
        assert is_among('W/"a"', header) == among


class TestTooLarge:
    def test_what_lambda_would_not_send_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packing, "MAX_ANSWER_BYTES", bytes_in_json(LONG))
        assert _finish()[2] == LONG
        monkeypatch.setattr(packing, "MAX_ANSWER_BYTES", bytes_in_json(LONG) - 1)
        with pytest.raises(AnswerTooLarge):
            _finish()
        assert _finish(asked=GZIP)[0] == 200

    @pytest.mark.parametrize("text", ['{"a": "b\\n"}', "[1,\n 2]", "ü", "plain"])
    def test_size_is_that_of_a_string_of_json(self, text: str) -> None:
        written: Any = json.dumps(text, ensure_ascii=False).encode()
        assert bytes_in_json(text.encode()) == len(written) - 2

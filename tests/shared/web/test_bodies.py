"""Does every reader of a body get the same text, whatever its bytes and its `Content-Type` say?"""

import json

import pytest
from pydantic_core import from_json

from shared.core.errors import InvalidInput, Unreadable
from shared.web.bodies import checked_body, is_json, media_type

JSON = "application/json"
DEEP = b"[" * 5_000 + b"]" * 5_000


class TestMediaType:
    @pytest.mark.parametrize(
        ("content_type", "expected"),
        [
            ("application/json", True),
            ("Application/JSON; charset=utf-8", True),
            ("application/json; x=x-www-form-urlencoded", True),
            ("application/vnd.api+json", True),
            ("multipart/x+json", False),
            ("text/json", False),
            ("text/plain; x=application/json", False),
            ("multipart/form-data; boundary=json", False),
            ("application/x-www-form-urlencoded; x=json", False),
            ("json", False),
            ("", False),
        ],
    )
    def test_which_are_json(self, content_type: str, expected: bool) -> None:
        assert is_json(content_type) is expected

    def test_is_lower_case_and_without_parameters(self) -> None:
        assert media_type("Multipart/Form-Data; boundary=x") == "multipart/form-data"


class TestCheckedBody:
    @pytest.mark.parametrize(
        "content_type",
        [
            JSON,
            "",
            "text/plain",
            "application/json; x=x-www-form-urlencoded",
            "application/json; x=multipart/form-data",
            "application/x-www-form-urlencoded+json",
            "multipart/x+json",
            "multipart/mixed; json",
        ],
    )
    def test_a_parameter_or_an_odd_type_does_not_switch_the_checks_off(
        self, content_type: str
    ) -> None:
        with pytest.raises(Unreadable, match="nested"):
            checked_body(DEEP, content_type)
        with pytest.raises(InvalidInput, match="NUL"):
            checked_body('{"a":"\\u0000"}'.encode("utf-16"), content_type)

    @pytest.mark.parametrize(
        "content_type",
        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
    )
    def test_a_form_is_left_as_it_is(self, content_type: str) -> None:
        assert checked_body(b"\xff" + DEEP, content_type) == b"\xff" + DEEP

    @pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
    @pytest.mark.parametrize("before", [b"", b"Content-Type: image/jpeg\r\nX-Part: 1\r\n"])
    def test_a_form_that_is_said_to_be_json_is_told_what_to_send(
        self, newline: bytes, before: bytes
    ) -> None:
        """Published programs send files so; they heard of UTF-8."""
        part = (
            b"--9f\r\n" + before + b'Content-Disposition: form-data; name="file"\r\n\r\n\xff\xd8'
        ).replace(b"\r\n", newline)
        with pytest.raises(Unreadable, match="multipart/form-data"):
            checked_body(part, JSON)

    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be"]
    )
    def test_has_no_byte_order_mark(self, encoding: str) -> None:
        """PowerShell and .NET write a byte order mark, which one parser took and the other refused."""
        assert checked_body('{"a":"Zoë"}'.encode(encoding), JSON) == '{"a":"Zoë"}'.encode()

    @pytest.mark.parametrize("bad", [b"\xed\xa0\x80", b"\xff", b"\xc0\x80", b"\xf4\x90\x80\x80"])
    def test_invalid_utf8_is_refused(self, bad: bytes) -> None:
        with pytest.raises(Unreadable, match="UTF-8"):
            checked_body(b'{"a":"' + bad + b'"}', JSON)

    @pytest.mark.parametrize(
        "text",
        [
            "\\ud800",
            "\\uDFFF",
            "\\ud83d\\ud83d",
            "\\ude00\\ud83d",
            "\\ud83d!\\ude00",
            "\\\\\\ud800",
        ],
    )
    def test_half_of_a_surrogate_pair_is_refused(self, text: str) -> None:
        body = f'{{"a":[0,{{"b":"{text}"}}]}}'.encode()
        with pytest.raises(InvalidInput) as refused:
            checked_body(body, JSON)
        [problem] = refused.value.problems
        assert (problem.path, problem.code) == ("a.1.b", "lone_surrogate")
        with pytest.raises(ValueError, match=r"surrogate|hex escape"):
            from_json(body)

    @pytest.mark.parametrize(
        "text", ["\\ud83d\\ude00", "\\\\ud800", "\\\\\\\\ud800", "\\uD83D\\uDE00x"]
    )
    def test_a_whole_pair_and_the_words_for_a_half_are_fine(self, text: str) -> None:
        body = f'{{"a":"{text}"}}'.encode()
        assert checked_body(body, JSON) == body
        assert from_json(body) == json.loads(body)

    def test_a_bad_name_of_a_field_is_refused_and_can_be_shown(self) -> None:
        for body in (b'{"a":{"\\ud800":1}}', b'{"a":{"\\u0000":1}}'):
            with pytest.raises(InvalidInput) as refused:
                checked_body(body, JSON)
            [problem] = refused.value.problems
            assert problem.path == "a.?"

    def test_few_of_many_bad_fields_are_named(self) -> None:
        body = b"[" + b",".join([b'"\\ud800"'] * 1_000) + b"]"
        with pytest.raises(InvalidInput) as refused:
            checked_body(body, JSON)
        assert len(refused.value.problems) == 20

"""Is the nesting of a body told from its bytes, whatever its strings hold?"""

import json

import pytest

from shared.core.depth import is_too_deep


def nested(depth: int, kind: str = "[]") -> bytes:
    opening, closing = ("[", "]") if kind == "[]" else ('{"a":', "}")
    return (opening * depth + "1" + closing * depth).encode()


class TestDepth:
    @pytest.mark.parametrize("kind", ["[]", "{}"])
    def test_the_limit_itself_is_fine(self, kind: str) -> None:
        assert is_too_deep(nested(32, kind)) is False
        assert is_too_deep(nested(33, kind)) is True
        assert is_too_deep(nested(900, kind)) is True

    def test_many_brackets_beside_each_other_are_flat(self) -> None:
        assert is_too_deep(b"[" + b",".join([b"[{}]"] * 1_000) + b"]") is False

    @pytest.mark.parametrize("text", ["[" * 100, '\\"' + "[" * 100, '"' + "{" * 100 + "\\", "[\n["])
    def test_brackets_in_strings_do_not_count(self, text: str) -> None:
        assert is_too_deep(json.dumps({"a": text, "b": [text]}).encode()) is False

    @pytest.mark.parametrize("hidden", ['"]"', '"\\""', '"\\\\"', '"a\\\\\\"]"'])
    def test_strings_hide_no_brackets(self, hidden: str) -> None:
        body = f"[{hidden}," * 40 + "1" + "]" * 40
        assert is_too_deep(body.encode()) is True

    def test_what_is_no_json_is_for_others_to_refuse(self) -> None:
        assert is_too_deep(b'"' + b"\\" * 100_001 + b"[" * 40) is False
        assert is_too_deep(b"]" * 50 + b"[" * 33) is False

"""Is what comes from outside fit for every column, header and answer?"""

import json

import pytest

from shared.core.cleaning import (
    MAX_JSON_DEPTH,
    clean_id,
    clean_json,
    clean_name,
    clean_text,
    one_line,
    web_address,
)


class TestNames:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("Ada  L.", "Ada L."),
            (" Ada\r\nBcc: all@example.org\t", "Ada Bcc: all@example.org"),
            ("Ada\u2028L.", "Ada L."),
            ("gro.elpmaxe\u202e", "gro.elpmaxe"),
            ("\u2066Ada\u2069\x00\x1b[31m", "Ada[31m"),
            ("\ud800Ada\udfff\ufeff", "Ada"),
            ("שלום \u200fעולם", "שלום \u200fעולם"),  # a mark, which only orders what is beside it
            ("👨‍👩‍👧 e\u0301", "👨‍👩‍👧 e\u0301"),
            ("\n\x00", ""),
            (None, ""),
            (17, ""),
        ],
    )
    def test_one_clean_line(self, given: object, kept: str) -> None:
        """Findings 2.9 and 2.13: no control characters, breaks or bidirectional overrides in a name."""
        assert clean_name(given) == kept

    def test_cut(self) -> None:
        """Finding 2.4: a display name of 900,000 characters."""
        assert clean_name("x" * 900_000) == "x" * 199 + "…"
        assert clean_name("x" * 200) == "x" * 200

    def test_a_member_s_own_name_is_never_cut(self) -> None:
        assert one_line("x" * 5_000) == "x" * 5_000

    def test_texts_keep_their_lines(self) -> None:
        assert clean_text("one\n\ttwo\x00\u202e") == "one\n\ttwo"


class TestAddresses:
    @pytest.mark.parametrize(
        "address", ["https://example.org/a?b#c", "http://127.0.0.1:3000/x", "HTTPS://Example.org"]
    )
    def test_of_the_web_are_kept(self, address: str) -> None:
        assert web_address(address) == address

    @pytest.mark.parametrize(
        "address",
        [
            "javascript:alert(1)",
            "data:text/html,x",
            "//example.org/a",
            "/a",
            "https:",
            "https://",
            "https://[abc",
            "https://example.org/a b",
            "https://example.org/\n",
            "https://example.org/\u202egpj.exe",
            "https://example.org/" + "a" * 300_000,
            "",
            None,
            5,
        ],
    )
    def test_others_are_not(self, address: object) -> None:
        """Finding 2.13: `javascript:` as a picture or as the address of a post."""
        kept = web_address(address)
        assert kept is None or kept == "https://example.org/"


class TestIds:
    def test_are_kept_as_they_are_or_not_at_all(self) -> None:
        assert [clean_id(one) for one in ("did:plc:a", 17, "a\0b", "a\nb", "x" * 1_001, None, True)] == [
            "did:plc:a", "17", "", "", "", "", ""
        ]  # fmt: skip


class TestJson:
    def test_is_storable(self) -> None:
        kept = clean_json({"a\0": ["\ud800x", {"b": "y" * 30_000}], "n": 1.5, "t": True, "z": None})
        assert kept["a"][0] == "x"
        assert len(kept["a"][1]["b"]) == 20_000
        assert (kept["n"], kept["t"], kept["z"]) == (1.5, True, None)
        json.dumps(kept, ensure_ascii=False).encode()

    def test_deeper_parts_are_null(self) -> None:
        deep: object = "end"
        for _ in range(5_000):
            deep = [deep]
        kept, depth = clean_json(deep), 0
        while kept is not None:
            (kept,) = kept
            depth += 1
        assert depth == MAX_JSON_DEPTH

"""Which scopes, addresses and codes are read as what?"""

import re

import pytest

from shared.apps.credentials import (
    new_client_id,
    new_client_secret,
    new_code,
    new_registered_client_id,
    new_token,
    new_user_code,
    read_user_code,
)
from shared.apps.redirects import origin_of, why_refused
from shared.apps.scopes import PROPOSE, READ, SCOPES, WRITE, granted_scopes, scope_text


class TestGrantedScopes:
    @pytest.mark.parametrize(
        ("asked", "granted"),
        [
            (None, (READ, WRITE)),
            ("", (READ, WRITE)),
            ("  ", (READ, WRITE)),
            ("mcp:read", (READ,)),
            ("mcp:write mcp:read", (READ, WRITE)),
            ("openid mcp:write", (READ, WRITE)),
            ("mcp:propose", (READ, PROPOSE)),
            ("mcp:read mcp:propose mcp:write", SCOPES),
            ("openid", ()),
            ("mcp:readx MCP:READ", ()),
        ],
    )
    def test_is_what_there_is_of_what_is_asked(
        self, asked: str | None, granted: tuple[str, ...]
    ) -> None:
        assert granted_scopes(asked) == granted

    def test_are_written_in_one_order(self) -> None:
        assert scope_text([WRITE, READ, READ]) == "mcp:read mcp:write"


class TestRedirects:
    def test_more_are_refused_than_may_be(self) -> None:
        """The table of addresses is in tests/functions/test_apps.py; here is what only a page shows."""
        assert why_refused("https://newsroom.example/connected") is None
        assert why_refused("http://newsroom.example/connected")
        assert origin_of("https://newsroom.example:8443/a?b=c") == "https://newsroom.example:8443"


class TestCredentials:
    @pytest.mark.parametrize(
        ("make", "form"),
        [
            (new_client_id, r"pca_[A-Za-z0-9]{32}"),
            (new_registered_client_id, r"pcd_[A-Za-z0-9]{32}"),
            (new_client_secret, r"pcs_[A-Za-z0-9]{48}"),
            (new_code, r"[A-Za-z0-9]{32}"),
            (new_token, r"pos_[A-Za-z0-9]{40}"),
            (new_user_code, r"[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}"),
        ],
    )
    def test_forms(self, make: object, form: str) -> None:
        assert callable(make)
        made = {make() for _ in range(200)}
        assert len(made) == 200
        assert all(re.fullmatch(form, one) for one in made)

    @pytest.mark.parametrize("typed", ["ABCD-EFG2", "abcdefg2", " abcd efg2 ", "AB-CD-EF-G2"])
    def test_a_user_code_is_read_however_it_is_typed(self, typed: str) -> None:
        assert read_user_code(typed) == "ABCD-EFG2"

"""Do all pages look alike and lead on? Finding 6.5."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from fastapi import Response

from shared.access.errors import NotSignedIn
from shared.channels import callback_html
from shared.core.errors import AppError, NotFound
from shared.core.html import STYLE
from shared.web import html


def text(answer: Response) -> str:
    return bytes(answer.body).decode()


REFUSED = NotFound("There is no such link.")
PAGES: dict[str, Callable[[], str]] = {
    "start": lambda: text(html.start_page()),
    "password": lambda: text(html.password_page("code")),
    "sign in": lambda: text(html.sign_in_page("Sign in to go on.")),
    "refusal": lambda: text(html.refusal_page(REFUSED, headers={})),
    "connected": lambda: callback_html.connected_page("wren", "Mastodon", return_url=None),
    "finished": lambda: callback_html.finished_page("wren", "Mastodon", needs_page=False),
    "not connected": lambda: callback_html.refused_page("Mastodon", REFUSED),
    "connect": lambda: callback_html.form_page(
        "Bluesky",
        callback_html.Asking("Acme", datetime(2026, 3, 1, tzinfo=UTC)),
        (),
        {},
        is_starter=False,
    ),
    "choose": lambda: callback_html.choose_page_page("LinkedIn", (), {}),
}


@pytest.mark.parametrize("name", PAGES)
def test_page_has_the_one_look_and_leads_on(name: str) -> None:
    html = PAGES[name]()
    assert f"<style>{STYLE}</style>" in html
    assert '<a href="/">' in html
    assert '<a href="/docs">' in html


def test_policy_allows_exactly_that_style() -> None:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = html.start_page().headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy


def test_refusal_to_somebody_who_is_not_signed_in_offers_to_sign_in() -> None:
    refused: AppError = NotSignedIn()
    assert "Sign in to see this." in text(html.refusal_page(refused, headers={}))

"""The HTML for a browser that returns from a platform, without scripts, until the console replaces it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from shared.core.errors import AppError
from shared.core.html import html_page
from shared.providers.base import PlatformPage
from shared.providers.spec import FormField


@dataclass(frozen=True, slots=True)
class Asking:
    """The organization of a connection: its name, which its members chose, and its creation time."""

    name: str
    since: datetime


# Nothing is loaded and no script runs; forms are sent to the page's own address.
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",  # the address contains the platform's code, so no other site may see it
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


def connected_page(channel: str, platform: str, *, return_url: str | None) -> str:
    """Return the page that shows which account was connected."""
    onward = (
        f'<p><a href="{escape(return_url)}">Go on</a></p>'
        if return_url
        else "<p>You can close this page.</p>"
    )
    return html_page(
        f"{channel} is connected",
        f"<p>You can now schedule posts for this {escape(platform)} channel.</p>{onward}",
    )


def finished_page(channel: str, platform: str, *, needs_page: bool) -> str:
    """Return the page for an account that was already connected."""
    onward = (
        "Its page is not chosen yet. Open it in your list of channels to choose one."
        if needs_page
        else f"Posts for this {escape(platform)} channel can be scheduled. You can close this page."
    )
    return html_page(
        f"{channel} is connected",
        f"<p>This connection was already finished, so nothing changed. {onward}</p>",
    )


def refused_page(platform: str, error: AppError) -> str:
    """Return the page with the platform's reason why an account was not connected."""
    evidence = "".join(
        f"<p><code>{escape(problem.code)}</code> {escape(problem.message)}</p>"
        for problem in error.problems
        if problem.message != error.message
    )
    return html_page(
        f"{platform} was not connected",
        f"<p>{escape(error.message)}</p>{evidence}<p>Go back to your channels to start again.</p>",
    )


def consent_page(platform: str, asking: Asking, hidden: Mapping[str, str]) -> str:
    """Return the page that asks a browser that did not start the connection for consent."""
    return html_page(
        f"Connect your {platform} account to {asking.name}?",
        f"{_started_elsewhere(asking, 'the account you just signed in to')}"
        f'<form method="post">{_hidden(hidden)}<button>Connect</button></form>',
    )


def form_page(
    platform: str,
    asking: Asking,
    fields: Sequence[FormField],
    hidden: Mapping[str, str],
    *,
    is_starter: bool,
    refused: AppError | None = None,
) -> str:
    """Return the form for connecting an account, after a refusal with its reason.

    A browser that did not start the connection (`is_starter` is False) is shown who would publish as the account.
    """
    why = f"<p><strong>{escape(refused.message)}</strong></p>" if refused else ""
    inputs = "".join(_input(field) for field in fields)
    warning = "" if is_starter else _started_elsewhere(asking, "the account you enter here")
    return html_page(
        f"Connect {platform} to {asking.name}"
        if is_starter
        else f"Connect your {platform} account to {asking.name}?",
        f'{warning}{why}<form method="post">{_hidden(hidden)}{inputs}<button>Connect</button></form>',
    )


def choose_page_page(
    platform: str, pages: Sequence[PlatformPage], hidden: Mapping[str, str]
) -> str:
    """Return the form for choosing one of an account's platform pages."""
    if not pages:
        return html_page(
            f"{platform} is connected, but has no page",
            "<p>The account manages no page that you can post to, or the list cannot be read "
            "right now. Open the channel in your list of channels to choose one later.</p>",
        )
    choices = "".join(
        f'<label><input type="radio" name="pageId" value="{escape(page.id)}" required> '
        f"{escape(page.name)}{f' <small>{escape(page.username)}</small>' if page.username else ''}</label>"
        for page in pages
    )
    return html_page(
        f"Connect {platform}: which page is it?",
        f'<form method="post">{_hidden(hidden)}{choices}<button>Choose</button></form>',
    )


def _started_elsewhere(asking: Asking, account: str) -> str:
    since = f"{asking.since.day} {asking.since:%B %Y}"
    return (
        f"<p>This connection was started elsewhere. If you continue, the members of "
        f"<strong>{escape(asking.name)}</strong>, here since {since}, can publish as {account}. "
        f"They chose that name themselves, and nobody has checked it. "
        f"If you do not know them, close this page.</p>"
    )


def _input(field: FormField) -> str:
    kind = "password" if field.secret else "text"
    pattern = f' pattern="{escape(field.pattern)}"' if field.pattern else ""
    required = "" if field.default else " required"
    hint = f"<small>{escape(field.help)}</small>" if field.help else ""
    name = escape(field.name)
    return (
        f'<label for="{name}">{escape(field.label)}</label>'
        f'<input id="{name}" name="field.{name}" type="{kind}" value="{escape(field.default)}"{pattern}{required} '
        f'autocomplete="off">{hint}'
    )


def _hidden(values: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in values.items()
    )

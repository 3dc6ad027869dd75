"""Handles a browser that returns from a platform: finishes, asks for consent, or refuses, with HTML until the console does it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from shared.audit.entries import Actor
from shared.channels import callback_html as html
from shared.channels.connect import (
    Finished,
    ask_wider,
    check_form_browser,
    choose_page_by_state,
    find_finished,
    find_pending,
    finish,
    offered,
    require_code,
    was_started_by,
)
from shared.channels.errors import AskAgain, NotStarted, PlatformRefused
from shared.channels.pending import PendingConnection
from shared.channels.queries import ChannelSummary
from shared.core.errors import AppError, FieldProblem
from shared.providers.spec import Fields, ProviderSpec

MAX_WORDS = 300
FIELD_PREFIX = "field."
_DENIED = "access_denied"  # RFC 6749, section 4.1.2.1
_SCOPES_REFUSED = "invalid_scope"


@dataclass(frozen=True, slots=True)
class HtmlAnswer:
    """An HTML page with its status; with `location`, the browser is redirected."""

    html: str
    status: int = HTTPStatus.OK
    location: str | None = None


def came_back(
    slug: str, query: Mapping[str, str], browser: str | None, *, visitor: Actor
) -> HtmlAnswer:
    """Answer a browser that a platform, or our own start, has redirected here.

    `query` is the address's query; `browser` is the secret in the browser's cookie, and `visitor` the sender of
    the request, for the audit log.

    Raises:
        ProviderNotFound: there is no such platform.
    """
    spec = offered(slug).spec
    # OAuth 1.0a has other names for the two.
    state = query.get("state") or query.get("oauth_token") or ""
    code = query.get("code") or query.get("oauth_verifier") or ""
    try:
        if query.get("error") == _SCOPES_REFUSED:
            _ask_wider(slug, state, browser)
        _hold_not_refused(spec, query)
        pending = find_pending(slug, state)
        if isinstance(spec.auth, Fields):
            check_form_browser(pending, browser)
            return HtmlAnswer(_form(spec, spec.auth, pending, browser))
        require_code(spec, code)
        if not was_started_by(pending, browser):
            hidden = {"state": state, "code": code}
            return HtmlAnswer(html.consent_page(spec.name, _asking(pending), hidden))
        return _finished(spec, finish(slug, state, code, visitor=visitor))
    except AskAgain as error:
        return HtmlAnswer("", HTTPStatus.SEE_OTHER, error.url)
    except NotStarted as error:
        return _not_started(spec, state, error)
    except AppError as error:
        return HtmlAnswer(html.refused_page(spec.name, error), error.status)


def _ask_wider(slug: str, state: str, browser: str | None) -> None:
    """Start again with broader scopes, only in the browser that started, so that a link cannot trigger it."""
    pending = find_pending(slug, state)
    if was_started_by(pending, browser):
        ask_wider(pending)


def agreed(
    slug: str, form: Mapping[str, str], browser: str | None, *, visitor: Actor
) -> HtmlAnswer:
    """Answer a form: the consent, the fields of an account, or the chosen platform page.

    `browser` is the secret in the browser's cookie, and `visitor` the sender of
    the request, for the audit log.

    Raises:
        ProviderNotFound: there is no such platform.
    """
    spec = offered(slug).spec
    state = form.get("state", "")
    try:
        pending = find_pending(slug, state)
        if "pageId" in form:
            channel = choose_page_by_state(slug, state, form["pageId"], visitor=visitor)
            return HtmlAnswer(html.connected_page(channel.name, spec.name, return_url=None))
        if isinstance(spec.auth, Fields):
            check_form_browser(pending, browser)
            return _fields_given(spec, spec.auth, pending, form, browser, visitor)
        return _finished(spec, finish(slug, state, form.get("code", ""), visitor=visitor))
    except AskAgain as error:
        return HtmlAnswer("", HTTPStatus.SEE_OTHER, error.url)
    except NotStarted as error:
        return _not_started(spec, state, error)
    except AppError as error:
        return HtmlAnswer(html.refused_page(spec.name, error), error.status)


def _asking(pending: PendingConnection) -> html.Asking:
    return html.Asking(pending.organization_name, pending.organization_since)


def _form(
    spec: ProviderSpec,
    auth: Fields,
    pending: PendingConnection,
    browser: str | None,
    refused: AppError | None = None,
) -> str:
    return html.form_page(
        spec.name,
        _asking(pending),
        auth.fields,
        {"state": pending.state},
        is_starter=was_started_by(pending, browser),
        refused=refused,
    )


def _fields_given(
    spec: ProviderSpec,
    auth: Fields,
    pending: PendingConnection,
    form: Mapping[str, str],
    browser: str | None,
    visitor: Actor,
) -> HtmlAnswer:
    fields = {
        name.removeprefix(FIELD_PREFIX): value
        for name, value in form.items()
        if name.startswith(FIELD_PREFIX)
    }
    try:
        return _finished(
            spec, finish(spec.slug, pending.state, json.dumps(fields), visitor=visitor)
        )
    except NotStarted:
        raise
    except AppError as error:
        return HtmlAnswer(_form(spec, auth, pending, browser, refused=error), error.status)


def _finished(spec: ProviderSpec, finished: Finished) -> HtmlAnswer:
    channel = finished.channel
    if finished.page_state:
        hidden = {"state": finished.page_state}
        return HtmlAnswer(html.choose_page_page(spec.name, finished.pages, hidden))
    return HtmlAnswer(
        html.connected_page(_display_name(channel), spec.name, return_url=finished.return_url)
    )


def _not_started(spec: ProviderSpec, state: str, error: NotStarted) -> HtmlAnswer:
    """Distinguish a reload after a finished connection, which is fine, from an invalid state."""
    channel = find_finished(spec.slug, state)
    if channel is None:
        return HtmlAnswer(html.refused_page(spec.name, error), error.status)
    return HtmlAnswer(
        html.finished_page(_display_name(channel), spec.name, needs_page=channel.needs_page)
    )


def _display_name(channel: ChannelSummary) -> str:
    return f"{channel.name} (@{channel.username})" if channel.username else channel.name


def _hold_not_refused(spec: ProviderSpec, query: Mapping[str, str]) -> None:
    """Check that the member agreed on the platform's page.

    Raises:
        PlatformRefused: they did not, or the platform refused, with its own reason.
    """
    code = query.get("error") or (_DENIED if "denied" in query else "")
    if not code:
        return
    words = query.get("error_description") or query.get("error_reason") or ""
    problem = FieldProblem("provider", code[:MAX_WORDS], words[:MAX_WORDS])
    if code == _DENIED and not words:
        message = (
            f"You did not allow Roost to use the account, so {spec.name} sent you back. "
            "Start again and allow it."
        )
    else:
        message = f"{spec.name} refused access: {(words or code)[:MAX_WORDS]}"
    raise PlatformRefused(message, problems=[problem])

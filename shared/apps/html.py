"""The HTML on which a member allows or denies an app: who asks for what.

Each HTML page has a title, a body, and a constant script; variable values are in the body's attributes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from shared.apps.credentials import UNUSED_LIFE
from shared.apps.redirects import origin_of
from shared.apps.schemas import AppShown, Maker
from shared.apps.scopes import PROPOSE, READ, WRITE
from shared.core.ids import OrganizationId

_MAY = {
    READ: "see your name and address, channels and the customers they belong to, posts, files and notifications",
    PROPOSE: "write posts, which wait until somebody approves them, and upload files",
    WRITE: "write, change, publish and delete posts, upload files, and connect or remove channels",
}
_ENDS = f"It ends after {UNUSED_LIFE.days} days without use."
_MAY_NOT = "It cannot administer the organization: its settings, members, keys and webhooks."


@dataclass(frozen=True, slots=True)
class PageContent:
    """The content of an HTML page."""

    title: str
    body: str
    script: str = ""


@dataclass(frozen=True, slots=True)
class Somebody:
    """The signed-in user, and the organizations (id and name) for which they can answer."""

    email: str
    organization_id: OrganizationId
    organizations: Sequence[tuple[OrganizationId, str]]


@dataclass(frozen=True, slots=True)
class Made:
    """An app's registration time, its organization (None: it registered itself), and the current time."""

    at: datetime
    by: Maker | None
    now: datetime


def consent_page(
    app: AppShown,
    scopes: Sequence[str],
    asked: Mapping[str, str],
    who: Somebody,
    made: Made,
) -> PageContent:
    """Ask whether an app may act for an organization."""
    name = escape(app.name)
    body = f"""
<p><strong>{name}</strong> asks to act for you. {escape(app.description)}</p>
{_maker(made)}
<p>It may, with your role:</p>
<ul>{"".join(f"<li>{_MAY[scope]}</li>" for scope in scopes)}</ul>
<p>{_MAY_NOT}</p>
<form id="form" data-asked="{escape(json.dumps(dict(asked)))}">
{_choice(who)}
<button name="answer" value="approve">Allow</button>
<button name="answer" value="deny" class="second">Do not allow</button>
</form>
<p id="said" role="status"></p>
<p>You are signed in as {escape(who.email)}. After you answer, you go to {escape(origin_of(app.redirect_url))}. You can
withdraw permission at any time. {_ENDS}</p>
"""
    return PageContent(f"Allow {app.name} to act for you?", body, _SEND + _CONSENT)


def device_page(user_code: str, who: Somebody) -> PageContent:
    """Ask whether the device that shows a code may act for an organization."""
    body = f"""
<p>A program on a computer asks to act for you. <strong>Continue only if you started it yourself and it shows this
code.</strong></p>
<p>It may, with your role:</p>
<ul>{"".join(f"<li>{may}</li>" for may in _MAY.values())}</ul>
<p>{_MAY_NOT}</p>
<form id="form">
<label>Code<input name="code" value="{escape(user_code)}" autocomplete="off" autocapitalize="characters"
  spellcheck="false" maxlength="20" required></label>
{_choice(who)}
<button name="answer" value="approve">Allow</button>
<button name="answer" value="deny" class="second">Do not allow</button>
</form>
<p id="said" role="status"></p>
<p>You are signed in as {escape(who.email)}. You can withdraw permission at any time.
{_ENDS}</p>
"""
    return PageContent("Allow a device to act for you?", body, _SEND + _DEVICE)


def refused_page(title: str, why: str, *, return_to: str | None = None) -> PageContent:
    """Explain why the request is refused. The browser is not redirected, because the app chose the address itself."""
    onward = (
        f'<p><a href="{escape(return_to)}">Go back to {escape(origin_of(return_to))}</a></p>'
        if return_to
        else ""
    )
    return PageContent(title, f"<p>{escape(why)}</p>{onward}")


def _maker(made: Made) -> str:
    """Describe the maker of an app and since when it exists, and warn that it is not verified: a name proves nothing."""
    unchecked = (
        "<strong>The maker of this app is not verified.</strong> The app chose its name itself."
    )
    if made.by is None:
        return (
            f"<p>This app registered itself {_ago(made.at, made.now)}. {unchecked} "
            "Continue only if you have just started it.</p>"
        )
    return (
        f"<p>The organization <strong>{escape(made.by.name)}</strong>, here since {_day(made.by.since)}, made this app "
        f"{_ago(made.at, made.now)}. {unchecked} Continue only if you know this organization.</p>"
    )


def _ago(at: datetime, now: datetime) -> str:
    days = (now - at).days
    if days < 1:
        return "today"
    return f"{days} day{'s' if days > 1 else ''} ago"


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"


def _choice(who: Somebody) -> str:
    options = "".join(
        f'<option value="{key}"{" selected" if key == who.organization_id else ""}>{escape(name)}</option>'
        for key, name in who.organizations
    )
    return f'<label>Organization<select name="organization">{options}</select></label>'


# An expired session is renewed once, as in the console.
_SEND = """
const form = document.getElementById("form"), said = document.getElementById("said");
const renew = async () => (await fetch("/auth/renew", {method: "POST"})).ok;
const post = (path, body, headers = {}) => fetch(path, {
  method: "POST",
  headers: {"content-type": "application/json", ...headers},
  body: JSON.stringify(body),
});
const send = async (path, body, headers) => {
  let answer = await post(path, body, headers);
  if (answer.status === 401 && await renew()) answer = await post(path, body, headers);
  const told = await answer.json();
  if (!answer.ok) said.textContent = told.detail || told.error_description || told.error;
  return answer.ok ? told : null;
};
"""
_CONSENT = """
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const asked = JSON.parse(form.dataset.asked);
  const told = await send("/oauth/authorize", {...asked, action: event.submitter.value},
    {showorg: form.organization.value});
  if (told) location.assign(told.redirect);
});
"""
_DEVICE = """
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const told = await send("/device/approve",
    {code: form.code.value, approve: event.submitter.value === "approve"}, {showorg: form.organization.value});
  if (!told) return;
  said.textContent = told.approved ? "The device is allowed. You can close this page." : "The device was denied.";
  form.remove();
});
"""

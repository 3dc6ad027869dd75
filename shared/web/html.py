"""The few HTML pages that functions answer themselves: they load no files and have at most one script."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from fastapi.responses import HTMLResponse

from shared.core.errors import AppError
from shared.core.html import STYLE, html_page
from shared.identity.models import MailKind
from shared.web.factor_form import FACTOR_SCRIPT, factor_form

_START = """
<p>Roost publishes posts to social networks on time. There is no console yet; everything can be done through the API.</p>
<ul>
<li><a href="/docs">API reference</a>: read it and try it out in the browser</li>
<li><a href="/openapi.json">OpenAPI document</a>: to generate a client from</li>
<li><a href="/health/ready">Readiness</a>: whether everything that Roost needs answers</li>
</ul>
<p>Programs that speak the public API use this address as their base address, with an API key of your organization.</p>
"""
_FORM = """
<form id="form" data-code="{code}">
<label>New password<input name="password" type="password" minlength="8" maxlength="256"
  autocomplete="new-password" required></label>
<label>Once more<input name="repeatPassword" type="password" minlength="8" maxlength="256"
  autocomplete="new-password" required></label>
<button>Set the password</button>
</form>
<p id="said" role="status"></p>
"""
_SEND_FORM = """
const form = document.getElementById("form"), said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  const answer = await fetch("/auth/forgot-return", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({...fields, token: form.dataset.code}),
  });
  const body = await answer.json();
  said.textContent = answer.ok ? "Your password is set. You can sign in now." : body.detail;
  if (answer.ok) form.remove();
});
"""

_ACTIVATE_FORM = """
<form id="form" data-code="{code}"><button>Activate my account</button></form>
<noscript><p>This page needs JavaScript.</p></noscript>
<p id="said" role="status"></p>
"""
_ACTIVATE = """
const form = document.getElementById("form"), said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/auth/activate", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({code: form.dataset.code}),
  });
  const body = await answer.json();
  said.textContent = answer.ok ? "Your account is active, and you are signed in."
    : body.detail + " If your account is active already, sign in. Otherwise request another email.";
  form.remove();
});
"""

# The texts for each kind of email.
_STOPPED = {
    MailKind.SUCCESS: "emails about published posts",
    MailKind.FAILURE: "emails about posts that need attention",
}
# A plain form without a script; mail programs send the same request (RFC 8058).
_UNSUBSCRIBE_FORM = """
<p>You will get no more {kind}, for any of your organizations. You still get other emails.</p>
<form method="post"><button name="List-Unsubscribe" value="One-Click">Stop getting them</button></form>
"""
_UNSUBSCRIBED = """
<p>You will get no more {kind}. You can switch them on again in your settings (<code>POST /user/email-notifications</code>).</p>
"""

# The title of a refusal by its status, for a person who opened a link.
_TITLES = {
    403: "You do not have access to this",
    404: "Nothing was found here",
    422: "This link cannot be used",
    429: "Please wait a moment",
    503: "This is not available right now",
}
_OTHER_TITLE = "Something went wrong"

_SIGN_IN_FORM = """
<p>{why}</p>
<form id="form" hidden>
<label>Email address<input name="email" type="email" autocomplete="username" required></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
</form>
{factor}<noscript><p>This page needs JavaScript.</p></noscript>
<p id="said" role="status"></p>
{more}
"""
# An expired session is renewed first, as in the console; if that fails, not again for ten seconds.
_SIGN_IN = (
    FACTOR_SCRIPT
    + """
const form = document.getElementById("form"), said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/auth/login", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify(Object.fromEntries(new FormData(form))),
  });
  const body = await answer.json();
  if (!answer.ok) { said.textContent = body.detail; return; }
  if (!body.mfa) { location.reload(); return; }
  form.remove();
  askFactor(() => location.reload());
});
(async () => {
  const last = Number(sessionStorage.getItem("renewed"));
  if (Date.now() - last > 10000 && (await fetch("/auth/renew", {method: "POST"})).ok) {
    sessionStorage.setItem("renewed", Date.now());
    location.reload();
  } else {
    form.hidden = false;
  }
})();
"""
)


def html_response(title: str, body: str, *, script: str = "", status: int = 200) -> HTMLResponse:
    """Make an HTML page. `body` is our own HTML, in which outside values must be escaped."""
    html = html_page(title, body, script=script)
    return HTMLResponse(html, status, headers=page_headers(styles=(STYLE,), scripts=(script,)))


def start_page() -> HTMLResponse:
    """Make the start page at `/`."""
    return html_response("Roost is running", _START)


def password_page(code: str) -> HTMLResponse:
    """Make the page that sets a new password with an emailed code."""
    return html_response("Set a new password", _FORM.format(code=escape(code)), script=_SEND_FORM)


def activation_page(code: str) -> HTMLResponse:
    """Make the page that activates an account with an emailed code."""
    form = _ACTIVATE_FORM.format(code=escape(code))
    return html_response("Activate your account", form, script=_ACTIVATE)


def unsubscribe_page(kind: MailKind) -> HTMLResponse:
    """Make the page that turns off a kind of email."""
    return html_response(
        "Stop getting these emails?", _UNSUBSCRIBE_FORM.format(kind=_STOPPED[kind])
    )


def unsubscribed_page(kind: MailKind) -> HTMLResponse:
    """Make the page that confirms which kind of email was turned off."""
    return html_response("Switched off", _UNSUBSCRIBED.format(kind=_STOPPED[kind]))


def sign_in_page(why: str, *, more: str = "", status: int = HTTPStatus.OK) -> HTMLResponse:
    """Make the page that signs in or renews the session, and then reloads the requested page. `more` is our own HTML."""
    form = _SIGN_IN_FORM.format(why=escape(why), more=more, factor=factor_form(hidden=True))
    return html_response("Sign in", form, script=_SIGN_IN, status=status)


def refusal_page(error: AppError, *, headers: Mapping[str, str]) -> HTMLResponse:
    """Make the page of a refusal: what to do about each refused field, or the sign-in."""
    messages = [problem.message for problem in error.problems] or [error.message]
    paragraphs = "".join(f"<p>{escape(words)}</p>" for words in dict.fromkeys(messages))
    title = _TITLES.get(error.status, _OTHER_TITLE)
    if error.status == HTTPStatus.UNAUTHORIZED:
        made = sign_in_page("Sign in to see this.", status=error.status)
    else:
        made = html_response(title, paragraphs, status=error.status)
    made.headers.update(headers)
    return made


def page_headers(*, styles: tuple[str, ...], scripts: tuple[str, ...]) -> dict[str, str]:
    """Return the headers that allow exactly these inline styles and scripts."""
    return {
        "content-security-policy": (
            "default-src 'none'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; "
            f"base-uri 'none'; style-src {_hashes(styles)}; script-src {_hashes(scripts)}"
        )
    }


def _hashes(sources: tuple[str, ...]) -> str:
    digests = (hashlib.sha256(source.encode()).digest() for source in sources if source)
    return (
        " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    )

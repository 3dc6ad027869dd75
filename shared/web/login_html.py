"""The HTML pages for signing in, until the console replaces them: the sign-in, and the return from a login provider."""

from collections.abc import Collection, Sequence
from html import escape
from http import HTTPStatus

from fastapi.responses import HTMLResponse

from shared.access.sign_in import KnownAddress, Unknown
from shared.core.errors import AppError
from shared.identity.login_providers.offered import Offered
from shared.identity.models import LoginProvider, Method
from shared.web.factor_form import FACTOR_SCRIPT, factor_form
from shared.web.html import html_response

_BY_REDIRECT = frozenset(
    {LoginProvider.GITHUB, LoginProvider.GOOGLE, LoginProvider.GENERIC, LoginProvider.FARCASTER}
)
"""The providers with a page to go to; a wallet needs a script of its own."""
_OWN_FORM = """
<form id="form">
<label>Email address<input name="email" type="email" autocomplete="username" required></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
</form>
"""
_PASSKEY = '<button class="second" id="sign-in-passkey">Sign in with a passkey</button>'
_PROVIDER = '<button class="second" data-provider="{provider}">Sign in with {name}</button>'
_END = """
<noscript><p>This page needs JavaScript.</p></noscript>
<p id="said" role="status" data-return-to="{return_to}"></p>
"""
_SIGN_IN = (
    FACTOR_SCRIPT
    + """
const said = document.getElementById("said"), form = document.getElementById("form");
const returnTo = said.dataset.returnTo;
if (form) form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/auth/login", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify(Object.fromEntries(new FormData(form))),
  });
  const body = await answer.json();
  if (!answer.ok) { said.textContent = body.detail; return; }
  if (!body.mfa) { location = returnTo; return; }
  form.remove();
  askFactor(() => { location = returnTo; });
});
const signIn = document.getElementById("sign-in-passkey");
if (signIn) signIn.addEventListener(
  "click", () => usePasskey("/auth/passkey/options", "/auth/passkey", () => ({}), () => { location = returnTo; }));
for (const button of document.querySelectorAll("button[data-provider]")) {
  button.addEventListener("click", async () => {
    const query = new URLSearchParams({returnTo});
    const answer = await fetch(`/auth/oauth/${button.dataset.provider}?${query}`);
    if (answer.ok) location = await answer.text();
    else said.textContent = (await answer.json()).detail;
  });
}
"""
)
_ASK_FACTOR = (
    FACTOR_SCRIPT
    + """
askFactor(() => { location = document.getElementById("said").dataset.returnTo; });
"""
)
_REGISTER = """
<p>{who} There is no account with this login yet. Name your organization to create one.</p>
<form id="form" data-provider="{provider}" data-token="{token}">
{email}<label>Organization<input name="company" minlength="3" maxlength="128" required></label>
<button>Create my account</button>
</form>
<noscript><p>This page needs JavaScript.</p></noscript>
<p id="said" role="status"></p>
"""
_BUTTON = """
<form id="form" data-code="{code}" data-path="{path}" data-done="{done}"><button>{label}</button></form>
<noscript><p>This page needs JavaScript.</p></noscript>
<p id="said" role="status"></p>
"""
_SEND_CODE = """
const form = document.getElementById("form"), said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(form.dataset.path, {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({code: form.dataset.code}),
  });
  said.textContent = answer.ok ? form.dataset.done : (await answer.json()).detail;
  form.remove();
});
"""
_RECOVERY = """
<p>Enter your password. After 72 hours, your second factors are removed; until then you can stop it.</p>
<form id="form" data-code="{code}">
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Remove my second factors</button>
</form>
<noscript><p>This page needs JavaScript.</p></noscript>
<p id="said" role="status"></p>
"""
_SEND_RECOVERY = """
const form = document.getElementById("form"), said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/auth/recover", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({code: form.dataset.code, password: form.elements.password.value}),
  });
  const body = await answer.json();
  if (!answer.ok) { said.textContent = body.detail; return; }
  form.remove();
  said.textContent = `Your second factors are removed on ${new Date(body.opensAt).toLocaleString()}.`;
});
"""
_EMAIL = (
    '<label>Email address<input name="email" type="email" autocomplete="email" required></label>\n'
)
_SEND_REGISTRATION = """
const form = document.getElementById("form"), said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  const answer = await fetch("/auth/register", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({
      ...fields, provider: form.dataset.provider, providerToken: form.dataset.token,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC",
    }),
  });
  const body = await answer.json();
  if (!answer.ok) { said.textContent = body.errors ? body.errors[0].message : body.detail; return; }
  form.remove();
  said.textContent = body.activate ? "Open the link in the email that we have sent you." : "Your account is ready, and you are signed in.";
});
"""


def confirm_email_page(code: str) -> HTMLResponse:
    """Make the page that confirms a new address with an emailed code."""
    return _button_page(
        "Confirm your new address",
        code,
        path="/auth/confirm-email",
        label="Use this address",
        done="Your account has this address now.",
    )


def undo_email_page(code: str) -> HTMLResponse:
    """Make the page that undoes a change of address with an emailed code."""
    return _button_page(
        "Undo the change of your address?",
        code,
        path="/auth/undo-email",
        label="Restore my address",
        done="Your account has its old address again. Set a new password by the link that we have sent you.",
    )


def stop_recovery_page(code: str) -> HTMLResponse:
    """Make the page that stops the recovery of an account with an emailed code."""
    return _button_page(
        "Stop the recovery of your account?",
        code,
        path="/auth/stop-recovery",
        label="Stop it",
        done="The recovery was stopped, and your second factors stay. Change your password.",
    )


def recovery_page(code: str) -> HTMLResponse:
    """Make the page that starts the recovery of an account with an emailed code and the password."""
    form = _RECOVERY.format(code=escape(code))
    return html_response("Recover your account", form, script=_SEND_RECOVERY)


def return_page(code: str) -> HTMLResponse:
    """Make the page that restores a deleted account or organization with an emailed code."""
    return _button_page(
        "Restore what was deleted?",
        code,
        path="/auth/return",
        label="Restore it",
        done="It is restored. You can sign in now.",
    )


def _button_page(title: str, code: str, *, path: str, label: str, done: str) -> HTMLResponse:
    form = _BUTTON.format(code=escape(code), path=path, label=label, done=done)
    return html_response(title, form, script=_SEND_CODE)


def login_page(offered: Sequence[Offered], return_to: str) -> HTMLResponse:
    """Make the sign-in page. `return_to` is the path to go to afterwards."""
    return html_response(
        "Sign in",
        f"{_OWN_FORM}{_PASSKEY}{factor_form(hidden=True)}{_buttons(offered)}{_end(return_to)}",
        script=_SIGN_IN,
    )


def factor_page(return_to: str) -> HTMLResponse:
    """Make the page that asks for a second factor, after a login at a provider."""
    return html_response(
        "Confirm that it is you",
        f"{factor_form(hidden=False)}{_end(return_to)}",
        script=_ASK_FACTOR,
    )


def confirm_page(known: KnownAddress, offered: Sequence[Offered], return_to: str) -> HTMLResponse:
    """Make the page that asks the owner of an address to sign in, so that a login is added to their account."""
    own = [one for one in offered if one.provider.value in set(known.methods)]
    form = _OWN_FORM if Method.PASSWORD in known.methods else ""
    return html_response(
        "You already have an account",
        "<p>There is an account with your address. Sign in to it within ten minutes, and you can use this login too from "
        f"then on.</p>{form}{factor_form(hidden=True)}{_buttons(own)}{_end(return_to)}",
        script=_SIGN_IN,
    )


def register_page(unknown: Unknown) -> HTMLResponse:
    """Make the page that finishes a registration with a login."""
    who = f"You are signed in as {escape(unknown.name)}." if unknown.name else ""
    body = _REGISTER.format(
        who=who,
        provider=unknown.provider.value.upper(),
        token=escape(unknown.token),
        email="" if unknown.email else _EMAIL,
    )
    return html_response("Create your account", body, script=_SEND_REGISTRATION)


def finished_page(title: str, return_to: str) -> HTMLResponse:
    """Make the page that says that a login was finished."""
    onward = f'<p><a href="{escape(return_to)}">Go on</a></p>'
    return html_response(title, f"<p>You can close this page.</p>{onward}")


def login_refused_page(error: AppError) -> HTMLResponse:
    """Make the page that says why nobody was signed in, with a way back."""
    messages: Collection[str] = [problem.message for problem in error.problems] or [error.message]
    words = "".join(f"<p>{escape(message)}</p>" for message in messages)
    status = error.status if error.status != HTTPStatus.UNAUTHORIZED else HTTPStatus.FORBIDDEN
    return html_response(
        "You are not signed in",
        f'{words}<p><a href="/auth/login">Sign in another way</a></p>',
        status=status,
    )


def _buttons(offered: Sequence[Offered]) -> str:
    return "".join(
        _PROVIDER.format(provider=one.provider.value.upper(), name=escape(one.name))
        for one in offered
        if one.provider in _BY_REDIRECT
    )


def _end(return_to: str) -> str:
    return _END.format(return_to=escape(return_to))

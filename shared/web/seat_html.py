"""The HTML pages of mailed links about seats: joining an organization by an invitation, and accepting its ownership.

Opening one changes nothing, because mail programs and scanners also open links; its button sends the request.
"""

from html import escape
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse

from shared.core.ids import OfferId
from shared.organizations.letters import ROLE_WORDS, day
from shared.organizations.models import Role
from shared.organizations.ownership_queries import OfferedTo
from shared.web.html import html_response, sign_in_page

_NEEDS_SCRIPT = "<noscript><p>This page needs JavaScript.</p></noscript>"
_SAID = '<p id="said" role="status"></p>'
_POST = """
const form = document.getElementById("form"), said = document.getElementById("said");
const post = async (path, body, headers = {}) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: {"content-type": "application/json", ...headers},
    body: JSON.stringify(body),
  });
  const result = await answer.json();
  if (!answer.ok) said.textContent = result.errors ? result.errors[0].message : result.detail;
  return answer.ok ? result : null;
};
"""
_JOIN = """
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const joined = await post("/user/join-org", {org: form.dataset.token});
  if (!joined) return;
  await post("/user/change-org", {id: joined.id});
  said.textContent = "You have joined. The organization is selected.";
  form.remove();
});
"""
_SIGN_OUT = """
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await post("/user/logout", {})) location.reload();
});
"""
_REGISTER = """
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const made = await post("/auth/register", {...Object.fromEntries(new FormData(form)), org: form.dataset.token});
  if (!made) return;
  said.textContent = made.activate
    ? "We have sent you an email. Open its link to activate your account and join."
    : "Your account is ready, and you have joined.";
  form.remove();
});
"""
_ACCEPT = """
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const accepted = await post(`/organizations/ownership/${form.dataset.offer}/accept`, {},
    {showorg: form.dataset.organization});
  if (!accepted) return;
  said.textContent = "You own the organization now.";
  form.remove();
});
"""


def invitation_page(token: str, organization: str, role: Role, email: str) -> HTMLResponse:
    """Make the page on which somebody who is signed in joins an organization."""
    body = f"""
<p>You join <strong>{escape(organization)}</strong> as {ROLE_WORDS[role]}.</p>
<form id="form" data-token="{escape(token)}"><button>Join</button></form>
{_NEEDS_SCRIPT}{_SAID}
<p>You are signed in as {escape(email)}.</p>
"""
    return html_response(f"Join {organization}?", body, script=_POST + _JOIN)


def wrong_guest_page(organization: str, email: str) -> HTMLResponse:
    """Make the page for somebody whose address is not the one that the invitation is for."""
    body = f"""
<p>This invitation to <strong>{escape(organization)}</strong> is for another address than {escape(email)}. Sign out, and sign
in with the address that it was sent to.</p>
<form id="form"><button>Sign out</button></form>
{_NEEDS_SCRIPT}{_SAID}
"""
    return html_response("This invitation is for another address", body, script=_POST + _SIGN_OUT)


def member_page(organization: str) -> HTMLResponse:
    """Make the page for somebody who has a seat already."""
    body = f"<p>You are a member of <strong>{escape(organization)}</strong> already.</p>"
    return html_response("You are a member already", body)


def invited_sign_in_page(token: str, giver: str, organization: str, role: Role) -> HTMLResponse:
    """Make the page that signs in somebody who is invited, or leads to a new account."""
    new = urlencode({"org": token, "new": "true"})
    return sign_in_page(
        f"{giver} invites you to join {organization} as {ROLE_WORDS[role]}. Sign in to answer.",
        more=f'<p>You have no account? <a href="/app?{escape(new)}">Create one</a>.</p>',
    )


def invited_account_page(token: str, organization: str) -> HTMLResponse:
    """Make the page that registers somebody who is invited."""
    body = f"""
<p>You register to join <strong>{escape(organization)}</strong>. Use the address that the invitation was sent to.</p>
<form id="form" data-token="{escape(token)}">
<label>Email address<input name="email" type="email" autocomplete="username" required></label>
<label>Password<input name="password" type="password" minlength="8" autocomplete="new-password" required></label>
<button>Create the account</button>
</form>
{_NEEDS_SCRIPT}{_SAID}
"""
    return html_response("Create your account", body, script=_POST + _REGISTER)


def ownership_page(offer_id: OfferId, offer: OfferedTo) -> HTMLResponse:
    """Make the page on which a member accepts the ownership of an organization."""
    how = "They become an admin." if offer.steps_down else "They stay an owner."
    body = f"""
<p>{escape(offer.offered_by_name)} offers you to own <strong>{escape(offer.organization_name)}</strong>. {how} The offer ends
on {day(offer.expires_at)}.</p>
<form id="form" data-offer="{offer_id}" data-organization="{offer.organization_id}"><button>Accept</button></form>
{_NEEDS_SCRIPT}{_SAID}
"""
    return html_response("Own this organization?", body, script=_POST + _ACCEPT)

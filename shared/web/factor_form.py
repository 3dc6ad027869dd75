"""The part of a sign-in page that asks for a second factor: a form, and the script that shows and sends it."""

FACTOR_FORM = """
<form id="factor"{hidden}>
<p>Enter the code of your authenticator app, or one of your recovery codes.</p>
<label>Code<input name="code" autocomplete="one-time-code" maxlength="40" required></label>
<label><input name="remember" type="checkbox"> Do not ask in this browser for 30 days</label>
<button>Sign in</button>
</form>
"""
FACTOR_SCRIPT = """
const factor = document.getElementById("factor");
function askFactor(done) {
  factor.hidden = false;
  factor.addEventListener("submit", async (event) => {
    event.preventDefault();
    const typed = factor.elements.code.value.replace(/\\s/g, "");
    const answer = await fetch("/auth/mfa", {
      method: "POST",
      headers: {"content-type": "application/json"},
      body: JSON.stringify({
        [/^\\d{6}$/.test(typed) ? "code" : "recoveryCode"]: typed, remember: factor.elements.remember.checked,
      }),
    });
    if (answer.ok) done();
    else document.getElementById("said").textContent = (await answer.json()).detail;
  });
}
"""


def factor_form(*, hidden: bool) -> str:
    """Return the form, hidden until the script shows it."""
    return FACTOR_FORM.format(hidden=" hidden" if hidden else "")

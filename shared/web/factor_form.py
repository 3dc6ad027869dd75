"""The part of a sign-in page that asks for a second factor: a form, and the script that shows and sends it."""

FACTOR_FORM = """
<form id="factor"{hidden}>
<p>Enter the code of your authenticator app, or one of your recovery codes.</p>
<label>Code<input name="code" autocomplete="one-time-code" maxlength="40" required></label>
<label><input name="remember" type="checkbox"> Do not ask in this browser for 30 days</label>
<button>Sign in</button>
<button type="button" class="second" id="passkey">Use a passkey</button>
</form>
"""
FACTOR_SCRIPT = """
const factor = document.getElementById("factor");
async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body),
  });
  const read = await answer.json();
  if (!answer.ok) throw new Error(read.errors ? read.errors[0].message : read.detail);
  return read;
}
async function usePasskey(asks, proves, more, done) {
  try {
    const {options} = await send(asks, {});
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const signed = await navigator.credentials.get({publicKey});
    await send(proves, {passkey: signed.toJSON(), ...more()});
    done();
  } catch (error) {
    document.getElementById("said").textContent = error.message;
  }
}
function askFactor(done) {
  factor.hidden = false;
  const remember = () => ({remember: factor.elements.remember.checked});
  document.getElementById("passkey").addEventListener(
    "click", () => usePasskey("/auth/mfa/options", "/auth/mfa", remember, done));
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

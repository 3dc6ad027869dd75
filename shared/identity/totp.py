"""The codes of authenticator apps: RFC 6238 with SHA-1, six digits and 30 seconds, as all these apps know them.

Secrets have 160 bits (RFC 4226, section 4, requirement R6).
"""

import hmac
import io

import pyotp

from shared.core import clock

STEP_SECONDS = 30
DRIFT_STEPS = 1
"""By how many steps the clock of the app may differ from ours."""
_ISSUER = "Roost"
_SECRET_LETTERS = 32  # of five bits


def new_totp_secret() -> str:
    """Create a secret, in base32 as apps take it."""
    return pyotp.random_base32(_SECRET_LETTERS)


def address_of(secret: str, email: str) -> str:
    """Return the `otpauth:` address that an app reads.

    Source: github.com/google/google-authenticator/wiki/Key-Uri-Format, read 2026-12-01.
    """
    return str(pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=_ISSUER))


def picture_of(address: str) -> str:
    """Return a QR code of an address as SVG."""
    import segno  # needed where somebody adds an app, not at every start

    written = io.BytesIO()
    segno.make(address, error="m", micro=False).save(
        written, kind="svg", scale=4, border=4, xmldecl=False, light="#fff"
    )
    return written.getvalue().decode()


def step_of(secret: str, code: str) -> int | None:
    """Return the step for which `code` is the right one, at most `DRIFT_STEPS` from now; None if there is none.

    Every step is compared, so the time does not depend on which one matches.
    """
    now = int(clock.now().timestamp()) // STEP_SECONDS
    generated, typed = pyotp.TOTP(secret, interval=STEP_SECONDS), code.encode()
    matching = [
        step
        for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1)
        if hmac.compare_digest(generated.generate_otp(step).encode(), typed)
    ]
    return max(matching, default=None)

"""Passkeys (WebAuthn): adds them, and verifies what an authenticator has signed.

    wanted = options_to_add(session, user_id, email=...)        the browser calls `navigator.credentials.create` with them
    new = verify_new(session, user_id, credential)
    codes = add_passkey(session, user_id, new, name=...)
    wanted = options_to_prove(session, user_id)                 without a user, the person chooses a passkey: a login without an address
    proven = verify(session, user_id, credential)

A challenge is a row of `challenges`, so it works once; verifying runs in autocommit, so that one whose answer is refused is used up
too. The relying party is the host of `PUBLIC_URL`; its origins are `PUBLIC_URL` and
`CORS_ORIGINS`. The library takes a tenth of a second to import, so only what needs it does.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from shared.core.config import settings
from shared.core.ids import FactorId, UserId, new_id
from shared.core.log import log
from shared.identity import letters, recovery_codes
from shared.identity.challenges import add_challenge, use_challenge
from shared.identity.errors import PasskeyRefused, TooManyFactors
from shared.identity.factors import MOST_FACTORS
from shared.identity.mails import queue_letter_of_refusal
from shared.identity.models import ChallengeKind
from shared.identity.passkey_queries import (
    ADD_PASSKEY,
    FIND_PASSKEY,
    LIST_CREDENTIALS,
    USE_PASSKEY,
)

CHALLENGE_LIFE = timedelta(minutes=5)
_NAME = "Roost"
# Source: www.w3.org/TR/webauthn-3, section 5.8.4, read 2026-12-01.
_TRANSPORTS = frozenset({"ble", "hybrid", "internal", "nfc", "smart-card", "usb"})

# The library lets these through for text that is not ASCII, and for a key without one of its parts.
_UNREADABLE = (ValueError, KeyError)

Credential = Mapping[str, Any]
"""What a browser returns from `navigator.credentials`, as JSON."""


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that an authenticator has made, verified but not stored."""

    id: FactorId
    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]


@dataclass(frozen=True, slots=True)
class ProvenPasskey:
    """A passkey that was just proven, and whose it is."""

    factor_id: FactorId
    user_id: UserId
    sign_count: int


def options_to_add(session: Session, user_id: UserId, *, email: str) -> dict[str, Any]:
    """Return what `navigator.credentials.create` takes. The passkey is one that can be chosen without an address."""
    import webauthn
    from webauthn.helpers import structs

    secret = add_challenge(
        session,
        ChallengeKind.PASSKEY,
        life=CHALLENGE_LIFE,
        user_id=user_id,
        remember={"adds": True},
    )
    known = LIST_CREDENTIALS.all(session, user_id)
    wanted = webauthn.generate_registration_options(
        rp_id=_relying_party(),
        rp_name=_NAME,
        user_id=user_id.bytes,
        user_name=email,
        user_display_name=email,
        challenge=_decoded(secret),
        exclude_credentials=[
            structs.PublicKeyCredentialDescriptor(id=one.credential_id) for one in known
        ],
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
    )
    return _as_json(webauthn.options_to_json(wanted))


def verify_new(session: Session, user_id: UserId, credential: Credential) -> NewPasskey:
    """Verify a passkey that an authenticator has made for a user. Its challenge is used up.

    Raises:
        PasskeyRefused: the challenge is unknown, used or too old, or the answer proves nothing.
    """
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    secret = challenge_of(credential)
    _use(session, secret, user_id, adds=True)
    try:
        verified = webauthn.verify_registration_response(
            credential=dict(credential),
            expected_challenge=_decoded(secret),
            expected_rp_id=_relying_party(),
            expected_origin=_origins(),
            require_user_verification=True,
        )
    except (WebAuthnException, *_UNREADABLE) as error:
        raise _refused(error) from error
    return NewPasskey(
        FactorId(new_id()),
        verified.credential_id,
        verified.credential_public_key,
        verified.sign_count,
        _transports(credential),
    )


def add_passkey(session: Session, user_id: UserId, new: NewPasskey, *, name: str) -> list[str]:
    """Store a passkey. Returns recovery codes if it is the person's first factor, otherwise none.

    Raises:
        TooManyFactors: the person has `MOST_FACTORS`.
        PasskeyRefused: the passkey is known already.
    """
    codes = recovery_codes.new_codes()
    added = ADD_PASSKEY.find(
        session,
        id=new.id,
        user_id=user_id,
        name=name,
        credential_id=new.credential_id,
        public_key=new.public_key,
        sign_count=new.sign_count,
        transports=new.transports,
        code_hashes=[recovery_codes.hash_code(each).hex() for each in codes],
        most=MOST_FACTORS,
    )
    if added is None:
        if FIND_PASSKEY.find(session, new.credential_id):
            raise PasskeyRefused
        raise TooManyFactors(MOST_FACTORS)
    return codes if added.is_first else []


def options_to_prove(session: Session, user_id: UserId | None) -> tuple[dict[str, Any], str]:
    """Return what `navigator.credentials.get` takes, and the challenge. Without a user, the person chooses a passkey."""
    import webauthn
    from webauthn.helpers import structs

    secret = add_challenge(session, ChallengeKind.PASSKEY, life=CHALLENGE_LIFE, user_id=user_id)
    known = LIST_CREDENTIALS.all(session, user_id) if user_id else []
    wanted = webauthn.generate_authentication_options(
        rp_id=_relying_party(),
        challenge=_decoded(secret),
        allow_credentials=[
            structs.PublicKeyCredentialDescriptor(id=one.credential_id) for one in known
        ],
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return _as_json(webauthn.options_to_json(wanted)), secret


def verify(session: Session, user_id: UserId | None, credential: Credential) -> ProvenPasskey:
    """Verify that an authenticator has signed a challenge, which is used up, with a passkey of the user it was made for.

    The user must have unlocked the authenticator, so a passkey alone proves two factors. `user_id` is None for a login without an
    address. The counter is recorded by the statement that uses the passkey.

    Raises:
        PasskeyRefused: the challenge is unknown, used or too old, the passkey is unknown or another person's, the answer proves
            nothing, or the counter went back.
    """
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    secret = challenge_of(credential)
    _use(session, secret, user_id, adds=False)
    known = FIND_PASSKEY.find(session, _decoded(_text(credential, "rawId")))
    if known is None or user_id not in {None, known.user_id}:
        raise PasskeyRefused
    try:
        verified = webauthn.verify_authentication_response(
            credential=dict(credential),
            expected_challenge=_decoded(secret),
            expected_rp_id=_relying_party(),
            expected_origin=_origins(),
            credential_public_key=known.public_key,
            credential_current_sign_count=0,  # compared below, so that a copy is noticed
            require_user_verification=True,
        )
    except (WebAuthnException, *_UNREADABLE) as error:
        raise _refused(error) from error
    counter = verified.new_sign_count
    if counter <= known.sign_count and (counter, known.sign_count) != (0, 0):
        log.warning("passkey.counter_went_back", extra={"user_id": str(known.user_id)})
        queue_letter_of_refusal(known.email, letters.passkey_copied())
        raise PasskeyRefused
    return ProvenPasskey(known.id, known.user_id, counter)


def use_passkey(session: Session, proven: ProvenPasskey) -> None:
    """Record that a passkey was used.

    Raises:
        PasskeyRefused: it was removed meanwhile, or used with a later counter.
    """
    if not USE_PASSKEY.run(session, proven.factor_id, proven.sign_count):
        raise PasskeyRefused


def _use(session: Session, secret: str, user_id: UserId | None, *, adds: bool) -> None:
    used = use_challenge(session, ChallengeKind.PASSKEY, secret)
    if used is None or used.user_id != user_id or bool(used.remember.get("adds")) is not adds:
        raise PasskeyRefused


def challenge_of(credential: Credential) -> str:
    """Return the challenge that an authenticator has signed.

    Raises:
        PasskeyRefused: the answer cannot be read.
    """
    response = credential.get("response")
    if not isinstance(response, Mapping):
        raise PasskeyRefused
    try:
        signed = json.loads(_decoded(_text(response, "clientDataJSON")))
    except ValueError as error:
        raise PasskeyRefused from error
    if not isinstance(signed, dict):
        raise PasskeyRefused
    return _text(signed, "challenge")


def _transports(credential: Credential) -> list[str]:
    given = credential["response"].get("transports")
    return (
        sorted(_TRANSPORTS.intersection(one for one in given if isinstance(one, str)))
        if isinstance(given, list)
        else []
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str):
        raise PasskeyRefused
    return value


def _decoded(text: str) -> bytes:
    """Decode base64url without padding.

    Raises:
        PasskeyRefused: it is none.
    """
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except ValueError as error:
        raise PasskeyRefused from error


def _relying_party() -> str:
    return urlsplit(settings().public_url).hostname or ""


def _origins() -> list[str]:
    return [settings().public_url, *settings().cors_origins]


def _as_json(options: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(options)
    return read


def _refused(error: Exception) -> PasskeyRefused:
    log.info("passkey.refused", extra={"reason": str(error)[:200]})
    return PasskeyRefused()

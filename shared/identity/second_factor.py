"""Checks the codes of second factors, at sign-in and when a signed-in person confirms their identity.

    opened = pass_second_factor(session, secret, TypedCode(Method.TOTP, "123456"), browser, remember=False)
    proven = prove_again(session, user_id, TypedCode(Method.RECOVERY_CODE, "7K3M-..."), browser)

Passkeys prove the same without a code. All run in autocommit, because wrong codes must stay counted although the request is refused.
"""

import hmac
import math
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from shared.aws.keys import open_sealed
from shared.core.crypto import Purpose, hash_secret
from shared.core.ids import UserId
from shared.core.log import log
from shared.identity import devices, letters, passkeys, recovery_codes, totp
from shared.identity.challenges import find_challenge
from shared.identity.code_queries import (
    COUNT_CODE,
    COUNT_LOGIN_CODE,
    FORGIVE_CODE,
    CountedLoginCode,
)
from shared.identity.errors import (
    CodesPaused,
    PasskeyRefused,
    SecondFactorOver,
    SessionOver,
    WrongCode,
)
from shared.identity.factors import PROOFS
from shared.identity.mails import queue_letter, queue_letter_of_refusal
from shared.identity.models import ChallengeKind, Method
from shared.identity.passkeys import Credential
from shared.identity.recovery_queries import STOP_RECOVERY_OF
from shared.identity.sessions import (
    Browser,
    Evidence,
    FactorNeeded,
    SessionTokens,
    UsedFactor,
    open_proven_session,
    open_session,
)

WARNED_AFTER = 10
"""After how many wrong codes the person gets an email."""


@dataclass(frozen=True, slots=True)
class TypedCode:
    """A code, and of what it is one: an authenticator app or the recovery codes."""

    method: Method
    code: str = field(repr=False)


def pass_second_factor(
    session: Session, secret: str, typed: TypedCode, browser: Browser, *, remember: bool
) -> tuple[UserId, SessionTokens]:
    """Open the session that waits for a second factor, and return whose it is. `secret` is the one in the browser's cookie.

    Raises:
        SecondFactorOver: nothing waits in this browser, it took too long, or there were too many wrong codes.
        CodesPaused: there were too many wrong codes for this person. The code was not checked.
        WrongCode: it is wrong, or was used.
    """
    rows = COUNT_LOGIN_CODE.all(session, hash_secret(secret), devices.hashes(browser.devices))
    if not rows:
        raise SecondFactorOver
    counted = rows[0]
    if not counted.may_try:
        raise CodesPaused(_whole(counted.wait_seconds))
    if not counted.is_tried:
        raise SecondFactorOver
    factor = _used_factor(rows, typed)
    evidence = Evidence({*map(Method, counted.remember["methods"]), typed.method})
    tokens = None
    if factor is not None:
        tokens = open_proven_session(
            session, counted.user_id, secret, factor, evidence, browser, remember=remember
        )
    if tokens is None:
        _note_wrong(counted.user_id, counted.email, counted.guesses)
        raise WrongCode
    return counted.user_id, tokens


def options_for_second_factor(session: Session, secret: str) -> dict[str, Any]:
    """Return what the browser needs to prove the second factor of a sign-in with a passkey.

    Raises:
        SecondFactorOver: nothing waits in this browser, or it took too long.
    """
    return passkeys.options_to_prove(session, _waiting(session, secret)[0])[0]


def pass_by_passkey(
    session: Session, secret: str, credential: Credential, browser: Browser, *, remember: bool
) -> tuple[UserId, SessionTokens]:
    """Open the session that waits for a second factor, with a passkey, and return whose it is.

    Raises:
        SecondFactorOver: nothing waits in this browser, or it took too long.
        PasskeyRefused: the passkey proves nothing.
    """
    user_id, methods = _waiting(session, secret)
    proven = passkeys.verify(session, user_id, credential)
    factor = UsedFactor(Method.PASSKEY, factor_id=proven.factor_id, sign_count=proven.sign_count)
    evidence = Evidence({*methods, Method.PASSKEY})
    tokens = open_proven_session(
        session, user_id, secret, factor, evidence, browser, remember=remember
    )
    if tokens is None:
        raise SecondFactorOver
    return user_id, tokens


def sign_in_by_passkey(
    session: Session, credential: Credential, kept_challenge: str | None, browser: Browser
) -> tuple[UserId, SessionTokens]:
    """Sign in with a passkey that the person chose, without an address. `kept_challenge` is the one in the browser's cookie.

    Raises:
        PasskeyRefused: the challenge is not this browser's, or the passkey proves nothing.
    """
    challenge = passkeys.challenge_of(credential)
    if not kept_challenge or not hmac.compare_digest(challenge.encode(), kept_challenge.encode()):
        raise PasskeyRefused
    proven = passkeys.verify(session, None, credential)
    passkeys.use_passkey(session, proven)
    opened = open_session(session, proven.user_id, Evidence({Method.PASSKEY}), browser)
    if isinstance(opened, FactorNeeded):
        raise PasskeyRefused
    return proven.user_id, opened


def prove_by_passkey(session: Session, user_id: UserId, credential: Credential) -> Evidence:
    """Prove a second factor of a signed-in person with a passkey.

    Raises:
        PasskeyRefused: the passkey proves nothing.
    """
    proven = passkeys.verify(session, user_id, credential)
    passkeys.use_passkey(session, proven)
    STOP_RECOVERY_OF.run(session, user_id)
    return Evidence({Method.PASSKEY})


def _waiting(session: Session, secret: str) -> tuple[UserId, set[Method]]:
    waiting = find_challenge(session, ChallengeKind.SECOND_FACTOR, secret)
    if waiting is None or waiting.user_id is None:
        raise SecondFactorOver
    return waiting.user_id, set(map(Method, waiting.remember["methods"]))


def prove_again(session: Session, user_id: UserId, typed: TypedCode, browser: Browser) -> Evidence:
    """Prove a second factor of a signed-in person.

    Raises:
        CodesPaused: there were too many wrong codes for this person. The code was not checked.
        WrongCode: it is wrong, or was used.
    """
    counted = COUNT_CODE.find(session, user_id, devices.hashes(browser.devices))
    if counted is None:
        raise SessionOver
    if not counted.may_try:
        raise CodesPaused(_whole(counted.wait_seconds))
    try:
        proven = PROOFS[typed.method](session, user_id, typed.code)
    except WrongCode:
        _note_wrong(user_id, counted.email, counted.guesses)
        raise
    FORGIVE_CODE.run(session, counted.own_key)
    STOP_RECOVERY_OF.run(session, user_id)
    if proven.codes_left is not None:
        queue_letter(session, counted.email, letters.recovery_code_used(proven.codes_left))
    return Evidence({proven.method})


def _used_factor(rows: list[CountedLoginCode], typed: TypedCode) -> UsedFactor | None:
    """Return what the code proves; None if it is a wrong code of an app. A wrong recovery code is found out when it is used."""
    own_key = rows[0].own_key
    if typed.method is Method.RECOVERY_CODE:
        code_hash = recovery_codes.hash_code(typed.code)
        return UsedFactor(typed.method, own_key, code_hash=code_hash)
    for row in rows:
        if row.secret is None:
            continue
        secret = open_sealed(row.secret, Purpose.FACTOR, row.user_id)
        step = totp.step_of(secret, typed.code)
        if step is not None:
            return UsedFactor(typed.method, own_key, factor_id=row.factor_id, step=step)
    return None


def _note_wrong(user_id: UserId, email: str, guesses: int | None) -> None:
    """Log a wrong code, and email the person if it is number `WARNED_AFTER`."""
    log.info("second_factor.refused", extra={"user_id": str(user_id)})
    if guesses == WARNED_AFTER:
        queue_letter_of_refusal(email, letters.codes_guessed())


def _whole(seconds: float | None) -> int:
    return max(1, math.ceil(seconds or 1))

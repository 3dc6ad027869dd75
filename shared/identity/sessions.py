"""Starts, renews, confirms and ends sessions.

These run in autocommit, as single statements, because their records (a wrong password, a stolen token) must persist
although the request is refused.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor, Entry, entries_json
from shared.audit.record import record
from shared.core import clock
from shared.core.config import settings
from shared.core.crypto import hash_secret, new_secret
from shared.core.ids import ConnectionId, DeviceId, FactorId, SessionId, UserId, new_id
from shared.core.log import log
from shared.db.statement import Json
from shared.identity import devices, letters, queries, session_queries
from shared.identity.errors import LoginRefused, NotActivated, SessionOver, WrongPassword
from shared.identity.guess_queries import RECORD_REFUSED_LOGIN, CountedConfirmation, CountedGuess
from shared.identity.guesses import count_confirmation, count_guess, forgive_guess
from shared.identity.mails import queue_letter
from shared.identity.models import SECOND_FACTORS, Method
from shared.identity.passwords import hash_password, is_outdated, is_password
from shared.identity.tokens import (
    SessionClaims,
    read_renew_token,
    sign_access_token,
    sign_renew_token,
)
from shared.identity.user_agents import device_name

WHOLE_LIFE = timedelta(days=90)
"""How long a session lasts however often it is renewed."""
MOST_SESSIONS = 100
"""How many sessions a person has; with another one, the longest unused ends."""
# A browser's parallel requests may all send the token that the first of them has just replaced.
GRACE = timedelta(seconds=30)
FACTOR_LIFE = timedelta(minutes=5)
"""How long a person may take to prove their second factor."""
REMEMBERED = timedelta(days=30)
"""How long a device that is remembered needs no second factor."""
_MAX_USER_AGENT = 300


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser that sent a request, so that users recognize their sessions. `devices` are the tokens in its cookie.

    `country` is two letters; None if no trusted proxy says it. `request_id` is for the audit log.
    """

    ip: str | None = None
    user_agent: str | None = None
    devices: tuple[str, ...] = ()
    country: str | None = None
    request_id: str | None = None

    @property
    def visitor(self) -> Actor:
        """The sender of the request, for the audit log. Whose account it is about is found out later."""
        return Actor(request_id=self.request_id, address=self.ip)

    @property
    def stored_user_agent(self) -> str | None:
        """The user agent, cut to what is stored."""
        return (self.user_agent or "")[:_MAX_USER_AGENT] or None


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """The tokens for a browser. `renew` and `devices`, its cookies, are None if they stay as they are.

    `is_new_device` says that the user has signed in before, but from other devices only.
    """

    access: str
    renew: str | None
    devices: str | None = None
    is_new_device: bool = False


@dataclass(frozen=True, slots=True)
class FactorNeeded:
    """The person has to prove a second factor, by one of the methods. `secret` is for the browser's cookie."""

    secret: str = field(repr=False)
    methods: list[Method]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a person has just proven: by which methods, and the hash of the password if it is one of them.

    `connection_id` is the company login through which they came.
    """

    methods: Collection[Method]
    password_hash: str | None = None
    connection_id: ConnectionId | None = None


@dataclass(frozen=True, slots=True)
class UsedFactor:
    """What proves a second factor at sign-in: the step of an app, the counter of a passkey, or the hash of a recovery code.

    `own_key` is the one under which the guess was counted; a passkey is not guessed.
    """

    method: Method
    own_key: str = ""
    factor_id: FactorId | None = None
    step: int | None = None
    sign_count: int | None = None
    code_hash: bytes | None = field(default=None, repr=False)


def log_in(
    session: Session, *, email: str, password: str, browser: Browser
) -> tuple[UserId, SessionTokens | FactorNeeded]:
    """Open a session for the user with this password, unless they need a second factor, and return whose it is.

    Raises:
        LoginRefused: the address or password is wrong.
        GuessesPaused: there were too many wrong passwords, so it was not checked.
        NotActivated: they are right, but the address was never verified.
    """
    guess = count_guess(session, email, ip=browser.ip, tokens=browser.devices)
    if not is_password(password, guess.password_hash) or guess.user_id is None:
        log.info("login.refused", extra={"user_id": str(guess.user_id)})
        audit = entries_json(browser.visitor, Entry(Action.ACCOUNT_LOGIN_REFUSED))
        RECORD_REFUSED_LOGIN.one(session, email, audit)
        raise LoginRefused
    stored = _forgive(session, guess, guess.user_id, password)
    if not guess.is_active:
        raise NotActivated
    evidence = Evidence({Method.PASSWORD}, stored)
    return guess.user_id, open_session(session, guess.user_id, evidence, browser)


def open_session(
    session: Session, user_id: UserId, evidence: Evidence, browser: Browser
) -> SessionTokens | FactorNeeded:
    """Open a session for an authenticated user, and email them if they never signed in from this device.

    A user who has a second factor has to prove it first, unless it is among the evidence or the device is remembered. The longest
    unused session beyond `MOST_SESSIONS` ends.

    Raises:
        LoginRefused: the user is gone, or has changed the password since it was proven.
    """
    session_id, secret = SessionId(new_id()), new_secret()
    renew, new_token = sign_renew_token(session_id), devices.new_token()
    opened = session_queries.OPEN_SESSION.find(
        session,
        user_id=user_id,
        session_id=session_id,
        renew_hash=hash_secret(renew),
        life_seconds=_life().total_seconds(),
        whole_life_seconds=WHOLE_LIFE.total_seconds(),
        methods=sorted(evidence.methods),
        password_hash=evidence.password_hash,
        most=MOST_SESSIONS,
        ip=browser.ip,
        country=browser.country,
        user_agent=browser.stored_user_agent,
        devices=devices.hashes(browser.devices),
        new_device_id=DeviceId(new_id()),
        new_device=hash_secret(new_token),
        is_strong=not SECOND_FACTORS.isdisjoint(evidence.methods),
        challenge_hash=hash_secret(secret),
        challenge_seconds=FACTOR_LIFE.total_seconds(),
        connection_id=evidence.connection_id,
        audit=_proof_entry(Action.SESSION_STARTED, user_id, session_id, evidence, browser),
    )
    if opened is None:
        raise LoginRefused
    if opened.asked is not None:
        return FactorNeeded(secret, [Method(method) for method in opened.asked])
    _log_started(user_id, session_id, evidence)
    return _tokens(session, SessionClaims(user_id, session_id), renew, new_token, opened, browser)


def open_proven_session(
    session: Session,
    user_id: UserId,
    secret: str,
    factor: UsedFactor,
    evidence: Evidence,
    browser: Browser,
    *,
    remember: bool,
) -> SessionTokens | None:
    """Open the session for which the challenge `secret` asked for a second factor; None if the factor or the challenge is used.

    With `remember`, signing in from this device needs no second factor for `REMEMBERED`.
    """
    session_id = SessionId(new_id())
    renew, new_token = sign_renew_token(session_id), devices.new_token()
    opened = session_queries.OPEN_PROVEN_SESSION.find(
        session,
        user_id=user_id,
        challenge_hash=hash_secret(secret),
        factor_id=factor.factor_id,
        step=factor.step,
        sign_count=factor.sign_count,
        code_hash=factor.code_hash,
        own_key=factor.own_key,
        remember_seconds=REMEMBERED.total_seconds() if remember else None,
        session_id=session_id,
        renew_hash=hash_secret(renew),
        life_seconds=_life().total_seconds(),
        whole_life_seconds=WHOLE_LIFE.total_seconds(),
        methods=sorted(evidence.methods),
        most=MOST_SESSIONS,
        ip=browser.ip,
        country=browser.country,
        user_agent=browser.stored_user_agent,
        devices=devices.hashes(browser.devices),
        new_device_id=DeviceId(new_id()),
        new_device=hash_secret(new_token),
        audit=_proof_entry(Action.SESSION_STARTED, user_id, session_id, evidence, browser),
    )
    if opened is None:
        return None
    if factor.method is Method.RECOVERY_CODE:
        queue_letter(session, opened.email, letters.recovery_code_used(opened.codes_left))
    _log_started(user_id, session_id, evidence)
    return _tokens(session, SessionClaims(user_id, session_id), renew, new_token, opened, browser)


def check_password(
    session: Session,
    user_id: UserId,
    session_id: SessionId,
    password: str,
    *,
    path: str = "password",
) -> str | None:
    """Check the password of a signed-in person and return its hash; None if the account has none. `path` is the request's field.

    Raises:
        WrongPassword: it is wrong.
        GuessesPaused: there were too many wrong ones in this session, so it was not checked.
    """
    guess = count_confirmation(session, user_id, session_id)
    if guess.password_hash is None:
        return None
    if not is_password(password, guess.password_hash):
        log.info("login.refused", extra={"user_id": str(user_id)})
        actor = Actor(user_id=user_id, session_id=session_id)
        record(session, actor, Action.ACCOUNT_LOGIN_REFUSED, user_id)
        raise WrongPassword(path)
    return _forgive(session, guess, user_id, password)


def confirm_session(
    session: Session, user_id: UserId, session_id: SessionId, evidence: Evidence, browser: Browser
) -> SessionTokens:
    """Record that the person of a session has proven their identity again. The session gets new tokens; the old ones end.

    Raises:
        SessionOver: the session has ended, or the password was changed since it was proven.
    """
    replaced_by = SessionId(new_id())
    renew = sign_renew_token(replaced_by)
    replaced = session_queries.REPLACE_SESSION.find(
        session,
        user_id=user_id,
        session_id=session_id,
        password_hash=evidence.password_hash,
        new_id=replaced_by,
        renew_hash=hash_secret(renew),
        life_seconds=_life().total_seconds(),
        methods=sorted(evidence.methods),
        ip=browser.ip,
        country=browser.country,
        user_agent=browser.stored_user_agent,
        audit=_proof_entry(Action.SESSION_CONFIRMED, user_id, replaced_by, evidence, browser),
    )
    if replaced is None:
        raise SessionOver
    return SessionTokens(sign_access_token(SessionClaims(user_id, replaced_by)), renew)


def hold_session(session: Session, user_id: UserId, session_id: SessionId) -> None:
    """Keep a session from ending until the transaction ends, so that nothing is made with a session that is just ending.

    Raises:
        SessionOver: it has ended.
    """
    if session_queries.HOLD_SESSION.find(session, user_id, session_id) is None:
        raise SessionOver


def renew(session: Session, token: str, browser: Browser) -> SessionTokens:
    """Return a new access token and replace the renew token.

    A token that was replaced less than `GRACE` ago still gets an access token. If an older one is used, it or its successor
    was stolen, so the session ends for both.

    Raises:
        SessionOver: the token is invalid or has expired.
    """
    session_id = read_renew_token(token)
    if session_id is None:
        raise SessionOver
    given, successor = hash_secret(token), sign_renew_token(session_id)
    renewed = session_queries.ROTATE.find(
        session,
        session_id,
        renew_hash=given,
        new_hash=hash_secret(successor),
        grace_seconds=GRACE.total_seconds(),
        life_seconds=_life().total_seconds(),
        ip=browser.ip,
        country=browser.country,
        user_agent=browser.stored_user_agent,
    )
    if renewed:
        claims = SessionClaims(renewed.user_id, session_id)
        return SessionTokens(sign_access_token(claims), successor)
    user_id = session_queries.find_in_grace(session, session_id, renew_hash=given)
    if user_id:
        return SessionTokens(sign_access_token(SessionClaims(user_id, session_id)), None)
    entry = Entry(Action.SESSION_ENDED, session_id, after={"reason": "renew_token_reused"})
    if session_queries.revoke_session(session, session_id, entries_json(browser.visitor, entry)):
        log.warning("session.reused", extra={"session_id": str(session_id)})
    raise SessionOver


def _forgive(
    session: Session, guess: CountedGuess | CountedConfirmation, user_id: UserId, password: str
) -> str | None:
    """Take back a guess that was right, hash the password again if there is a newer pepper, and return the stored hash.

    Raises:
        LoginRefused: the password was changed meanwhile.
    """
    is_old = guess.password_hash is not None and is_outdated(guess.password_hash)
    new_hash = hash_password(password) if is_old else None
    replaced = forgive_guess(session, guess, user_id, new_hash=new_hash)
    if new_hash is None:
        return guess.password_hash
    if replaced:
        return new_hash
    stored = queries.FIND_PASSWORD.one(session, user_id).password_hash
    if not is_password(password, stored):
        raise LoginRefused
    return stored  # another sign-in replaced it


def _log_started(user_id: UserId, session_id: SessionId, evidence: Evidence) -> None:
    log.info(
        "session.started",
        extra={
            "user_id": str(user_id),
            "session_id": str(session_id),
            "methods": sorted(evidence.methods),
        },
    )


def _tokens(
    session: Session,
    claims: SessionClaims,
    renew: str,
    new_device: str,
    opened: session_queries.OpenedSession | session_queries.OpenedProvenSession,
    browser: Browser,
) -> SessionTokens:
    is_new_device = opened.has_signed_in and not opened.is_known_device
    if is_new_device:
        _tell_new_device(session, opened.email, browser)
    added = None if opened.is_known_device else new_device
    return SessionTokens(
        sign_access_token(claims),
        renew,
        devices=devices.as_cookie(browser.devices, added),
        is_new_device=is_new_device,
    )


def end_session(session: Session, actor: Actor, user_id: UserId, session_id: SessionId) -> bool:
    """End one of a user's sessions; False if there is none."""
    audit = entries_json(actor, Entry(Action.SESSION_ENDED, session_id))
    return session_queries.revoke_session_of(session, user_id, session_id, audit)


def end_other_sessions(
    session: Session, actor: Actor, user_id: UserId, kept: SessionId | None
) -> int:
    """End all of a user's sessions except one, and return how many there were."""
    ended = session_queries.REVOKE_SESSIONS_OF.run(session, user_id, kept)
    if ended:
        record(session, actor, Action.ACCOUNT_SESSIONS_ENDED, user_id)
    return ended


def _proof_entry(
    action: Action, user_id: UserId, session_id: SessionId, evidence: Evidence, browser: Browser
) -> Json:
    actor = browser.visitor.as_user(user_id, session_id)
    return entries_json(actor, Entry(action, session_id, after={"methods": list(evidence.methods)}))


def _tell_new_device(session: Session, email: str, browser: Browser) -> None:
    place = " ".join(filter(None, [browser.ip or "unknown", browser.country]))
    letter = letters.new_device(device_name(browser.user_agent), place, clock.now())
    queue_letter(session, email, letter)


def _life() -> timedelta:
    return timedelta(days=settings().session_days)

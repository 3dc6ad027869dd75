"""Adds and removes a person's second factors, replaces their recovery codes, and forgets devices.

A factor that is added or removed ends the person's other sessions and forgets the devices that need none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.orm import Session

from shared.access.actor import person_of
from shared.access.context import ActingMember
from shared.access.endings import Ended, Event, end_access
from shared.audit.entries import Action
from shared.audit.record import record
from shared.core.formats.email import Letter
from shared.core.ids import DeviceId, FactorId, UserId
from shared.db.session import read_only, run
from shared.identity import factors, letters, passkeys
from shared.identity import queries as identity
from shared.identity.device_queries import FORGET_DEVICE
from shared.identity.errors import NoSuchDevice, SessionOver
from shared.identity.factors import NewTotp
from shared.identity.mails import queue_letter
from shared.identity.models import FactorKind, Method
from shared.identity.passkeys import Credential
from shared.identity.sessions import Browser, Evidence, SessionTokens, confirm_session
from shared.identity.totp import new_totp_secret

_NAMES = {FactorKind.TOTP: "An authenticator app", FactorKind.PASSKEY: "A passkey"}


@dataclass(frozen=True, slots=True)
class AddedFactor:
    """What follows from a new factor. `codes` are the recovery codes that come with the first one."""

    codes: list[str] = field(repr=False)
    ended: Ended
    tokens: SessionTokens


def begin_app(member: ActingMember, name: str) -> NewTotp:
    """Begin to add an authenticator app.

    Raises:
        TooManyFactors: the person has as many as there may be.
    """
    user_id, secret = member.person_id, new_totp_secret()
    sealed = factors.seal_totp_secret(user_id, secret)
    return run(
        lambda session: factors.begin_totp(
            session,
            user_id,
            email=identity.FIND_PASSWORD.one(session, user_id).email,
            name=name,
            sealed=sealed,
            secret=secret,
        )
    )


def finish_app(
    member: ActingMember, factor_id: FactorId, code: str, browser: Browser
) -> AddedFactor:
    """Add an authenticator app whose user has shown a code. It proves the second factor of this session too.

    Raises:
        NoSuchFactor: none waits, or it has waited for more than an hour.
        WrongCode: the code is wrong.
        SessionOver: the session has ended.
    """
    user_id = member.person_id
    with read_only() as session:
        secret = factors.find_pending_secret(session, user_id, factor_id)
    confirm = partial(
        factors.confirm_totp, user_id=user_id, factor_id=factor_id, secret=secret, code=code
    )
    return _add(member, factor_id, FactorKind.TOTP, confirm, browser)


def add_passkey(
    member: ActingMember, credential: Credential, name: str, browser: Browser
) -> tuple[FactorId, AddedFactor]:
    """Add a passkey that an authenticator has made, and return its id. It proves the second factor of this session too.

    Raises:
        PasskeyRefused: the answer proves nothing, or the passkey is known already.
        TooManyFactors: the person has as many as there may be.
        SessionOver: the session has ended.
    """
    with read_only() as session:
        new = passkeys.verify_new(session, member.person_id, credential)
    store = partial(passkeys.add_passkey, user_id=member.person_id, new=new, name=name)
    return new.id, _add(member, new.id, FactorKind.PASSKEY, store, browser)


def _add(
    member: ActingMember,
    factor_id: FactorId,
    kind: FactorKind,
    store: Callable[[Session], list[str]],
    browser: Browser,
) -> AddedFactor:
    """Add a factor by `store`, which returns the recovery codes, and end what ends with it."""
    if member.session_id is None or member.proof is None:
        raise SessionOver
    user_id, session_id = member.person_id, member.session_id
    evidence = Evidence({*member.proof.methods, Method(kind.value)})

    def add(session: Session) -> AddedFactor:
        # The user's row first, as in whatever else ends access.
        identity.LOCK_USER.find(session, user_id)
        codes = store(session)
        event = Event.CREDENTIAL_CHANGED
        by = person_of(member)
        ended = end_access(session, event, user_id, own_session=session_id, by=by)
        tokens = confirm_session(session, user_id, session_id, evidence, browser)
        record(session, person_of(member), Action.FACTOR_ADDED, factor_id, after={"kind": kind})
        _tell(session, user_id, letters.factor_changed(_NAMES[kind], added=True))
        return AddedFactor(codes, ended, tokens)

    return run(add)


def remove(session: Session, member: ActingMember, factor_id: FactorId) -> tuple[int, Ended]:
    """Remove a factor, and return how many are left and what has ended.

    Raises:
        NoSuchFactor: the person has no such factor.
    """
    user_id = member.person_id
    identity.LOCK_USER.find(session, user_id)
    removed = factors.remove_factor(session, user_id, factor_id)
    event = Event.CREDENTIAL_CHANGED
    by = person_of(member)
    ended = end_access(session, event, user_id, own_session=member.session_id, by=by)
    before = {"kind": removed.kind}
    record(session, person_of(member), Action.FACTOR_REMOVED, factor_id, before=before)
    _tell(session, user_id, letters.factor_changed(_NAMES[removed.kind], added=False))
    return removed.left, ended


def replace_recovery_codes(session: Session, member: ActingMember) -> list[str]:
    """Replace all recovery codes of a person and return the new ones.

    Raises:
        NoSuchFactor: the person has no factor.
    """
    user_id = member.person_id
    codes = factors.replace_recovery_codes(session, user_id)
    record(session, person_of(member), Action.RECOVERY_CODES_REPLACED, user_id)
    _tell(session, user_id, letters.recovery_codes_replaced())
    return codes


def forget_device(session: Session, member: ActingMember, device_id: DeviceId) -> None:
    """Ask for the second factor at the next sign-in from a device.

    Raises:
        NoSuchDevice: the person has no such device that is remembered.
    """
    if not FORGET_DEVICE.run(session, member.person_id, device_id):
        raise NoSuchDevice
    record(session, person_of(member), Action.DEVICE_FORGOTTEN, device_id)


def _tell(session: Session, user_id: UserId, letter: Letter) -> None:
    queue_letter(session, identity.FIND_PASSWORD.one(session, user_id).email, letter)

"""Sets passwords: checks a new one against what others know of the person, stores it, and tells its owner.

check_password_of(user_id, password)       before the transaction: it may ask a server of leaked passwords
set_password(session, user_id, password)   in the transaction
"""

from dataclasses import replace

from sqlalchemy.orm import Session

from shared.access.endings import Ended, Event, end_access
from shared.audit.entries import NOBODY, Action, Actor, Entry
from shared.audit.record import record_all
from shared.core.ids import UserId
from shared.db.session import read_only, run
from shared.identity import letters
from shared.identity import queries as identity
from shared.identity.challenges import find_challenge, use_challenge
from shared.identity.errors import CodeRefused
from shared.identity.guesses import forget_guesses
from shared.identity.mails import queue_letter
from shared.identity.models import ChallengeKind
from shared.identity.new_password import check_new_password
from shared.identity.password_rules import Person
from shared.identity.passwords import hash_password
from shared.organizations import queries as organizations


def check_password_of(user_id: UserId, password: str, *, path: str = "password") -> None:
    """Check a new password of a user. `path` is the field of the request. Call it while no transaction is open.

    Raises:
        PasswordRefused: the password is weak.
    """
    with read_only() as session:
        person = _person(session, user_id)
    check_new_password(password, person or Person(""), path=path)


def set_password(
    session: Session,
    user_id: UserId,
    password_hash: str,
    *,
    proves_address: bool = False,
    by: Actor = NOBODY,
) -> None:
    """Store a password's hash, record it, and email its owner that it was changed.

    What else ends with it is up to the caller. `by` is the request that changes it.
    """
    changed = identity.SET_PASSWORD.find(
        session, user_id=user_id, password_hash=password_hash, proves_address=proves_address
    )
    if changed is not None:
        actions = [Action.ACCOUNT_PASSWORD_CHANGED]
        if proves_address and not changed.was_active:
            actions.append(Action.ACCOUNT_ACTIVATED)
        entries = [Entry(action, user_id) for action in actions]
        record_all(session, replace(by, organization_id=None).as_user(user_id), entries)
    if changed is not None and changed.was_active:
        queue_letter(session, changed.email, letters.password_changed())


def reset_password(code: str, password: str, *, by: Actor = NOBODY) -> Ended:
    """Set a new password with an emailed code. Sessions, API keys, consents and device logins of the person end.

    It does not sign anybody in, so a second factor is still asked for. Pauses after wrong passwords end, for the network of the request `by` too.

    Raises:
        CodeRefused: the code is unknown, used or expired.
        PasswordRefused: the password is weak. The code can be used again.
    """
    with read_only() as session:
        found = find_challenge(session, ChallengeKind.RESET_PASSWORD, code)
        if found is None or found.user_id is None:
            raise CodeRefused("token")
        person = _person(session, found.user_id)
    if person is None:
        raise CodeRefused("token")
    check_new_password(password, person)
    password_hash = hash_password(password)
    return run(lambda session: _reset(session, code, password_hash, person.email, by))


def _reset(session: Session, code: str, password_hash: str, email: str, by: Actor) -> Ended:
    used = use_challenge(session, ChallengeKind.RESET_PASSWORD, code)
    if used is None or used.user_id is None:
        raise CodeRefused("token")
    set_password(session, used.user_id, password_hash, proves_address=True, by=by)
    forget_guesses(session, email, ip=by.address)
    return end_access(session, Event.RESET_BY_MAIL, used.user_id, by=by)


def _person(session: Session, user_id: UserId) -> Person | None:
    row = identity.FIND_PERSON.find(session, user_id)
    if row is None:
        return None
    seats = organizations.list_memberships(session, user_id)
    return Person(row.email, f"{row.name} {row.last_name}", tuple(seat.name for seat in seats))

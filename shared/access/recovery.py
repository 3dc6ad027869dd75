"""Lets people back in who have lost their second factor and all recovery codes.

    POST /auth/recovery {email}             a link is mailed
    POST /auth/recover {code, password}     link and password start the recovery
    72 hours                                the person is mailed daily; administrators of their organizations see it
    the sweep                               removes the factors; the password is enough to sign in and add a new one

A sign-in with the factor, the link in each mail, and every owner and admin of the person's organizations can stop it meanwhile.
Afterwards, the seats in organizations that the person shares with others are closed. Another owner opens one by agreeing. The seat of
an only owner opens by itself 72 hours after a new factor was added, unless an admin objects. Operators can neither start a recovery
nor shorten it: there is no route and no command for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from shared.access.actor import actor_of
from shared.access.context import ActingMember
from shared.access.endings import Event, end_access
from shared.access.errors import OtherOwnerNeeded
from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.core.formats.email import Letter
from shared.core.ids import RecoveryId, UserId, new_id
from shared.db.session import read_only, run
from shared.identity import letters
from shared.identity import queries as identity
from shared.identity.challenges import add_challenge, find_challenge, use_challenge
from shared.identity.errors import (
    CodeRefused,
    NoSuchRecovery,
    NothingToRecover,
    WrongPassword,
)
from shared.identity.guesses import count_guess, forgive_guess
from shared.identity.mails import queue_letter
from shared.identity.models import ChallengeKind
from shared.identity.passwords import is_password
from shared.identity.recovery_queries import (
    FINISH_RECOVERY,
    LIST_DUE,
    LIST_TO_MAIL,
    MARK_MAILED,
    START_RECOVERY,
    STOP_RECOVERY_OF,
    WaitingRecovery,
)
from shared.identity.sessions import Browser
from shared.organizations.models import Role
from shared.organizations.recovery_queries import (
    CLOSE_SEATS,
    FIND_SEAT,
    LIST_ADMINISTRATORS,
    LIST_CLOSED,
    LIST_RECOVERIES,
    OBJECT,
    OPEN_SEAT,
    OPEN_SEATS_OF_ONLY_OWNERS,
    ClosedOrganization,
    RecoveryRow,
    SeatOfRecovery,
)

WAITING = timedelta(hours=72)
"""How long a recovery can be stopped before it removes the factors."""
_STOP_LIFE = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class StoppedRecovery:
    """What an administrator has done: stopped a recovery that waited, or kept a seat closed."""

    stopped: bool
    objected: bool


def begin_recovery(code: str, password: str, browser: Browser, actor: Actor) -> datetime:
    """Start a recovery with a mailed link and the password, and return when the factors are removed.

    Raises:
        CodeRefused: the code is unknown, used or expired.
        WrongPassword: the password is wrong. The code can be used again.
        GuessesPaused: there were too many wrong passwords, so it was not checked.
        NothingToRecover: the person has no second factor, or a recovery waits already.
    """
    # Not a transaction, because wrong passwords are counted.
    with read_only() as session:
        found = find_challenge(session, ChallengeKind.RECOVERY, code)
        if found is None or found.user_id is None:
            raise CodeRefused("code")
        email = identity.FIND_PASSWORD.one(session, found.user_id).email
        guess = count_guess(session, email, ip=browser.ip, tokens=browser.devices)
        if not is_password(password, guess.password_hash) or guess.user_id is None:
            raise WrongPassword
        forgive_guess(session, guess, guess.user_id)
    return run(lambda session: _begin(session, code, actor))


def _begin(session: Session, code: str, actor: Actor) -> datetime:
    used = use_challenge(session, ChallengeKind.RECOVERY, code)
    if used is None or used.user_id is None:
        raise CodeRefused("code")
    user_id, recovery_id = used.user_id, RecoveryId(new_id())
    started = START_RECOVERY.find(session, recovery_id, user_id, WAITING.total_seconds())
    if started is None:
        raise NothingToRecover
    _mail(session, user_id, started.email, started.opens_at)
    letter = letters.recovery_of_member(started.email, started.opens_at)
    for administrator in LIST_ADMINISTRATORS.all(session, user_id):
        queue_letter(session, administrator.email, letter)
    record(session, actor.as_user(user_id), Action.RECOVERY_STARTED, recovery_id)
    return started.opens_at


def stop_by_link(session: Session, code: str, actor: Actor) -> None:
    """Stop a recovery with a mailed link.

    Raises:
        CodeRefused: the code is unknown, used or expired, or the recovery is over.
    """
    used = use_challenge(session, ChallengeKind.STOP_RECOVERY, code)
    if used is None or used.user_id is None or not STOP_RECOVERY_OF.run(session, used.user_id):
        raise CodeRefused("code")
    record(session, actor.as_user(used.user_id), Action.RECOVERY_STOPPED, used.user_id)
    _tell(session, used.user_id, letters.recovery_stopped())


def list_recoveries(session: Session, member: ActingMember) -> Sequence[RecoveryRow]:
    """List the recoveries of the organization's members that wait, or that have closed a seat; oldest first."""
    return LIST_RECOVERIES.all(session, member.organization_id)


def list_closed(session: Session, member: ActingMember) -> Sequence[ClosedOrganization]:
    """List the organizations whose seats of the person are closed since their recovery."""
    return LIST_CLOSED.all(session, member.person_id)


def stop_recovery(
    session: Session, member: ActingMember, recovery_id: RecoveryId
) -> StoppedRecovery:
    """Stop the recovery of another member, or keep the seat closed that it has closed.

    Raises:
        NoSuchRecovery: no other member has such a recovery.
    """
    seat = _seat(session, member, recovery_id)
    if seat.is_closed:
        OBJECT.run(session, member.organization_id, recovery_id, member.person_id)
        record(session, actor_of(member), Action.RECOVERY_OBJECTED, seat.user_id)
        return StoppedRecovery(stopped=False, objected=True)
    if not STOP_RECOVERY_OF.run(session, seat.user_id):
        raise NoSuchRecovery
    record(session, actor_of(member), Action.RECOVERY_STOPPED, seat.user_id)
    _tell(session, seat.user_id, letters.recovery_stopped())
    return StoppedRecovery(stopped=True, objected=False)


def agree(session: Session, member: ActingMember, recovery_id: RecoveryId) -> bool:
    """Open the seat of another member after a recovery; return whether it is open.

    For an only owner, an admin withdraws the objection: the seat then opens by itself.

    Raises:
        NoSuchRecovery: no other member has a seat that a recovery has closed.
        OtherOwnerNeeded: the caller is no owner, and there is one who can agree.
    """
    seat = _seat(session, member, recovery_id)
    if not seat.is_closed:
        raise NoSuchRecovery
    if member.role is Role.OWNER:
        OPEN_SEAT.run(session, member.organization_id, recovery_id)
    elif seat.role is Role.OWNER and not seat.other_owners:
        OBJECT.run(session, member.organization_id, recovery_id, None)
    else:
        raise OtherOwnerNeeded
    record(session, actor_of(member), Action.RECOVERY_AGREED, seat.user_id)
    return member.role is Role.OWNER


def _seat(session: Session, member: ActingMember, recovery_id: RecoveryId) -> SeatOfRecovery:
    seat = FIND_SEAT.find(session, member.organization_id, recovery_id, member.person_id)
    if seat is None:
        raise NoSuchRecovery
    return seat


def sweep_recoveries() -> int:
    """Mail people whose recovery waits, finish those that have waited long enough, and open the seats of only owners.

    Returns how many were finished. Each is a transaction of its own.
    """
    with read_only() as session:
        to_mail, due = LIST_TO_MAIL.all(session), LIST_DUE.all(session)
    for one in to_mail:
        run(partial(_mail_again, waiting=one))
    finished = sum(run(partial(_finish, waiting=one)) for one in due)
    run(_open_seats_of_only_owners)
    return finished


def _mail_again(session: Session, waiting: WaitingRecovery) -> None:
    if MARK_MAILED.run(session, waiting.id):
        _mail(session, waiting.user_id, waiting.email, waiting.opens_at)


def _finish(session: Session, waiting: WaitingRecovery) -> bool:
    # The user's row first, as in whatever else ends access.
    identity.LOCK_USER.find(session, waiting.user_id)
    if FINISH_RECOVERY.find(session, waiting.id) is None:
        return False
    end_access(session, Event.RECOVERED, waiting.user_id)
    CLOSE_SEATS.run(session, waiting.id, waiting.user_id)
    record(session, Actor(user_id=waiting.user_id), Action.RECOVERY_FINISHED, waiting.id)
    queue_letter(session, waiting.email, letters.recovery_finished())
    return True


def _open_seats_of_only_owners(session: Session) -> None:
    for seat in OPEN_SEATS_OF_ONLY_OWNERS.all(session):
        actor = Actor(organization_id=seat.organization_id)
        record(session, actor, Action.RECOVERY_AGREED, seat.user_id)


def _mail(session: Session, user_id: UserId, email: str, opens_at: datetime) -> None:
    code = add_challenge(session, ChallengeKind.STOP_RECOVERY, life=_STOP_LIFE, user_id=user_id)
    queue_letter(session, email, letters.recovery_waits(code, opens_at))


def _tell(session: Session, user_id: UserId, letter: Letter) -> None:
    queue_letter(session, identity.FIND_PASSWORD.one(session, user_id).email, letter)

"""Changes a person's address: the new one is proven by an emailed link, and the old one can undo the change for 72 hours.

Neither answer says whether the new address has an account: its owner is told by email.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from shared.access.endings import Ended, Event, end_access
from shared.audit.entries import NOBODY, Action, Actor
from shared.audit.record import record
from shared.aws.mail import mail_is_on
from shared.core import clock
from shared.core.config import settings
from shared.core.ids import SessionId, UserId
from shared.identity import letters
from shared.identity import queries as identity
from shared.identity.challenges import Pace, add_challenge, add_mailed_challenge, use_challenge
from shared.identity.codes import RESET_LIFE
from shared.identity.email_queries import CHANGE_EMAIL, FREE_ADDRESS, RESTORE_EMAIL
from shared.identity.errors import AddressInUse, CodeRefused, EmailTaken, PlusRefused, SameAddress
from shared.identity.mails import queue_letter
from shared.identity.models import ChallengeKind
from shared.identity.recovery_queries import STOP_RECOVERY_OF

CHANGE_LIFE = timedelta(hours=1)
"""How long the new address may take to be proven."""
UNDO_LIFE = timedelta(hours=72)
"""How long the old address can undo a change."""
_FIVE_AN_HOUR = Pace(5, timedelta(hours=1))


def request_change(
    session: Session,
    user_id: UserId,
    session_id: SessionId | None,
    email: str,
    *,
    by: Actor = NOBODY,
) -> bool:
    """Email a link to a new address; return whether the address was changed at once, because this server sends no email.

    `by` is the request.

    Raises:
        SameAddress: the account has this address.
        PlusRefused: this server accepts no addresses with a plus sign.
        EmailTaken: another account has it, and this server sends no email that could say so.
    """
    if settings().disallow_plus and "+" in email:
        raise PlusRefused
    account = identity.find_account(session, email)
    if account is not None and account.user_id == user_id:
        raise SameAddress
    if not mail_is_on():
        if account is not None or CHANGE_EMAIL.find(session, user_id, email) is None:
            raise EmailTaken
        _record(session, by, Action.ACCOUNT_EMAIL_CHANGED, user_id)
        end_access(session, Event.CREDENTIAL_CHANGED, user_id, own_session=session_id, by=by)
        return True
    code = add_mailed_challenge(
        session,
        ChallengeKind.NEW_EMAIL,
        user_id,
        life=CHANGE_LIFE,
        pace=_FIVE_AN_HOUR,
        remember={"email": email, "session_id": str(session_id)},
    )
    if code is not None:
        is_taken = account is not None and account.is_active
        letter = letters.address_in_use() if is_taken else letters.new_email(code)
        queue_letter(session, email, letter)
    return False


def confirm_change(session: Session, code: str, *, by: Actor = NOBODY) -> Ended:
    """Change the address that a link was emailed to, and email the old one a link that undoes it. Other sessions end.

    Raises:
        CodeRefused: the code is unknown, used or expired, or the address belongs to another account by now.
    """
    used = use_challenge(session, ChallengeKind.NEW_EMAIL, code)
    if used is None or used.user_id is None:
        raise CodeRefused("code")
    email: str = used.remember["email"]
    FREE_ADDRESS.run(session, used.user_id, email)
    old = CHANGE_EMAIL.find(session, used.user_id, email)
    if old is None:
        raise CodeRefused("code")
    undo = add_challenge(
        session,
        ChallengeKind.UNDO_EMAIL,
        life=UNDO_LIFE,
        user_id=used.user_id,
        remember={"email": old.email, "since": clock.now().isoformat()},
    )
    queue_letter(session, old.email, letters.email_changed(undo))
    own_session = SessionId(UUID(used.remember["session_id"]))
    _record(session, by, Action.ACCOUNT_EMAIL_CHANGED, used.user_id)
    event = Event.CREDENTIAL_CHANGED
    return end_access(session, event, used.user_id, own_session=own_session, by=by)


def undo_change(session: Session, code: str, *, by: Actor = NOBODY) -> Ended:
    """Give an account its old address back, and end all that somebody else may have got hold of or added since.

    The password is removed too, and a recovery stops; the old address is emailed a link to set another one.

    Raises:
        CodeRefused: the code is unknown, used or expired.
        AddressInUse: another account has the old address by now.
    """
    used = use_challenge(session, ChallengeKind.UNDO_EMAIL, code)
    if used is None or used.user_id is None:
        raise CodeRefused("code")
    email: str = used.remember["email"]
    since = datetime.fromisoformat(used.remember["since"])
    FREE_ADDRESS.run(session, used.user_id, email)
    if RESTORE_EMAIL.find(session, used.user_id, email, since) is None:
        raise AddressInUse
    STOP_RECOVERY_OF.run(session, used.user_id)
    _record(session, by, Action.ACCOUNT_EMAIL_RESTORED, used.user_id)
    ended = end_access(session, Event.ADDRESS_UNDONE, used.user_id, by=by)
    reset = add_challenge(
        session, ChallengeKind.RESET_PASSWORD, life=RESET_LIFE, user_id=used.user_id
    )
    queue_letter(session, email, letters.email_restored(reset))
    return ended


def _record(session: Session, by: Actor, action: Action, user_id: UserId) -> None:
    record(session, replace(by, organization_id=None).as_user(user_id), action, user_id)

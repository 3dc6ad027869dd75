"""Changes the password of a signed-in person, or sets the first one of an account that has none."""

from sqlalchemy.orm import Session

from shared.access.actor import person_of
from shared.access.context import ActingMember
from shared.access.endings import Ended, Event, end_access
from shared.access.passwords import check_password_of, set_password
from shared.db.session import read_only, run
from shared.identity.errors import SessionOver
from shared.identity.passwords import hash_password
from shared.identity.sessions import check_password, hold_session


def change_password(
    member: ActingMember, current: str, password: str, *, with_programs: bool
) -> Ended:
    """Set a new password and end the person's other sessions, and their API keys and consents if they ask for it.

    `current` is not read if the account has no password: a recent proof of identity is enough then.

    Raises:
        WrongPassword: the current password is wrong.
        PasswordRefused: the new one is weak.
    """
    if member.session_id is None:
        raise SessionOver
    session_id, by = member.session_id, person_of(member)
    # Not a transaction, because wrong passwords are counted.
    with read_only() as session:
        check_password(session, member.person_id, session_id, current, path="current")
    check_password_of(member.person_id, password)
    password_hash = hash_password(password)

    def change(session: Session) -> Ended:
        # The user's row first, as in whatever else ends access.
        set_password(session, member.person_id, password_hash, by=by)
        hold_session(session, member.person_id, session_id)
        return end_access(
            session,
            Event.CREDENTIAL_CHANGED,
            member.person_id,
            own_session=session_id,
            with_programs=with_programs,
            by=by,
        )

    return run(change)

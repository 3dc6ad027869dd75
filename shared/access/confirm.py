"""Confirms the identity of a signed-in person, for what needs a recent proof (`Rule.fresh`)."""

from sqlalchemy.orm import Session

from shared.access.context import ActingMember
from shared.access.errors import FreshLoginNeeded
from shared.identity.errors import SessionOver
from shared.identity.logins import methods_of
from shared.identity.models import Method
from shared.identity.sessions import (
    Browser,
    Evidence,
    SessionTokens,
    check_password,
    confirm_session,
)


def confirm_by_password(
    session: Session, member: ActingMember, password: str, browser: Browser
) -> SessionTokens:
    """Confirm a person's identity by their password. The session must not be a transaction: wrong passwords are counted.

    Raises:
        WrongPassword: it is wrong.
        FreshLoginNeeded: the person has a second factor, or no password; it lists the methods.
    """
    if member.proof is None or member.session_id is None:
        raise SessionOver
    if not member.proof.factors:
        password_hash = check_password(session, member.person_id, password)
        if password_hash is not None:
            evidence = Evidence({Method.PASSWORD}, password_hash)
            return confirm_session(session, member.person_id, member.session_id, evidence, browser)
    raise FreshLoginNeeded(methods_of(session, member.person_id, member.proof.factors))

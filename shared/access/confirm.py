"""Confirms the identity of a signed-in person, for what needs a recent proof (`Rule.fresh`)."""

from shared.access.context import ActingMember
from shared.access.errors import FreshLoginNeeded
from shared.db.session import read_only
from shared.identity.errors import SessionOver
from shared.identity.logins import methods_of
from shared.identity.models import Method
from shared.identity.passkeys import Credential
from shared.identity.second_factor import TypedCode, prove_again, prove_by_passkey
from shared.identity.sessions import (
    Browser,
    Evidence,
    SessionTokens,
    check_password,
    confirm_session,
)


def confirm_by_password(member: ActingMember, password: str, browser: Browser) -> SessionTokens:
    """Confirm a person's identity by their password.

    Raises:
        WrongPassword: it is wrong.
        GuessesPaused: there were too many wrong ones in this session.
        FreshLoginNeeded: the person has a second factor, or no password; it lists the methods.
    """
    if member.session_id is None:
        raise SessionOver
    require_one_factor(member)
    # Not a transaction, because wrong passwords are counted.
    with read_only() as session:
        password_hash = check_password(session, member.person_id, member.session_id, password)
        if password_hash is None:
            raise FreshLoginNeeded(methods_of(session, member.person_id, ()))
        evidence = Evidence({Method.PASSWORD}, password_hash)
        return confirm_session(session, member.person_id, member.session_id, evidence, browser)


def confirm_by_code(member: ActingMember, typed: TypedCode, browser: Browser) -> SessionTokens:
    """Confirm a person's identity by a code of their second factor.

    Raises:
        FreshLoginNeeded: the person has no second factor; it lists the methods.
        CodesPaused: there were too many wrong codes for this person.
        WrongCode: it is wrong, or was used.
    """
    if member.session_id is None or member.proof is None:
        raise SessionOver
    # Not a transaction, because wrong codes are counted.
    with read_only() as session:
        if not member.proof.factors:
            raise FreshLoginNeeded(methods_of(session, member.person_id, ()))
        evidence = prove_again(session, member.person_id, typed, browser)
        return confirm_session(session, member.person_id, member.session_id, evidence, browser)


def confirm_by_passkey(
    member: ActingMember, credential: Credential, browser: Browser
) -> SessionTokens:
    """Confirm a person's identity by one of their passkeys.

    Raises:
        PasskeyRefused: the passkey proves nothing.
    """
    if member.session_id is None:
        raise SessionOver
    with read_only() as session:
        evidence = prove_by_passkey(session, member.person_id, credential)
        return confirm_session(session, member.person_id, member.session_id, evidence, browser)


def require_one_factor(member: ActingMember) -> None:
    """Check that one factor is enough to confirm a person's identity.

    Raises:
        FreshLoginNeeded: the person has a second factor; it lists the methods.
    """
    if member.proof and member.proof.factors:
        with read_only() as session:
            raise FreshLoginNeeded(methods_of(session, member.person_id, member.proof.factors))

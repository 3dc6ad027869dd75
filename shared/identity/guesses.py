"""Slows guesses of passwords by growing pauses: per account and network, and per account over all networks.

Addresses without an account are counted alike, so no answer says whether there is one. Their keys are keyed hashes. Nobody is
locked out: a device that has signed in before has a count of its own, and a new password by email ends the pauses.
"""

import ipaddress
import math
from collections.abc import Sequence

from sqlalchemy.orm import Session

from shared.core.ids import SessionId, UserId
from shared.identity import devices
from shared.identity.errors import GuessesPaused
from shared.identity.guess_queries import (
    COUNT_CONFIRMATION,
    COUNT_GUESS,
    FORGET_GUESSES,
    FORGIVE_GUESS,
    CountedConfirmation,
    CountedGuess,
)
from shared.identity.tokens import derived_from

_KEY_BYTES = 16
_IPV6_PREFIX = 64  # what a provider gives to one customer


def count_guess(
    session: Session, email: str, *, ip: str | None, tokens: Sequence[str]
) -> CountedGuess:
    """Count a guess and return the account, if there is one. `tokens` recognize the browser's devices.

    Raises:
        GuessesPaused: there were too many guesses. The password must not be checked.
    """
    network_key, account_key = _keys(email, ip)
    guess = COUNT_GUESS.one(
        session,
        email=email,
        network_key=network_key,
        account_key=account_key,
        devices=devices.hashes(tokens),
    )
    if not guess.may_try:
        raise GuessesPaused(_whole(guess.wait_seconds))
    return guess


def count_confirmation(
    session: Session, user_id: UserId, session_id: SessionId
) -> CountedConfirmation:
    """Count a guess of a signed-in user in their session and return the hash that it is compared with.

    Raises:
        GuessesPaused: there were too many guesses. The password must not be checked.
    """
    guess = COUNT_CONFIRMATION.one(session, user_id, session_id)
    if not guess.may_try:
        raise GuessesPaused(_whole(guess.wait_seconds))
    return guess


def forgive_guess(
    session: Session,
    guess: CountedGuess | CountedConfirmation,
    user_id: UserId,
    *,
    new_hash: str | None = None,
) -> bool:
    """Take back a guess that was right. `new_hash` replaces the stored hash; return whether it did."""
    everyone_key = guess.everyone_key if isinstance(guess, CountedGuess) else None
    replaced = FORGIVE_GUESS.run(
        session,
        own_key=guess.own_key,
        everyone_key=everyone_key,
        user_id=user_id,
        old_hash=guess.password_hash,
        new_hash=new_hash,
    )
    return replaced > 0


def forget_guesses(session: Session, email: str, *, ip: str | None) -> None:
    """End the pauses of an account for all networks and for this one, because it has a new password."""
    FORGET_GUESSES.run(session, list(_keys(email, ip)))


def network_of(ip: str | None) -> str:
    """Return what counts as one network: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
        address = address.ipv4_mapped
    return str(address)


def _keys(email: str, ip: str | None) -> tuple[str, str]:
    """Return the keys of an address for one network and for all. They do not show the address."""
    return (
        _key(f"{network_of(ip)} {email}", "guesses of one network"),
        _key(email, "guesses of all networks"),
    )


def _key(value: str, purpose: str) -> str:
    newest, *_ = derived_from(value, purpose)
    return newest[:_KEY_BYTES].hex()


def _whole(seconds: float | None) -> int:
    return max(1, math.ceil(seconds or 1))

"""Adds, proves and removes second factors: authenticator apps, and recovery codes for when the device is gone."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from shared.aws.keys import open_sealed, seal
from shared.core.crypto import Purpose
from shared.core.ids import FactorId, UserId, new_id
from shared.identity import factor_queries as queries
from shared.identity import recovery_codes, totp
from shared.identity.errors import NoSuchFactor, TooManyFactors, WrongCode
from shared.identity.models import FactorKind, Method

MOST_FACTORS = 10
"""How many factors a person has."""


@dataclass(frozen=True, slots=True)
class NewTotp:
    """An authenticator app that its user has not confirmed yet. `address` is the content of the QR code `picture` (SVG)."""

    id: FactorId
    secret: str = field(repr=False)
    address: str = field(repr=False)
    picture: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProvenFactor:
    """A second factor that was just proven. `codes_left` is set if it was a recovery code."""

    method: Method
    codes_left: int | None = None


def seal_totp_secret(user_id: UserId, secret: str) -> bytes:
    """Seal the secret of an authenticator app. Do not call this in a transaction: it may need the key service."""
    return seal(secret, Purpose.FACTOR, user_id)


def begin_totp(
    session: Session, user_id: UserId, *, email: str, name: str, sealed: bytes, secret: str
) -> NewTotp:
    """Add an authenticator app that its user has to confirm within an hour; it replaces another one that waits.

    Raises:
        TooManyFactors: the person has `MOST_FACTORS`.
    """
    factor_id = FactorId(new_id())
    added = queries.ADD_PENDING_FACTOR.find(
        session,
        id=factor_id,
        user_id=user_id,
        kind=FactorKind.TOTP,
        name=name,
        secret=sealed,
        most=MOST_FACTORS,
    )
    if added is None:
        raise TooManyFactors(MOST_FACTORS)
    address = totp.address_of(secret, email)
    return NewTotp(factor_id, secret, address, totp.picture_of(address))


def find_pending_secret(session: Session, user_id: UserId, factor_id: FactorId) -> str:
    """Return the secret of an authenticator app that waits to be confirmed.

    Raises:
        NoSuchFactor: there is none, or it has waited for more than an hour.
    """
    found = queries.FIND_PENDING_FACTOR.find(session, user_id, factor_id)
    if found is None:
        raise NoSuchFactor
    return open_sealed(found.secret, Purpose.FACTOR, user_id)


def confirm_totp(
    session: Session, user_id: UserId, factor_id: FactorId, *, secret: str, code: str
) -> list[str]:
    """Count an authenticator app from now on, because its user has shown that it makes the right codes.

    Returns recovery codes if it is the person's first factor, otherwise none.

    Raises:
        WrongCode: the code is not the right one.
        NoSuchFactor: it was confirmed or replaced meanwhile.
    """
    step = totp.step_of(secret, code)
    if step is None:
        raise WrongCode
    codes = recovery_codes.new_codes()
    hashes = [recovery_codes.hash_code(each).hex() for each in codes]
    confirmed = queries.CONFIRM_FACTOR.find(session, user_id, factor_id, step, hashes)
    if confirmed is None:
        raise NoSuchFactor
    return codes if confirmed.is_first else []


def prove_by_totp(session: Session, user_id: UserId, code: str) -> ProvenFactor:
    """Prove a second factor by a code of an authenticator app. A code works once.

    Raises:
        WrongCode: it is not the right one, or was used.
    """
    for factor in queries.LIST_TOTP_SECRETS.all(session, user_id):
        step = totp.step_of(open_sealed(factor.secret, Purpose.FACTOR, user_id), code)
        if step is not None and queries.USE_STEP.run(session, user_id, factor.id, step):
            return ProvenFactor(Method.TOTP)
    raise WrongCode


def prove_by_recovery_code(session: Session, user_id: UserId, code: str) -> ProvenFactor:
    """Prove a second factor by a recovery code. A code works once.

    Raises:
        WrongCode: it is unknown, or was used.
    """
    used = queries.USE_RECOVERY_CODE.find(session, user_id, recovery_codes.hash_code(code))
    if used is None:
        raise WrongCode
    return ProvenFactor(Method.RECOVERY_CODE, used.left)


PROOFS: dict[Method, Callable[[Session, UserId, str], ProvenFactor]] = {
    Method.TOTP: prove_by_totp,
    Method.RECOVERY_CODE: prove_by_recovery_code,
}
"""How a code proves a second factor."""


def replace_recovery_codes(session: Session, user_id: UserId) -> list[str]:
    """Replace all recovery codes.

    Raises:
        NoSuchFactor: the person has no factor, so there is nothing to recover.
    """
    codes = recovery_codes.new_codes()
    hashes = [recovery_codes.hash_code(each).hex() for each in codes]
    if not queries.REPLACE_RECOVERY_CODES.run(session, user_id, hashes):
        raise NoSuchFactor
    return codes


def remove_factor(session: Session, user_id: UserId, factor_id: FactorId) -> queries.FactorsLeft:
    """Remove a factor. With the last one, the recovery codes go too.

    Raises:
        NoSuchFactor: there is none.
    """
    removed = queries.REMOVE_FACTOR.find(session, user_id, factor_id)
    if removed is None:
        raise NoSuchFactor
    return removed

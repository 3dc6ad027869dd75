"""With what does a user sign in?"""

from collections.abc import Collection

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from shared.core.ids import UserId
from shared.identity.login_queries import FIND_WAYS
from shared.identity.models import FactorKind, Method

_BY_FACTOR = {FactorKind.TOTP: Method.TOTP, FactorKind.PASSKEY: Method.PASSKEY}


def methods_of(
    session: Session | Connection, user_id: UserId, factors: Collection[FactorKind]
) -> list[Method]:
    """List the strongest methods by which a user can prove their identity: second factors if there are any."""
    if factors:
        return [_BY_FACTOR[kind] for kind in sorted(factors)]
    ways = FIND_WAYS.one(session, user_id)
    methods = [Method.PASSWORD] if ways.has_password else []
    return methods + [Method(provider) for provider in ways.providers]

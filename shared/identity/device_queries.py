"""The statements about devices that are remembered, so that signing in from them needs no second factor."""

from datetime import datetime
from typing import NamedTuple

from shared.core.ids import DeviceId, UserId
from shared.db.statement import NoRow, Statement, sql
from shared.identity.queries import OfUser


class DevicesOf(NamedTuple):
    """`devices`: the tokens' hashes of the browser that asks, in hexadecimal."""

    user_id: UserId
    devices: list[str]


class RememberedDevice(NamedTuple):
    id: DeviceId
    user_agent: str | None
    first_used_at: datetime
    last_used_at: datetime
    remembered_until: datetime
    is_current: bool


LIST_REMEMBERED = Statement(
    "list_remembered_devices",
    sql("""
        select id, user_agent, first_used_at, last_used_at, remembered_until,
            encode(token_hash, 'hex') = any(cast(:devices as text[])) as is_current
        from devices
        where user_id = :user_id and remembered_until > now()
        order by last_used_at desc, id
        limit 100
    """),
    params=DevicesOf,
    row=RememberedDevice,
)
"""List a user's devices that are remembered, last used first."""


class OneDevice(NamedTuple):
    user_id: UserId
    id: DeviceId


FORGET_DEVICE = Statement(
    "forget_device",
    sql("""
        update devices set remembered_until = null
        where user_id = :user_id and id = :id and remembered_until > now()
    """),
    params=OneDevice,
    row=NoRow,
)
"""Forget one of a user's devices. It is still known, but its next sign-in needs the second factor."""


FORGET_DEVICES_OF = Statement(
    "forget_devices_of",
    sql("""
        update devices set remembered_until = null where user_id = :user_id and remembered_until is not null
    """),
    params=OfUser,
    row=NoRow,
)
"""Forget all of a user's devices."""

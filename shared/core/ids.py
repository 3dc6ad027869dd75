"""The types of ids, and how ids are created."""

import uuid
from typing import NewType

import uuid_utils.compat

OrganizationId = NewType("OrganizationId", uuid.UUID)
UserId = NewType("UserId", uuid.UUID)
SessionId = NewType("SessionId", uuid.UUID)
ChannelId = NewType("ChannelId", uuid.UUID)
MediaId = NewType("MediaId", uuid.UUID)


def new_id() -> uuid.UUID:
    """Return a UUIDv7: unique and ordered by creation time, so that new rows are at the end of an index."""
    return uuid_utils.compat.uuid7()

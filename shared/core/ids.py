"""Where identifiers come from, and their types."""

import uuid
from typing import NewType

import uuid_utils.compat

OrganizationId = NewType("OrganizationId", uuid.UUID)
UserId = NewType("UserId", uuid.UUID)
SessionId = NewType("SessionId", uuid.UUID)
ChannelId = NewType("ChannelId", uuid.UUID)
MediaId = NewType("MediaId", uuid.UUID)


def new_id() -> uuid.UUID:
    """Make a UUIDv7: unique, and ordered by the time it was made, so that keys land at the end of an index."""
    return uuid_utils.compat.uuid7()

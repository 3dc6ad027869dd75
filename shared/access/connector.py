"""The member who connects a channel, and how they authenticated."""

from shared.access.context import ActingMember
from shared.channels.connectors import Connector


def connector_of(member: ActingMember) -> Connector:
    """Return the caller as a connector.

    Raises:
        PersonNeeded: the member who created the API key was deleted.
    """
    return Connector(
        member.reach,
        member.person_id,
        session_id=member.session_id,
        impersonated_by=member.impersonated_by,
        api_key_id=member.api_key_id,
        grant_id=member.grant_id,
        request_id=member.request_id,
        address=member.address,
    )

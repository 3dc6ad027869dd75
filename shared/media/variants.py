"""How the copies of a picture are asked for: by a message, after the commit that made the file known."""

from collections.abc import Iterable

from shared.aws import queues
from shared.core.config import settings
from shared.core.ids import MediaId, OrganizationId


def request_variants(files: Iterable[tuple[OrganizationId, MediaId]]) -> None:
    """Put a message for each file, of each organization, on the variants queue; a second one for a file does nothing."""
    queues.send(
        settings().variants_queue_url,
        [_message(str(organization_id), str(media_id)) for organization_id, media_id in files],
    )


def _message(organization_id: str, media_id: str) -> queues.Message:
    body = {"mediaId": media_id, "organizationId": organization_id}
    return queues.Message(body, tenant=organization_id)

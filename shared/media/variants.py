"""How the copies of a picture are asked for: by a message, after the commit that made the file known."""

from collections.abc import Iterable

from shared.aws import queues
from shared.core.config import settings
from shared.core.ids import MediaId, OrganizationId
from shared.media.models import Media


def request_variants(files: Iterable[Media]) -> None:
    """Put a message for each file on the variants queue; for those that need none it does nothing twice."""
    queues.send(
        settings().variants_queue_url,
        [_message(str(media.organization_id), str(media.id)) for media in files],
    )


def request_copies(organization_id: OrganizationId, media_id: MediaId) -> None:
    """Ask again for one file whose copies are waited for."""
    queues.send(settings().variants_queue_url, [_message(str(organization_id), str(media_id))])


def _message(organization_id: str, media_id: str) -> queues.Message:
    body = {"mediaId": media_id, "organizationId": organization_id}
    return queues.Message(body, tenant=organization_id)

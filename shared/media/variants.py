"""How the copies of a picture are asked for: by a message, after the commit that made the file known."""

from collections.abc import Iterable

from shared.aws import queues
from shared.core.config import settings
from shared.media.models import Media


def request_variants(files: Iterable[Media]) -> None:
    """Put a message for each file on the variants queue; for those that need none it does nothing twice."""
    messages = [
        queues.Message(
            {"mediaId": str(media.id), "organizationId": str(media.organization_id)},
            tenant=str(media.organization_id),
        )
        for media in files
    ]
    queues.send(settings().variants_queue_url, messages)

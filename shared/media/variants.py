"""Requests variants of a picture by a message, after the commit that added the file."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.aws import queues
from shared.core.config import settings
from shared.core.ids import MediaId, OrganizationId
from shared.providers.variants import VariantPlan


def request_variants(
    files: Iterable[tuple[OrganizationId, MediaId]], *, also: VariantPlan | None = None
) -> None:
    """Queue a message for each file of each organization for the variants function. A second one for a file does nothing.

    `also` is a variant that only one server needs, not a platform's table.
    """
    queues.send(
        settings().variants_queue_url,
        [
            _message(str(organization_id), str(media_id), also)
            for organization_id, media_id in files
        ],
    )


def read_plan(body: Mapping[str, Any]) -> VariantPlan | None:
    """Read a message's additional plan; None if it has none."""
    plan = body.get("also")
    if plan is None:
        return None
    return VariantPlan(plan["contentType"], plan["width"], plan["height"], plan["maxBytes"])


def _message(organization_id: str, media_id: str, also: VariantPlan | None) -> queues.Message:
    body: dict[str, Any] = {"mediaId": media_id, "organizationId": organization_id}
    if also is not None:
        body["also"] = {
            "contentType": also.content_type,
            "width": also.width,
            "height": also.height,
            "maxBytes": also.max_bytes,
        }
    return queues.Message(body, tenant=organization_id)

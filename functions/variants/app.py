"""Makes variants of uploaded files, one message per file: `{"mediaId", "organizationId", "also"?}`."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.aws.batch import run_batch
from shared.core.ids import MediaId, OrganizationId
from shared.core.log import log
from shared.db.invocations import closes_connections
from shared.media.make_variants import make_variants
from shared.media.variants import read_plan


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Make the variants of each message's picture."""
    return run_batch(event, context, _make)


def _make(body: Mapping[str, Any], _deadline: float) -> None:
    make_variants(
        OrganizationId(UUID(body["organizationId"])),
        MediaId(UUID(body["mediaId"])),
        also=read_plan(body),
    )

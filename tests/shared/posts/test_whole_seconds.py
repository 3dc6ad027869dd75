"""How long a queue is asked to hold a message back."""

from datetime import timedelta
from uuid import UUID

import pytest

from shared.core.ids import OrganizationId, PostId
from shared.posts.hints import Hint, Target


def hint(wait_seconds: float) -> Hint:
    return Hint(
        target=Target.PUBLISH,
        part_id=PostId(UUID(int=1)),
        revision=1,
        organization_id=OrganizationId(UUID(int=2)),
        wait=timedelta(seconds=wait_seconds),
    )


@pytest.mark.parametrize("wait", [0.001, 0.5, 0.999, 1.0, 59.2, 179.999, 840.0])
def test_a_message_is_never_early_and_less_than_a_second_late(wait: float) -> None:
    """The floor that docs/adr/0012-whole-seconds.md names."""
    assert 0 <= hint(wait).message.delay_seconds - wait < 1


@pytest.mark.parametrize("wait", [0.0, -0.4, -3600.0])
def test_what_is_due_is_not_delayed(wait: float) -> None:
    assert hint(wait).message.delay_seconds == 0

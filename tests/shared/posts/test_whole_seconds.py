"""How long a queue is asked to hold a message back."""

from uuid import UUID

import pytest

from shared.posts.schedule import publish_message

PART, ORGANIZATION = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize("wait", [0.001, 0.5, 0.999, 1.0, 59.2, 179.999, 840.0])
def test_a_message_is_never_early_and_less_than_a_second_late(wait: float) -> None:
    """The floor that docs/adr/0012-whole-seconds.md names."""
    message = publish_message(PART, 1, ORGANIZATION, wait_seconds=wait)
    assert 0 <= message.delay_seconds - wait < 1


@pytest.mark.parametrize("wait", [0.0, -0.4, -3600.0])
def test_what_is_due_is_not_delayed(wait: float) -> None:
    assert publish_message(PART, 1, ORGANIZATION, wait_seconds=wait).delay_seconds == 0

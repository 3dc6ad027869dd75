"""Which notices are the same one: a repeated try adds none, a post that was resent or changed gets its own."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from shared.core.ids import new_id
from shared.providers.errors import OutcomeUnknown
from shared.publishing import notices
from shared.publishing.notices import Notice

PART: dict[str, Any] = {
    "id": new_id(),
    "root_id": new_id(),
    "channel": SimpleNamespace(name="Ada", provider="mastodon"),
    "revision": 3,
    "generation": 7,
}
OF_A_GENERATION: list[Callable[[Any], Notice]] = [
    lambda part: notices.published(part, "https://a.example"),
    lambda part: notices.published_after_all(part.id, part.generation, part.root_id),
    lambda part: notices.unconfirmed(part, OutcomeUnknown("No answer.")),
    lambda part: notices.stuck(part.id, part.generation, part.root_id, goes_on=False),
]
OF_A_REVISION: list[Callable[[Any], Notice]] = [
    lambda part: notices.not_published(part, "No."),
    lambda part: notices.media_refused(part, "No."),
    lambda part: notices.waits_for_copy(part, "No."),
]


def key(make: Callable[[Any], Notice], **columns: int) -> str | None:
    return make(SimpleNamespace(**PART | columns)).key


@pytest.mark.parametrize("make", [*OF_A_GENERATION, *OF_A_REVISION])
def test_a_post_that_was_resent_has_its_own(make: Callable[[Any], Notice]) -> None:
    assert key(make) == key(make) != key(make, generation=8)


@pytest.mark.parametrize("make", OF_A_GENERATION)
def test_what_was_sent_is_reported_once_whatever_changes(make: Callable[[Any], Notice]) -> None:
    assert key(make) == key(make, revision=4)


@pytest.mark.parametrize("make", OF_A_REVISION)
def test_what_a_change_may_mend_is_reported_again(make: Callable[[Any], Notice]) -> None:
    assert key(make) != key(make, revision=4)

"""Which 503 of a Mastodon server ends its request."""

from typing import Any

import httpx
import pytest
import respx

from shared.providers.errors import OutcomeUnknown
from shared.providers.platforms.mastodon import Mastodon
from tests.fakes.stand_ins import OWN_503
from tests.providers.builders import a_post, an_api

STATUSES = "https://mastodon.social/api/v1/statuses"
OWN = OWN_503[1]["error"]


class TestHasEnded:
    """Finding 1.1: a 503 of Mastodon's own cost three minutes, as if its request were still running."""

    @pytest.mark.parametrize(
        "words",
        [OWN, "Remote data could not be fetched", "Remote SSL certificate could not be verified"],
    )
    def test_mastodons_own_sentences(self, platform: respx.MockRouter, words: str) -> None:
        platform.post(STATUSES).respond(503, json={"error": words})
        with pytest.raises(OutcomeUnknown) as unknown:
            Mastodon().publish(an_api(Mastodon()), a_post())
        assert unknown.value.request_ended
        assert unknown.value.evidence.status == 503

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (503, {"error": "Service Unavailable"}),
            (503, {"error": OWN, "status": 503}),
            (503, {"message": OWN}),
            (503, {"error": {"message": OWN}}),
            (503, [OWN]),
            (502, {"error": OWN}),
            (504, {"error": OWN}),
            (503, None),
        ],
    )
    def test_what_a_gateway_may_say_too(
        self, platform: respx.MockRouter, status: int, body: Any
    ) -> None:
        answer = httpx.Response(status, json=body) if body else httpx.Response(status, text="<h1>")
        platform.post(STATUSES).mock(return_value=answer)
        with pytest.raises(OutcomeUnknown) as unknown:
            Mastodon().publish(an_api(Mastodon()), a_post())
        assert not unknown.value.request_ended

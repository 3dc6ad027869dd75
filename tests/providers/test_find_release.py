"""X and LinkedIn are asked whether a post is there and whose it is, wherever they let us ask."""

from typing import Any

import httpx
import pytest
import respx

from shared.providers.base import Released
from shared.providers.errors import PlatformUnavailable
from shared.providers.http import Api
from shared.providers.platforms.linkedin import LinkedInPage
from shared.providers.platforms.x import X
from tests.providers.builders import an_access, an_api
from tests.providers.conftest import sample

NUMBER = "1445880548472328192"
TWEET = f"https://api.x.com/2/tweets/{NUMBER}"
ADDRESS = f"https://x.com/Old_Name/status/{NUMBER}"
DRAFT = "https://x.com/compose/articles/edit/77"
NOT_FOUND = {"errors": [{"type": "https://api.x.com/2/problems/resource-not-found"}]}
LINKEDIN = "https://api.linkedin.com"


def x_line() -> Api:
    access = an_access(
        remote_id="2244994945", username="roost", details={"tokenSecret": "the-token-s-secret"}
    )
    return an_api(X(), access=access)


class TestX:
    """Finding 1.1d: an address was judged by its form alone."""

    def test_a_post_of_the_account_is_found_under_an_earlier_name(
        self, platform: respx.MockRouter
    ) -> None:
        asked = platform.get(TWEET).respond(
            json={"data": {"id": NUMBER, "text": "Owls", "author_id": "2244994945"}}
        )
        released = Released(NUMBER, f"https://x.com/roost/status/{NUMBER}")
        assert X().find_release(x_line(), ADDRESS) == released
        assert X().find_release_by_id(x_line(), NUMBER) == released
        assert asked.calls.last.request.url.params["tweet.fields"] == "author_id"

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(200, json={"data": {"id": NUMBER, "author_id": "7"}}),
            httpx.Response(200, json={"data": {"id": NUMBER}}),
            httpx.Response(200, json=NOT_FOUND),
            httpx.Response(404, json=NOT_FOUND),
        ],
    )
    def test_a_post_that_is_not_there_or_not_ours_is_none(
        self, platform: respx.MockRouter, answer: httpx.Response
    ) -> None:
        platform.get(TWEET).mock(return_value=answer)
        assert X().find_release(x_line(), f"https://x.com/roost/status/{NUMBER}") is None
        assert X().find_release_by_id(x_line(), NUMBER) is None

    @pytest.mark.parametrize("url", ["https://x.com/roost", "https://elsewhere.example/1", "1"])
    def test_an_address_that_names_no_post_is_not_asked_about(
        self, platform: respx.MockRouter, url: str
    ) -> None:
        assert X().find_release(x_line(), url) is None
        assert not platform.calls

    @pytest.mark.parametrize("release_id", ["", "x", "1/2", "1" * 20, "1?a=b"])
    def test_an_id_of_another_form_is_not_asked_about(
        self, platform: respx.MockRouter, release_id: str
    ) -> None:
        assert X().find_release_by_id(x_line(), release_id) is None
        assert not platform.calls

    def test_a_draft_cannot_be_read_so_its_address_decides(
        self, platform: respx.MockRouter
    ) -> None:
        found = X().find_release(x_line(), DRAFT)
        assert found is not None
        assert (found.id, found.url) == ("77", DRAFT)
        assert not platform.calls

    def test_where_the_application_may_not_read_the_address_decides(
        self, platform: respx.MockRouter
    ) -> None:
        platform.get(TWEET).mock(
            return_value=httpx.Response(403, json={"reason": "client-not-enrolled", "detail": "no"})
        )
        assert X().find_release(x_line(), ADDRESS) is None  # another name than the account's
        assert X().find_release(x_line(), f"https://x.com/roost/status/{NUMBER}")
        assert X().find_release_by_id(x_line(), NUMBER)

    def test_silence_is_no_answer(self, platform: respx.MockRouter) -> None:
        platform.get(TWEET).mock(side_effect=httpx.ReadTimeout)
        with pytest.raises(PlatformUnavailable):
            X().find_release(x_line(), ADDRESS)


class TestLinkedIn:
    """Finding 1.1d: an address was judged by its form alone, and says not even whose post it is."""

    SHARE = "https://www.linkedin.com/feed/update/urn:li:share:7000000000000000001"
    COMMENT = "urn:li:comment:(share:7000000000000000001,{})"

    def line(self) -> Api:
        return an_api(LinkedInPage(), access=an_access(remote_id="2414183"))

    def find(self, url: str) -> Released | None:
        return LinkedInPage().find_release(self.line(), url)

    @pytest.mark.parametrize(
        ("answer", "is_found"),
        [
            (httpx.Response(200, json={"author": "urn:li:organization:2414183"}), True),
            (httpx.Response(200, json={"author": "urn:li:organization:7"}), False),
            (httpx.Response(200, json={}), False),
            (httpx.Response(404, json={"message": "Not found"}), False),
        ],
    )
    def test_a_post_must_be_the_page_s(
        self, platform: respx.MockRouter, answer: httpx.Response, is_found: bool
    ) -> None:
        asked = platform.get(url__startswith=f"{LINKEDIN}/rest/posts/").mock(return_value=answer)
        assert (self.find(self.SHARE) is not None) is is_found
        urn = "urn:li:share:7000000000000000001"
        by_id = LinkedInPage().find_release_by_id(self.line(), urn)
        assert by_id == (Released(urn, self.SHARE) if is_found else None)
        assert asked.calls.last.request.url.raw_path.endswith(
            b"/rest/posts/urn%3Ali%3Ashare%3A7000000000000000001"
        )

    @pytest.mark.parametrize(
        ("number", "is_found"),
        [
            ("6636062862760562688", True),
            ("6636062862760562689", False),  # somebody else's
            ("1", False),
        ],
    )
    def test_a_comment_must_be_the_page_s(
        self, platform: respx.MockRouter, number: str, is_found: bool
    ) -> None:
        platform.get(url__startswith=f"{LINKEDIN}/rest/socialActions/").mock(
            return_value=sample("linkedin-page", "comments")
        )
        found = LinkedInPage().find_release_by_id(self.line(), self.COMMENT.format(number))
        assert (found is not None) is is_found
        by_address = self.find(f"{self.SHARE}?commentUrn={self.COMMENT.format(number)}")
        assert by_address == found

    @pytest.mark.parametrize("body", [{"message": "Not enough permissions"}, {}])
    def test_where_it_may_not_be_read_the_address_decides(
        self, platform: respx.MockRouter, body: Any
    ) -> None:
        platform.get(url__startswith=f"{LINKEDIN}/rest/").mock(
            return_value=httpx.Response(403, json=body)
        )
        assert self.find(self.SHARE) == Released("urn:li:share:7000000000000000001", self.SHARE)

    def test_an_activity_cannot_be_asked_about(self, platform: respx.MockRouter) -> None:
        assert self.find("https://www.linkedin.com/posts/roost_owls-activity-73-aB_c")
        assert not platform.calls

    @pytest.mark.parametrize("release_id", ["", "7", "urn:li:person:1", "urn:li:share:1),List(2"])
    def test_an_id_of_another_form_is_not_asked_about(
        self, platform: respx.MockRouter, release_id: str
    ) -> None:
        assert LinkedInPage().find_release_by_id(self.line(), release_id) is None
        assert not platform.calls

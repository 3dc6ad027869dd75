import contextlib
import gzip
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import respx
import time_machine

from shared.core.config import settings
from shared.core.net import ENDS_AT, guarded_client, timed_client
from shared.providers.errors import (
    ContentRejected,
    MediaRejected,
    OutcomeUnknown,
    PlatformUnavailable,
    ProviderError,
    RateLimited,
    TokenExpired,
)
from shared.providers.http import LONGEST_SILENCE, READ_TIMEOUT, ROOM_FOR_RECORD, retry_after
from shared.providers.platforms.mastodon import Mastodon, MastodonCustom
from tests.answering import says, serving
from tests.conftest import Configure
from tests.providers.builders import TOKEN, an_access, an_api

URL = "https://mastodon.social/api/v1/statuses"


class Lost(Exception):
    """The lease is gone."""


class TestRequest:
    @pytest.mark.parametrize(
        ("status", "irrevocable", "error"),
        [
            (400, False, ContentRejected),
            (400, True, ContentRejected),
            (401, True, TokenExpired),
            (408, False, PlatformUnavailable),
            (413, False, MediaRejected),
            (415, False, MediaRejected),
            (429, True, RateLimited),
            (500, False, PlatformUnavailable),
            (500, True, OutcomeUnknown),
            (502, True, OutcomeUnknown),
            (503, False, PlatformUnavailable),
        ],
    )
    def test_reads_a_refusal_by_what_to_do_next(
        self, platform: respx.MockRouter, status: int, irrevocable: bool, error: type[ProviderError]
    ) -> None:
        platform.post(URL).respond(status, json={"error": "because"})
        with pytest.raises(error, match="because") as refused:
            an_api(Mastodon()).request("POST", "/api/v1/statuses", irrevocable=irrevocable)
        assert refused.value.evidence.status == status

    @pytest.mark.parametrize(
        ("failure", "error"),
        [
            (httpx.ConnectError("no route"), PlatformUnavailable),
            (httpx.ConnectTimeout("no route"), PlatformUnavailable),
            (httpx.PoolTimeout("busy"), PlatformUnavailable),
            (httpx.ReadTimeout("silence"), OutcomeUnknown),
            (httpx.WriteTimeout("stuck"), OutcomeUnknown),
            (httpx.WriteError("broken pipe"), OutcomeUnknown),
            (httpx.RemoteProtocolError("half an answer"), OutcomeUnknown),
            (httpx.ReadError("reset"), OutcomeUnknown),
        ],
    )
    def test_no_answer_after_the_mark_is_unknown_unless_nothing_was_sent(
        self, platform: respx.MockRouter, failure: httpx.HTTPError, error: type[ProviderError]
    ) -> None:
        platform.post(URL).mock(side_effect=failure)
        with pytest.raises(error):
            an_api(Mastodon()).request("POST", "/api/v1/statuses", irrevocable=True)

    def test_no_answer_without_the_mark_may_be_repeated(self, platform: respx.MockRouter) -> None:
        platform.post(URL).mock(side_effect=httpx.ReadTimeout("silence"))
        with pytest.raises(PlatformUnavailable):
            an_api(Mastodon()).request("POST", "/api/v1/statuses")

    @pytest.mark.parametrize("path", ["/api/v1/media/1\x00", "/a\x7f", f"/{'a' * 70_000}"])
    @pytest.mark.parametrize("irrevocable", [False, True])
    def test_an_address_that_cannot_be_called_is_refused_before_the_mark(
        self, *, path: str, irrevocable: bool
    ) -> None:
        """Finding 2.4, sibling: ids and paths that a server made up were a failure of ours."""
        marks: list[int] = []
        api = an_api(Mastodon(), mark_sending=lambda: marks.append(1))
        with pytest.raises(PlatformUnavailable, match="cannot be used"):
            api.request("POST", path, irrevocable=irrevocable)
        assert (marks, api.sent) == ([], False)

    def test_a_lost_lease_sends_nothing(self, platform: respx.MockRouter) -> None:
        route = platform.post(URL).respond(200)

        def refuse() -> None:
            raise Lost

        with pytest.raises(Lost):
            an_api(Mastodon(), mark_sending=refuse).request(
                "POST", "/api/v1/statuses", irrevocable=True
            )
        assert route.call_count == 0

    def test_without_time_to_be_answered_nothing_is_marked_or_sent(
        self, platform: respx.MockRouter
    ) -> None:
        route, marks = platform.post(URL).respond(200), []
        api = an_api(
            Mastodon(), mark_sending=lambda: marks.append(1), deadline=time.monotonic() + 2
        )
        with pytest.raises(PlatformUnavailable, match="no time left"):
            api.request("POST", "/api/v1/statuses", irrevocable=True)
        assert (route.call_count, marks) == (0, [])

    def test_a_post_is_awaited_until_the_task_must_record(self, platform: respx.MockRouter) -> None:
        """Finding 1.1b: an answer after 30 s counted as lost, because the client's own limit was 25 s."""
        route = platform.post(URL).respond(200)
        deadline = time.monotonic() + 57
        an_api(Mastodon(), deadline=deadline).request("POST", "/api/v1/statuses", irrevocable=True)
        sent = route.calls.last.request.extensions
        room = ROOM_FOR_RECORD.total_seconds()
        assert sent[ENDS_AT] == pytest.approx(deadline - room, abs=1)
        assert sent["timeout"]["read"] == pytest.approx(57 - room, abs=1)
        an_api(Mastodon(), deadline=deadline).request("POST", "/api/v1/statuses")
        other = route.calls.last.request.extensions[ENDS_AT]
        assert other == pytest.approx(time.monotonic() + READ_TIMEOUT.total_seconds(), abs=1)

    def test_an_upload_has_a_limit_for_the_whole(self, platform: respx.MockRouter) -> None:
        """Finding 8.5: every read had a limit of its own, so that an exchange had none."""
        route = platform.post(URL).respond(200)
        an_api(Mastodon()).request("POST", "/api/v1/statuses", timeout=timedelta(minutes=10))
        sent = route.calls.last.request.extensions
        assert sent[ENDS_AT] == pytest.approx(time.monotonic() + 600, abs=1)
        assert sent["timeout"]["read"] == LONGEST_SILENCE.total_seconds()

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_a_complete_refusal(
        self, platform: respx.MockRouter, status: int
    ) -> None:
        """Finding 4.2f: a 301 on the post was retried for four minutes, then unconfirmed."""
        moved = {"location": "https://new.example/api/v1/statuses"}
        platform.post(URL).respond(status, headers=moved)
        api = an_api(Mastodon())
        with pytest.raises(ContentRejected, match=r"new\.example.*nothing was created") as refused:
            api.request("POST", "/api/v1/statuses", irrevocable=True)
        assert not api.sent
        assert refused.value.detail_code == "redirected"

    def test_see_other_may_follow_what_was_carried_out(self, platform: respx.MockRouter) -> None:
        platform.post(URL).respond(303, headers={"location": "/@roost/1"})
        api = an_api(Mastodon())
        with pytest.raises(OutcomeUnknown):
            api.request("POST", "/api/v1/statuses", irrevocable=True)
        assert api.sent

    def test_waits_no_longer_than_there_is_time(self, platform: respx.MockRouter) -> None:
        route = platform.get(URL).respond(200)
        an_api(Mastodon(), deadline=time.monotonic() + 7).request("GET", "/api/v1/statuses")
        assert route.calls.last.request.extensions["timeout"]["read"] <= 7


class TestPackedAnswers:
    """Finding 4.3: a packed answer counted as lost, and the post was sent again."""

    @pytest.fixture(params=["guarded", "timed"])
    def client(
        self, request: pytest.FixtureRequest, configure: Configure
    ) -> Iterator[httpx.Client]:
        configure(ALLOW_LOOPBACK_ADDRESSES="true")
        made = (
            guarded_client() if request.param == "guarded" else timed_client(limits=httpx.Limits())
        )
        with made as client:
            yield client

    @pytest.mark.parametrize("encoding", ["gzip", "", "aws-chunked"])
    def test_are_read(self, client: httpx.Client, encoding: str) -> None:
        body = b'{"id": "7"}'
        packed = gzip.compress(body) if encoding == "gzip" else body
        with serving(says(packed, {"content-encoding": encoding})) as url:
            api = an_api(Mastodon(), client=client)
            answer = api.request("POST", url, json={}, irrevocable=True)
            assert api.read(answer, "id") == {"id": "7"}

    def test_that_refuse_are_refusals_even_where_nobody_can_read_them(
        self, client: httpx.Client
    ) -> None:
        with serving(says(b"x", {"content-encoding": "br"}, status=422)) as url:
            api = an_api(Mastodon(), client=client)
            with pytest.raises(ContentRejected) as refused:
                api.request("POST", url, json={}, irrevocable=True)
        assert refused.value.evidence.status == 422
        assert not api.sent

    def test_that_accept_and_cannot_be_read_leave_a_doubt(self, client: httpx.Client) -> None:
        with serving(says(b"x", {"content-encoding": "br"})) as url:
            api = an_api(Mastodon(), client=client)
            answer = api.request("POST", url, json={}, irrevocable=True)
            with pytest.raises(OutcomeUnknown, match="accepted the post") as unknown:
                api.read(answer, "id")
        assert unknown.value.evidence.status == 200


class TestSent:
    """What is known of requests that cannot be taken back, where a post takes more than one."""

    @pytest.mark.parametrize(
        ("answers", "sent"),
        [
            ([200], True),
            ([422], False),
            ([200, 422], True),
            ([200, 401], True),
            ([200, httpx.ConnectError("no route")], True),
            ([httpx.ReadTimeout("silence"), 422], True),
            ([500, 422], True),
            ([422, 422], False),
            ([422, 200], True),
            ([httpx.ConnectError("no route"), 422], False),
        ],
    )
    def test_a_refusal_speaks_for_its_own_request_alone(
        self, platform: respx.MockRouter, answers: list[int | httpx.HTTPError], sent: bool
    ) -> None:
        api = an_api(Mastodon())
        for answer in answers:
            route = platform.post(URL)
            if isinstance(answer, int):
                route.respond(answer)
            else:
                route.mock(side_effect=answer)
            with contextlib.suppress(ProviderError):
                api.request("POST", "/api/v1/statuses", irrevocable=True)
        assert api.sent is sent

    def test_a_refusal_that_a_provider_reads_out_of_an_accepted_answer_counts(
        self, platform: respx.MockRouter
    ) -> None:
        platform.post(URL).respond(400)
        api = an_api(Mastodon())
        answer = api.request("POST", "/api/v1/statuses", irrevocable=True, accept=(400,))
        assert api.sent
        api.with_evidence(ContentRejected("no"), answer)
        assert not api.sent

    def test_a_request_by_a_line_made_from_it_counts(self, platform: respx.MockRouter) -> None:
        platform.post(URL).respond(200)
        api = an_api(Mastodon())
        api.acting_as(an_access()).request("POST", "/api/v1/statuses", irrevocable=True)
        assert api.sent


class TestRead:
    def test_a_broken_answer_to_an_irrevocable_request_is_unknown(
        self, platform: respx.MockRouter
    ) -> None:
        platform.post(URL).respond(200, text="<html>")
        api = an_api(Mastodon())
        with pytest.raises(OutcomeUnknown):
            api.read(api.request("POST", "/api/v1/statuses", irrevocable=True), "id")

    @pytest.mark.parametrize("body", [[], {"data": {}}, {"data": {"id": ""}}, {"data": "x"}])
    def test_a_missing_field_is_a_broken_answer(
        self, platform: respx.MockRouter, body: object
    ) -> None:
        platform.get(URL).respond(200, json=body)
        api = an_api(Mastodon())
        with pytest.raises(PlatformUnavailable):
            api.read(api.request("GET", "/api/v1/statuses"), "data.id")


class TestEvidence:
    def test_keeps_the_platform_s_words_and_code_without_secrets(
        self, platform: respx.MockRouter
    ) -> None:
        platform.post(URL).respond(
            422,
            json={
                "error": {"code": "E17", "message": f"bad token {TOKEN}"},
                "refresh_token": "leak",
            },
            headers={"x-request-id": "r-1"},
        )
        api = an_api(Mastodon())
        with pytest.raises(ContentRejected) as refused:
            api.request("POST", "/api/v1/statuses", params={"q": "secret"})
        evidence = refused.value.evidence.as_json()
        assert evidence["platform_code"] == "E17"
        assert evidence["request_id"] == "r-1"
        assert evidence["path"] == "/api/v1/statuses"
        shown = f"{refused.value!r} {refused.value.message} {evidence}"
        assert TOKEN not in shown
        assert "leak" not in shown

    def test_a_long_page_is_trimmed(self, platform: respx.MockRouter) -> None:
        platform.get(URL).respond(500, text="x" * 100_000)
        with pytest.raises(PlatformUnavailable) as refused:
            an_api(Mastodon()).request("GET", "/api/v1/statuses")
        assert len(refused.value.evidence.body) == 2_000
        assert len(refused.value.message) < 500

    @pytest.mark.parametrize("before", range(270, 300, 7))
    def test_a_secret_is_never_cut_in_two_and_kept_in_part(
        self, platform: respx.MockRouter, before: int
    ) -> None:
        platform.get(URL).respond(
            400, json={"message": "x" * (before - 1) + f" {TOKEN} {'y' * 3000}"}
        )
        with pytest.raises(ContentRejected) as refused:
            an_api(Mastodon()).request("GET", "/api/v1/statuses")
        assert TOKEN[:6] not in f"{refused.value.message} {refused.value.evidence.body}"

    def test_an_access_shows_no_secret(self) -> None:
        access = an_access(details={"tokenSecret": "hidden"})
        assert TOKEN not in repr(access)
        assert "hidden" not in repr(access)


class TestBaseUrl:
    def test_an_account_s_own_server_goes_before_everything(self) -> None:
        access = an_access(details={"base": "https://own.example/"})
        assert an_api(MastodonCustom(), access=access).base_url == "https://own.example"

    def test_a_setting_goes_before_the_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MASTODON_URL", "https://toot.example")
        settings.cache_clear()
        found = an_api(Mastodon()).base_url
        settings.cache_clear()
        assert found == "https://toot.example"


class TestRetryAfter:
    NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ({"retry-after": "30"}, timedelta(seconds=30)),
            ({"retry-after": "Sun, 22 Nov 2026 12:05:00 GMT"}, timedelta(minutes=5)),
            ({"x-ratelimit-reset": "2026-11-22T12:10:00.000Z"}, timedelta(minutes=10)),
            ({"x-rate-limit-reset": str(int(NOW.timestamp()) + 90)}, timedelta(seconds=90)),
            ({"ratelimit-reset": "45"}, timedelta(seconds=45)),
            ({"x-rate-limit-reset": "1"}, timedelta(seconds=1)),
            ({"retry-after": "soon"}, timedelta(minutes=1)),
            ({"retry-after": "9" * 5_000}, timedelta(seconds=10**11 - 1)),
            ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, timedelta(minutes=1)),
            ({}, timedelta(minutes=1)),
        ],
    )
    def test_reads_every_form(self, headers: dict[str, str], wait: timedelta) -> None:
        with time_machine.travel(self.NOW, tick=False):
            assert retry_after(httpx.Response(429, headers=headers)) == wait

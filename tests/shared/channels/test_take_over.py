"""Can somebody take a channel over by connecting, and does the team learn what changed?"""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import respx
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.access.policy import POLICY, complete, reaches
from shared.channels import connect
from shared.channels.connect import Finished, NewConnection, finish, start
from shared.channels.connect_queries import USE_STATE
from shared.channels.errors import (
    AlreadyConnected,
    NotStarted,
    OtherAccount,
    PlatformRefused,
    PlatformSilent,
)
from shared.channels.models import Channel
from shared.core.ids import ChannelId
from shared.notifications.models import Notification, NotificationKind
from shared.organizations.models import Member, Role
from tests.builders import a_member, a_user, an_organization
from tests.shared.channels.builders import a_connector, opened
from tests.shared.channels.platforms import (
    ADA_DID,
    BLUESKY_FIELDS,
    HERE,
    PDS,
    PLC,
    bluesky,
    did_document,
    mastodon,
)

pytestmark = pytest.mark.usefixtures("sealing")

STARTS = "GET /integrations/social/{provider}"
EVIL = "https://evil.example"
EVIL_FIELDS = {**BLUESKY_FIELDS, "service": EVIL}


@pytest.fixture
def member(session: Session) -> Member:
    user = a_user(session, name="Grace", email="grace@example.org")
    return a_member(session, an_organization(session), user)


def by_form(
    member: Member,
    fields: Mapping[str, str] = BLUESKY_FIELDS,
    *,
    reconnects: ChannelId | None = None,
) -> Finished:
    return connect.connect_by_form(
        a_connector(member),
        "bluesky",
        json.dumps(fields),
        zone="UTC",
        reconnects=str(reconnects) if reconnects else None,
    )


def begin(member: Member, slug: str, *, reconnects: ChannelId | None = None) -> str:
    wanted = NewConnection(zone="UTC", reconnects=str(reconnects) if reconnects else None)
    url = start(a_connector(member), slug, wanted)
    return parse_qs(urlsplit(url).query)["state"][0]


def access_of(session: Session, channel_id: ChannelId) -> tuple[str, str]:
    session.expire_all()
    channel = session.get_one(Channel, channel_id)
    return opened(channel, "access_token"), json.loads(opened(channel, "details"))["base"]


def notices(session: Session) -> list[Notification]:
    return list(session.scalars(select(Notification).order_by(Notification.created_at)))


class TestIdentity:
    def test_a_server_that_claims_an_account_of_another_is_refused(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: the tokens and the server of the channel stay; the real server is asked about the login."""
        bluesky(respx_mock)
        channel = by_form(member).channel
        bluesky(respx_mock, pds=EVIL, access="evil-jwt")
        asked = respx_mock.get(f"{PDS}/xrpc/com.atproto.server.getSession").mock(
            return_value=httpx.Response(401, json={"error": "InvalidToken"})
        )
        for again in (None, channel.id):
            with pytest.raises(PlatformRefused, match=r"on pds\.example.* at evil\.example"):
                by_form(member, EVIL_FIELDS, reconnects=again)
        assert asked.call_count == 2
        assert access_of(session, channel.id) == ("a-jwt", PDS)
        assert session.scalar(select(func.count()).select_from(Channel)) == 1

    def test_the_own_server_says_that_the_login_is_another_accounts(
        self, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: a valid login of the attacker's own account does not prove the claimed one."""
        bluesky(respx_mock, pds=EVIL)
        other = {"did": "did:plc:evil34567abcdefghijklmno", "handle": "evil.example"}
        respx_mock.get(f"{PDS}/xrpc/com.atproto.server.getSession").mock(
            return_value=httpx.Response(200, json=other)
        )
        with pytest.raises(PlatformRefused, match=r"on pds\.example"):
            by_form(member, EVIL_FIELDS)

    def test_a_login_through_bsky_social_goes_on_at_the_own_server(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        bluesky(respx_mock)
        bluesky(respx_mock, pds="https://bsky.social")
        respx_mock.get(f"{PDS}/xrpc/com.atproto.server.getSession").mock(
            return_value=httpx.Response(200, json={"did": ADA_DID, "handle": "ada.example"})
        )
        channel = by_form(member, {**BLUESKY_FIELDS, "service": "bsky.social"}).channel
        assert access_of(session, channel.id) == ("a-jwt", PDS)

    def test_a_did_of_the_web_is_resolved_at_its_host(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        did = "did:web:ada.example"
        bluesky(respx_mock, did=did)
        document = did_document(respx_mock, did=did, at="https://ada.example/.well-known/did.json")
        assert by_form(member).channel.remote_id == did
        assert document.called

    @pytest.mark.parametrize(
        "did",
        [
            "did:web:ada.example:path",
            "did:web:ada.example%3A8080",
            "did:web:10.0.0.1",
            "did:key:zabc",
            "did:plc:../health",
            "",
        ],
    )
    def test_an_id_of_no_such_form_asks_nobody(
        self, member: Member, respx_mock: respx.MockRouter, did: str
    ) -> None:
        bluesky(respx_mock)
        bad = {"accessJwt": "a", "refreshJwt": "r", "did": did or " ", "handle": "ada.example"}
        respx_mock.post(f"{PDS}/xrpc/com.atproto.server.createSession").mock(
            return_value=httpx.Response(200, json=bad)
        )
        with pytest.raises(Exception, match=r"account id|server name|cannot be read"):
            by_form(member)
        assert len(respx_mock.calls) == 1

    def test_a_handle_that_the_document_does_not_name_is_refused(
        self, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: a server cannot give its account somebody else's name."""
        bluesky(respx_mock, handle="nytimes.com")
        did_document(respx_mock, handle="ada.example")
        with pytest.raises(PlatformRefused, match=r"@nytimes\.com, but .*@ada\.example"):
            by_form(member)

    def test_a_handle_that_does_not_resolve_is_left_out(
        self, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        bluesky(respx_mock, handle="handle.invalid")
        did_document(respx_mock)
        assert by_form(member).channel.username is None

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (httpx.Response(404), "plc.directory does not know"),
            (httpx.Response(200, json={"id": ADA_DID}), "names no server"),
            (httpx.Response(200, json={"id": ADA_DID, "service": "x"}), "names no server"),
            (httpx.Response(502), "not available"),
            (httpx.Response(200, text="<html>"), "cannot be read"),
        ],
    )
    def test_without_a_document_nothing_is_connected(
        self,
        session: Session,
        member: Member,
        respx_mock: respx.MockRouter,
        answer: httpx.Response,
        words: str,
    ) -> None:
        bluesky(respx_mock)
        respx_mock.get(f"{PLC}/{ADA_DID}").mock(return_value=answer)
        with pytest.raises(Exception, match=words):
            by_form(member)
        assert session.scalar(select(func.count()).select_from(Channel)) == 0


class TestRenewal:
    def test_only_a_request_for_that_channel_renews_it(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: connecting an account that is a channel already changes nothing and says what to do."""
        bluesky(respx_mock)
        channel = by_form(member).channel
        bluesky(respx_mock, access="second-jwt")
        with pytest.raises(AlreadyConnected, match=f"refresh={channel.id}"):
            by_form(member)
        state = begin(member, "bluesky")
        with pytest.raises(AlreadyConnected):
            finish("bluesky", state, json.dumps(BLUESKY_FIELDS))
        assert access_of(session, channel.id) == ("a-jwt", PDS)
        assert notices(session) == []

        by_form(member, reconnects=channel.id)
        assert access_of(session, channel.id) == ("second-jwt", PDS)

    def test_an_account_added_twice_at_once_is_refused_once(
        self, session: Session, member: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Finding 2.1: the race between two requests is no way around the refusal."""
        router = respx.mock(assert_all_called=False)
        with router:
            bluesky(router)
            channel = by_form(member).channel
            bluesky(router, access="second-jwt")
            monkeypatch.setattr(connect, "LOCK_ACCOUNT", SimpleNamespace(find=lambda *_: None))
            with pytest.raises(AlreadyConnected):
                by_form(member)
        assert access_of(session, channel.id) == ("a-jwt", PDS)

    def test_the_team_is_told_by_whom(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: new tokens are told to the team, with who did it."""
        mastodon(respx_mock)
        first = finish("mastodon", begin(member, "mastodon"), "a-code").channel
        finish("mastodon", begin(member, "mastodon", reconnects=first.id), "a-code")
        [notice] = notices(session)
        assert (notice.kind, notice.title) == (
            NotificationKind.INFO,
            "Ada L. was reconnected",
        )
        assert "Grace reconnected Ada L. (mastodon)" in notice.content
        assert "changed from" not in notice.content

    def test_a_move_to_another_server_is_told_with_both_names(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: another server is accepted where the account's document names it, and told."""
        bluesky(respx_mock)
        channel = by_form(member).channel
        moved = "https://new.example"
        bluesky(respx_mock, pds=moved, access="moved-jwt")
        did_document(respx_mock, pds=moved)
        by_form(member, {**BLUESKY_FIELDS, "service": moved}, reconnects=channel.id)
        assert access_of(session, channel.id) == ("moved-jwt", moved)
        [notice] = notices(session)
        assert "Its server changed from pds.example to new.example." in notice.content

    def test_the_same_number_on_another_instance_is_another_account(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1, sibling: an instance numbers its accounts itself, so the number alone says nothing."""
        mastodon(respx_mock)
        ours = finish("mastodon", begin(member, "mastodon"), "a-code").channel
        respx_mock.post(f"{EVIL}/api/v1/apps").mock(
            return_value=httpx.Response(200, json={"client_id": "i", "client_secret": "s"})
        )
        mastodon(respx_mock, base=EVIL, access_token="evil-token")
        wanted = NewConnection(zone="UTC", instance=EVIL)
        url = start(a_connector(member), "mastodon-custom", wanted)
        state = parse_qs(urlsplit(url).query)["state"][0]
        theirs = finish("mastodon-custom", state, "a-code").channel
        assert ours.remote_id == "17@social.example"
        assert (theirs.id != ours.id, theirs.remote_id) == (True, "17@evil.example")

        again = NewConnection(zone="UTC", instance=HERE, reconnects=str(theirs.id))
        respx_mock.post(f"{HERE}/api/v1/apps").mock(
            return_value=httpx.Response(200, json={"client_id": "i", "client_secret": "s"})
        )
        url = start(a_connector(member), "mastodon-custom", again)
        with pytest.raises(OtherAccount):
            finish("mastodon-custom", parse_qs(urlsplit(url).query)["state"][0], "a-code")


class TestWhoBegan:
    def test_who_has_left_cannot_finish(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Finding 2.1: the state is bound to who began it."""
        mastodon(respx_mock)
        state = begin(member, "mastodon")
        session.execute(update(Member).where(Member.id == member.id).values(disabled=True))
        with pytest.raises(NotStarted):
            finish("mastodon", state, "a-code")
        session.execute(update(Member).where(Member.id == member.id).values(disabled=False))
        assert finish("mastodon", state, "a-code").channel.name == "Ada L."


class TestWhatAPlatformSays:
    def test_names_and_addresses_are_cleaned_where_they_are_stored(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """Findings 2.4 and 2.13: an instance that anybody may run names its accounts as it likes."""
        mastodon(respx_mock)
        me = {
            "id": "17",
            "username": "ada",
            "display_name": "gro\u202e\r\nAda\x00\ud800 " + "x" * 900_000,
            "avatar_static": "javascript:alert(1)",
        }
        respx_mock.get(f"{HERE}/api/v1/accounts/verify_credentials").mock(
            return_value=httpx.Response(
                200, content=json.dumps(me), headers={"content-type": "application/json"}
            )
        )
        channel = finish("mastodon", begin(member, "mastodon"), "a-code").channel
        assert channel.name.startswith("gro Ada\ufffd xxx")
        assert len(channel.name) == 200
        assert channel.picture_url is None

    @pytest.mark.parametrize("remote_id", ["17\x00", "17\n", "x" * 2_000])
    def test_an_id_that_cannot_be_kept_is_no_account(
        self, member: Member, respx_mock: respx.MockRouter, remote_id: str
    ) -> None:
        mastodon(respx_mock, account=remote_id)
        with pytest.raises(
            PlatformSilent, match=r"did not say whose account|response that cannot be read"
        ):
            finish("mastodon", begin(member, "mastodon"), "a-code")


class TestRightToFinish:
    @pytest.mark.parametrize("slug", ["mastodon", "bluesky"])
    @pytest.mark.parametrize("role", list(Role))
    def test_the_role_counts_when_it_is_finished(
        self, session: Session, member: Member, respx_mock: respx.MockRouter, slug: str, role: Role
    ) -> None:
        """An editor who had become a viewer could still finish what they had begun."""
        mastodon(respx_mock)
        bluesky(respx_mock)
        code = json.dumps(BLUESKY_FIELDS) if slug == "bluesky" else "a-code"
        state = begin(member, slug)
        session.execute(update(Member).values(role=role))
        if reaches(role, Role(complete("GET", POLICY[STARTS]).who.value)):
            assert finish(slug, state, code).channel.provider == slug
        else:
            with pytest.raises(NotStarted):
                finish(slug, state, code)
            assert not respx_mock.calls

    def test_a_role_lost_while_the_platform_is_asked(
        self, session: Session, member: Member, respx_mock: respx.MockRouter
    ) -> None:
        """The statement that uses the form's state up judges the role too."""
        bluesky(respx_mock)
        state = begin(member, "bluesky")
        session.execute(update(Member).values(role=Role.VIEWER))
        assert not USE_STATE.run(session, state, "bluesky")
        session.execute(update(Member).values(role=Role.EDITOR))
        assert USE_STATE.run(session, state, "bluesky")

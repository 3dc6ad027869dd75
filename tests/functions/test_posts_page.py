"""The page that mails link to: what a member sees of a post, and what anybody else is asked."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from functions.posts.app import app
from shared.channels.models import Channel
from shared.posts.lifecycle import PostState
from shared.publishing.notices import post_link
from tests.builders import a_channel, a_media, a_member, a_post, a_user, an_organization
from tests.conftest import Configure
from tests.gateway import Answer, Gateway, as_member

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
WHEN = datetime(2026, 11, 22, 10, 30, 5, tzinfo=UTC)
SECRET = "Nobody else may read this"


def shown(caller: Gateway, post_id: object) -> Answer:
    return caller.get(f"/app/posts/{post_id}", headers=BROWSER)


def test_mails_link_to_it(
    session: Session, channel: Channel, caller: Gateway, configure: Configure
) -> None:
    post = a_post(session, channel)
    configure(PUBLIC_URL="https://roost.example", FRONTEND_URL="")
    path = post_link(post.id).removeprefix("https://roost.example")
    assert caller.get(path, headers=BROWSER).status == 200


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (PostState.DRAFT, "<strong>DRAFT</strong>: A draft"),
        (PostState.QUEUED, "<strong>QUEUE</strong>: Scheduled."),
        (PostState.PUBLISHING, "being published right now"),
        (PostState.PUBLISHED, "<strong>PUBLISHED</strong>: Published."),
        (PostState.FAILED, "<strong>ERROR</strong>: It was not published."),
        (PostState.UNCONFIRMED, "It may have been published"),
    ],
)
def test_a_member_sees_where_it_stands(
    session: Session, channel: Channel, caller: Gateway, state: PostState, words: str
) -> None:
    answer = shown(caller, a_post(session, channel, state=state).id)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert words in answer.text


def test_platform_is_called_by_its_name(
    session: Session, channel: Channel, caller: Gateway
) -> None:
    channel.provider = "mastodon-custom"
    session.flush()
    assert "<p>Mastodon, planned for" in shown(caller, a_post(session, channel).id).text
    channel.provider = "gone"
    session.flush()
    assert "<p>gone, planned for" in shown(caller, a_post(session, channel).id).text


def test_damaged_address_is_told_to_a_person(caller: Gateway) -> None:
    answer = shown(caller, "zz")
    assert answer.status == 422
    assert "Open the complete link again" in answer.text
    assert "019bc0de" not in answer.text  # how an id looks is for programs


def test_text_time_reason_and_address_are_there(session: Session, caller: Gateway) -> None:
    organization = an_organization(session)
    channel = a_channel(session, organization, name="Ada & Co")
    media = a_media(session, organization)
    root = a_post(
        session, channel, state=PostState.PUBLISHED, content="<p>One &lt;b&gt;</p><p>Two</p>",
        publish_at=WHEN, published_at=WHEN, release_id="1", media=[{"id": str(media.id)}],
        release_url="https://social.example/@ada/1?a=1&b=2",
    )  # fmt: skip
    a_post(
        session, channel, parent=root, state=PostState.FAILED, content="<p>Reply</p>",
        error_code="content_rejected", error_message="Too <long> for us.",
    )  # fmt: skip
    member = a_member(session, organization, a_user(session, timezone="Europe/Berlin"))
    page = shown(as_member(app, session, member), root.id).text
    for part in (
        "Post for Ada &amp; Co",
        "Mastodon, planned for 2026-11-22 11:30:05 (Europe/Berlin)",
        "Published at 2026-11-22 11:30:05",
        "One &lt;b&gt;<br><br>Two",
        "With 1 file.",
        '<a href="https://social.example/@ada/1?a=1&amp;b=2">',
        "Too &lt;long&gt; for us.",
        "Reply",
    ):
        assert part in page, page


def test_an_address_that_is_none_is_no_link(
    session: Session, channel: Channel, caller: Gateway
) -> None:
    post = a_post(
        session,
        channel,
        state=PostState.PUBLISHED,
        release_id="1",
        release_url="javascript:alert()",
    )
    assert "javascript:" not in shown(caller, post.id).text


def test_whoever_is_not_signed_in_is_asked_to_and_sees_nothing(
    session: Session, channel: Channel, caller: Gateway
) -> None:
    post = a_post(session, channel, content=f"<p>{SECRET}</p>")
    assert SECRET in shown(caller, post.id).text
    for stranger in (Gateway(app), Gateway(app, cookies={"auth": "made-up"})):
        answer = shown(stranger, post.id)
        assert (answer.status, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert "Sign in to see this." in answer.text
        assert "/auth/renew" in answer.text  # a session that has run out is renewed first
        assert '<input name="password" type="password"' in answer.text
        assert SECRET not in answer.text
        assert channel.name not in answer.text
        assert "script-src 'sha256-" in answer.headers["content-security-policy"]


def test_another_organizations_member_finds_nothing(
    session: Session, channel: Channel, queues: None
) -> None:
    post = a_post(session, channel, content=f"<p>{SECRET}</p>")
    stranger = as_member(app, session, a_member(session, an_organization(session)))
    answer = shown(stranger, post.id)
    assert (
        answer.status,
        ("This post does not exist. It may be deleted, or belong to another organization.")
        in answer.text,
    ) == (404, True)
    assert SECRET not in answer.text


def test_an_address_that_was_cut_off_is_told_on_a_page(caller: Gateway) -> None:
    answer = shown(caller, "019bc0de")
    assert (answer.status, "This link cannot be used" in answer.text) == (422, True)


def test_a_program_gets_a_problem(caller: Gateway) -> None:
    answer = Gateway(app).get("/app/posts/019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f")
    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")

"""Which of many reasons is told, and in which shape: the contract's order, whatever the order they were found in."""

import random

import pytest
from sqlalchemy.orm import Session

from shared.core.errors import FieldProblem, InvalidInput
from shared.core.reach import Reach
from shared.public_api.errors import Refused
from shared.public_api.post_refusals import first_empty, refused
from shared.public_api.post_schemas import PublicPart
from tests.builders import a_channel, an_organization

# In the order in which they are told.
REASONS = [
    FieldProblem("posts.0.value.1.content", "empty", "Empty."),
    FieldProblem("posts.0.settings.privacy", "missing", "Settings."),
    FieldProblem("posts.0.value.0.image.0.alt", "alt_too_long", "Files."),
    FieldProblem("posts.0.value.0.content", "too_long", "Length."),
    FieldProblem("posts.0.integration.id", "channel_disabled", "Off."),
    FieldProblem("posts.1.value.0.content", "empty", "The other post."),
]


class TestRefused:
    @pytest.mark.parametrize("number", range(len(REASONS)))
    def test_the_first_reason_of_the_first_post(self, session: Session, number: int) -> None:
        organization = an_organization(session)
        channels = [a_channel(session, organization, name=name) for name in ("One", "Two")]
        found = REASONS[number:]
        random.Random(number).shuffle(found)
        told = refused(
            session,
            Reach(organization.id),
            InvalidInput("Refused.", problems=found),
            [channel.id for channel in channels],
        )
        assert isinstance(told, Refused)
        assert (told.answer, told.message) == (400, REASONS[number].message)
        name = "Two" if number == len(REASONS) - 1 else "One"
        assert told.also == {"provider": "mastodon", "name": name}
        assert told.problems == (REASONS[number],)

    @pytest.mark.parametrize(
        ("path", "code", "told_path"),
        [
            ("date", "date_in_the_past", "date"),
            ("posts", "too_many_parts", "posts"),
            ("posts.0.value.0.id", "named_twice", "posts.0.value.0.id"),
            (
                "posts.0.value.0.image.2.id",
                "media_not_found",
                "posts.0.value.0.image.2.path",
            ),
        ],
    )
    def test_what_is_wrong_with_the_body_is_listed(
        self, session: Session, path: str, code: str, told_path: str
    ) -> None:
        error = InvalidInput("Refused.", problems=[*REASONS, FieldProblem(path, code, "No.")])
        told = refused(session, Reach(an_organization(session).id), error, [])
        assert isinstance(told, InvalidInput)
        assert told.problems == (FieldProblem(told_path, code, "No."),)


class TestFirstEmpty:
    @pytest.mark.parametrize(
        "content", ["", "  ", "<p></p>", "<p><br></p>", "&nbsp;", "<script>x</script>"]
    )
    def test_nothing_to_read(self, content: str) -> None:
        parts = [PublicPart(content="Hello"), PublicPart(content=content)]
        found = first_empty(parts, "posts.3.")
        assert found is not None
        assert (found.path, found.code) == ("posts.3.value.1.content", "empty")

    def test_a_file_is_enough(self) -> None:
        part = PublicPart.model_validate({"content": "", "image": [{"path": "a.png"}]})
        assert first_empty([part, PublicPart(content="<p>0</p>")]) is None

"""How a body is read: two forms, one meaning, and what counts as the same content."""

import pytest

from shared.core.ids import ChannelId, new_id
from shared.posts.draft import Part, as_id, read_draft
from shared.posts.schemas import PostDraft

CHANNEL = str(new_id())
LATER = "2026-12-24T10:00:00Z"


def part(content: str, *files: str) -> Part:
    return Part(content, [{"id": file} for file in files], 0)


class TestReadDraft:
    def test_both_forms_mean_the_same(self) -> None:
        short = PostDraft.model_validate(
            {"type": "draft", "content": "Hi", "integrationId": CHANNEL, "publishDate": LATER}
        )
        full = PostDraft.model_validate(
            {
                "type": "draft",
                "date": LATER,
                "posts": [{"integration": {"id": CHANNEL}, "value": [{"content": "Hi"}]}],
            }
        )
        [one], [other] = read_draft(short).threads, read_draft(full).threads
        assert (one.channel_id, one.parts) == (other.channel_id, other.parts)
        assert read_draft(short).publish_at == read_draft(full).publish_at

    def test_paths_lead_back_to_each_form(self) -> None:
        short = PostDraft(type="draft", content="Hi", integration_id=as_id(CHANNEL, ChannelId))
        [thread] = read_draft(short).threads
        assert thread.path("value.0.image.1") == "image.1"
        assert thread.path("settings.x") == "settings.x"
        assert thread.path("integration.id") == "integrationId"

    def test_the_roots_delay_and_the_type_in_the_settings_mean_nothing(self) -> None:
        draft = PostDraft.model_validate(
            {
                "type": "draft",
                "posts": [
                    {
                        "integration": {"id": CHANNEL},
                        "settings": {"__type": "x", "a": 1},
                        "value": [{"content": "1", "delay": 5}, {"content": "2", "delay": 1.5}],
                    }
                ],
            }
        )
        [thread] = read_draft(draft).threads
        assert thread.settings == {"a": 1}
        assert [one.delay_seconds for one in thread.parts] == [0, 90]


class TestContentHash:
    @pytest.mark.parametrize("other", ["<p>Hello   world</p>", "HELLO WORLD", "Hello\nworld "])
    def test_what_reads_alike_is_alike(self, other: str) -> None:
        assert part("Hello world").content_hash == part(other).content_hash

    @pytest.mark.parametrize(
        "other", [part("Hello"), part("Hello world", "a"), part("Hello, world")]
    )
    def test_other_words_or_files_are_not(self, other: Part) -> None:
        assert part("Hello world").content_hash != other.content_hash

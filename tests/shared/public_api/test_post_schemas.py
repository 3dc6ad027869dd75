"""How loosely the bodies of programs are read, and what they must hold nevertheless."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.public_api.post_schemas import PublicDraft, PublicEdit, PublicImage, PublicPart, kind_of
from tests.conftest import Configure

ENTRY: dict[str, Any] = {"integration": {"id": "a"}, "value": [{"content": "Hello"}]}
LEAST: dict[str, Any] = {"date": "2026-12-24T10:00:00Z", "shortLink": False, "posts": [ENTRY]}


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("draft", "draft"),
        ("schedule", "schedule"),
        ("now", "now"),
        ("update", "update"),
        ("Draft", "schedule"),
        ("", "schedule"),
        (None, "schedule"),
    ],
)
def test_any_other_word_means_schedule(word: str | None, kind: str) -> None:
    assert kind_of(word) == kind


class TestDraft:
    @pytest.mark.parametrize(
        ("sent", "read"),
        [(True, True), (False, False), ("false", True), ("", False), (0, False), (1, True)],
    )
    def test_flags(self, sent: Any, read: bool) -> None:
        assert PublicDraft.model_validate(LEAST | {"shortLink": sent}).short_link is read

    @pytest.mark.parametrize("sent", [None, {}, []])
    def test_no_flags(self, sent: Any) -> None:
        with pytest.raises(ValidationError):
            PublicDraft.model_validate(LEAST | {"shortLink": sent})

    @pytest.mark.parametrize("sent", [None, "", 0, "0", []])
    def test_not_repeated(self, sent: Any) -> None:
        assert not PublicDraft.model_validate(LEAST | {"inter": sent}).inter

    @pytest.mark.parametrize("sent", [1, "7", 0.5, -1, "daily"])
    def test_repeated(self, sent: Any) -> None:
        with pytest.raises(ValidationError) as refused:
            PublicDraft.model_validate(LEAST | {"inter": sent})
        assert refused.value.errors()[0]["loc"] == ("inter",)

    @pytest.mark.parametrize("sent", [None, "", []])
    def test_no_tags(self, sent: Any) -> None:
        assert PublicDraft.model_validate(LEAST | {"tags": sent}).tags == []

    def test_numbers_for_words(self) -> None:
        entry = ENTRY | {"group": 7, "integration": {"id": 7}, "value": [{"content": 7, "id": 7}]}
        [read] = PublicDraft.model_validate(LEAST | {"posts": [entry], "type": 7}).posts
        assert (read.group, read.integration.id) == ("7", "7")
        assert (read.value[0].content, read.value[0].id) == ("7", "7")

    @pytest.mark.parametrize("sent", [None, "", [], {}])
    def test_no_settings(self, sent: Any) -> None:
        [read] = PublicDraft.model_validate(LEAST | {"posts": [ENTRY | {"settings": sent}]}).posts
        assert not read.settings

    def test_null_is_no_setting(self) -> None:
        sent = {"community": None, "made_with_ai": False, "article_title": ""}
        [read] = PublicDraft.model_validate(LEAST | {"posts": [ENTRY | {"settings": sent}]}).posts
        assert read.settings == {"made_with_ai": False, "article_title": ""}

    def test_null_is_no_type(self) -> None:
        assert PublicDraft.model_validate(LEAST | {"type": None}).kind == "schedule"


class TestPart:
    @pytest.mark.parametrize(("sent", "read"), [(None, 0), ("", 0), ("5", 5), (2.5, 2.5)])
    def test_delay(self, sent: Any, read: float) -> None:
        assert PublicPart.model_validate({"content": "", "delay": sent}).delay == read

    @pytest.mark.parametrize("sent", [-1, "soon", float("inf")])
    def test_no_delay(self, sent: Any) -> None:
        with pytest.raises(ValidationError):
            PublicPart.model_validate({"content": "", "delay": sent})


class TestImage:
    @pytest.mark.parametrize("ending", [".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4"])
    def test_endings(self, ending: str) -> None:
        address = f"https://a.example/a{ending}?v=.svg"
        assert PublicImage.model_validate({"path": address}).path == address

    @pytest.mark.parametrize("path", ["", "a", "a.PNG", "a.svg", "a.svg?.png", "a.png#"])
    def test_no_endings(self, path: str) -> None:
        with pytest.raises(ValidationError):
            PublicImage.model_validate({"path": path})


def test_address_of_the_library_may_end_in_anything(configure: Configure) -> None:
    configure(MEDIA_PUBLIC_URL="https://media.example")
    for ending in (".avif", ".tiff", ".bmp"):
        address = f"https://media.example/files/a{ending}"
        assert PublicImage.model_validate({"path": address}).path == address


def test_an_edit_may_say_nothing() -> None:
    read = PublicEdit.model_validate({})
    assert (kind_of(read.type), read.value, read.tags, read.settings) == ("update",) + (None,) * 3

"""What the publisher does for a provider that works in two requests, and for files that settings name."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.providers.base import OutgoingPost, Processing, Released, Staged
from shared.providers.errors import PlatformUnavailable, RateLimited
from shared.providers.http import Api
from tests.fakes.platform import Keyless
from tests.shared.publishing.world import World, a_thread

NOW = timedelta(0)


class TestSettingMedia:
    def test_a_file_that_a_setting_names_is_staged_and_sent_beside_what_is_shown(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        staged: list[OutgoingPost] = []

        def stage(
            _self: Keyless, _api: Api, post: OutgoingPost, _progress: Mapping[str, Any]
        ) -> Staged:
            staged.append(post)
            return Staged({"ids": ["m"]})

        monkeypatch.setattr(Keyless, "stage", stage)
        root = a_thread(world, "keyless", due_in=NOW, media=True)
        with world.engine.begin() as connection:
            connection.execute(
                text(
                    "update posts set media = jsonb_set(media, '{0,setting}', '\"cover\"')"
                    " where jsonb_array_length(media) > 0"
                )
            )
        world.run()
        assert world.states(root.id) == ["published", "published"]
        assert [(len(post.media), list(post.setting_media)) for post in staged] == [(0, ["cover"])]


class TestTwoRequests:
    @pytest.mark.parametrize(
        "refusal", [PlatformUnavailable("503"), RateLimited("wait", retry_after=timedelta(hours=3))]
    )
    def test_the_second_is_repeated_without_the_first(
        self, world: World, monkeypatch: pytest.MonkeyPatch, refusal: Exception
    ) -> None:
        begun: list[str] = []
        finished: list[str] = []

        def publish(_self: Keyless, _api: Api, post: OutgoingPost) -> Processing:
            begun.append(post.part_id)
            return Processing({"draft": f"draft-{len(begun)}"}, NOW)

        def resume(
            _self: Keyless, _api: Api, _post: OutgoingPost, state: Mapping[str, Any]
        ) -> Released:
            finished.append(state["draft"])
            if len(finished) == 1:
                raise refusal
            return Released("1", "https://keyless.example/1")

        monkeypatch.setattr(Keyless, "publish", publish)
        monkeypatch.setattr(Keyless, "resume", resume)
        root = a_thread(world, "keyless", due_in=NOW)
        world.run(until=6 * 3600.0)
        assert len(begun) == 1
        assert finished == ["draft-1", "draft-1"]
        assert world.states(root.id)[0] == "published"

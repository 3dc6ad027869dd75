"""The table of obstacles by itself. What each step does with it: `tests/shared/publishing/test_obstacles.py`."""

import re

import pytest

from shared.posts.obstacles import NOT_STAGED, OBSTACLES, Obstacle, Step, Then, sentence

IN_PYTHON = {Step.COMPOSE, Step.WARN}


def name_of(obstacle: Obstacle) -> str:
    return obstacle.verdict


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=name_of)
class TestEachRow:
    def test_what_composing_checks_is_a_column_of_a_channel(self, obstacle: Obstacle) -> None:
        if obstacle.at & IN_PYTHON:
            assert re.fullmatch(r"[a-z_]+( is not null)?", obstacle.sql)

    def test_what_composing_refuses_names_a_field(self, obstacle: Obstacle) -> None:
        assert bool(obstacle.path) is (Step.COMPOSE in obstacle.at)

    def test_what_fails_has_a_sentence_and_what_waits_a_time(self, obstacle: Obstacle) -> None:
        assert obstacle.sentence or obstacle.then is not Then.FAIL
        has_time = obstacle.then is Then.WAIT and obstacle is not NOT_STAGED
        assert (obstacle.seconds is not None) is has_time

    @pytest.mark.parametrize("step", [Step.COMPOSE, Step.WARN, Step.PREPARE, Step.CLAIM])
    def test_its_sentence_is_whole(self, obstacle: Obstacle, step: Step) -> None:
        words = sentence(obstacle, step, channel="Roost on X", reason="revoked")
        assert not re.search(r"[{}]", words)
        assert not obstacle.sentence or words.endswith(".")


def test_no_verdict_is_twice() -> None:
    assert len({one.verdict for one in OBSTACLES}) == len(OBSTACLES)


def test_the_same_obstacle_is_told_with_what_to_do_by_then() -> None:
    [disabled] = [one for one in OBSTACLES if one.verdict == "channel_disabled"]
    told = {step: sentence(disabled, step, channel="Blog") for step in Step if step != Step.STAGE}
    assert told == {
        Step.COMPOSE: "Blog is disabled. Enable it first.",
        Step.WARN: "Blog is disabled. Enable it before the post is due.",
        Step.PREPARE: "Blog is disabled. Enable it before then.",
        Step.CLAIM: "Blog is disabled. Enable it, then resend the post.",
    }

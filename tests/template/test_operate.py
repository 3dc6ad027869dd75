"""Whether rotating keys signs nobody out, and goes on until everything is sealed again."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import time_machine

from layers import operate
from layers.deploy import DeployRefused, Environment
from layers.operate import with_new_key
from shared.core import clock

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
STAGE = Environment(
    name="dev", options={"stack_name": "roost-dev", "region": "eu-central-1"}, parameters={}
)


class TestSessionKeys:
    def test_new_one_is_the_last_and_the_old_ones_stay(self) -> None:
        keys, retired = with_new_key({"1": "first"}, NOW)
        assert list(keys) == ["1", "20270301T120000Z"]
        assert keys["1"] == "first"
        assert len(keys["20270301T120000Z"]) >= 32
        assert retired == []

    def test_one_is_removed_when_no_session_needs_it(self) -> None:
        old = f"{NOW - timedelta(days=30, hours=2):%Y%m%dT%H%M%SZ}"
        keys, retired = with_new_key({"1": "first", old: "second"}, NOW)
        assert (list(keys), retired) == ([old, "20270301T120000Z"], ["1"])

    def test_one_stays_while_a_session_may_need_it(self) -> None:
        young = f"{NOW - timedelta(days=29, hours=23):%Y%m%dT%H%M%SZ}"
        keys, retired = with_new_key({"1": "first", young: "second"}, NOW)
        assert (list(keys), retired) == (["1", young, "20270301T120000Z"], [])

    def test_last_one_stays_however_old_it_is(self) -> None:
        old = "20200101T000000Z"
        keys, retired = with_new_key({old: "first"}, NOW)
        assert (list(keys), retired) == ([old, "20270301T120000Z"], [])

    def test_the_rest_of_the_secret_stays(self, aws: None) -> None:
        client = boto3.client("secretsmanager", region_name="eu-central-1")
        stored = {"jwtKeys": json.dumps({"1": "first"}), "other": "kept"}
        client.create_secret(Name="roost-dev/app", SecretString=json.dumps(stored))
        with time_machine.travel(NOW, tick=False):
            assert clock.now() == NOW
            lines = operate.rotate_token_keys(STAGE)
        changed = json.loads(client.get_secret_value(SecretId="roost-dev/app")["SecretString"])
        assert list(json.loads(changed["jwtKeys"])) == ["1", "20270301T120000Z"]
        assert changed["other"] == "kept"
        assert "20270301T120000Z" in lines[0]


class FakeLambda:
    """Answers one page after another, as the migrate function does."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers, self.asked = list(answers), list[Any]()

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "roost-dev-migrate"
        self.asked.append(json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(self.answers.pop(0)).encode())}


class TestReseal:
    def answer(self, **changes: Any) -> dict[str, Any]:
        return {"sealed": 1, "replacedMeanwhile": 0, "unreadable": 0, "next": None} | changes

    def test_goes_on_until_nothing_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        position = {"column": "channels.details", "after": "x"}
        fake = FakeLambda(self.answer(next=position), self.answer())
        monkeypatch.setattr(boto3, "client", lambda *_args, **_kwargs: fake)
        assert len(list(operate.reseal_everything(STAGE))) == 2
        assert fake.asked == [{"reseal": {}}, {"reseal": position}]

    def test_older_code_is_told_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = FakeLambda({"revision": "abc"})
        monkeypatch.setattr(boto3, "client", lambda *_args, **_kwargs: fake)
        with pytest.raises(DeployRefused, match="Deploy first"):
            list(operate.reseal_everything(STAGE))

    def test_stage_is_required(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert operate.main(["rotate-keys"]) == 1
        assert "make rotate-keys stage=dev" in capsys.readouterr().err

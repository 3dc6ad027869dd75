"""The table of tools: what each declares, what it asks of the caller, and in which words it refuses."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from shared.access.context import ActingMember, Via
from shared.access.errors import KeyReadsOnly
from shared.core.errors import FieldProblem, InvalidInput, NotFound, Unavailable
from shared.core.ids import OrganizationId, new_id
from shared.organizations.models import Role
from shared.public_api.errors import bad_request, post_refused
from shared.public_api.post_schemas import NewSettings
from shared.public_api.read_arguments import read_as
from shared.public_api.schedule_by_tool import settings_of
from shared.public_api.tool_schemas import Groups, NoArguments, Pair, ToolErrors, Uploaded
from shared.public_api.tools import (
    SCHEDULE,
    TOOLS,
    Tool,
    ToolFailed,
    call_tool,
    find_tool,
    in_words,
)

PROBLEM = FieldProblem("socialPost.0.date", "invalid_time", "Write the time as it is written.")


def acting(role: Role = Role.OWNER, *, may_write: bool = True) -> ActingMember:
    return ActingMember(
        organization_id=OrganizationId(new_id()),
        user_id=None,
        role=role,
        timezone="UTC",
        via=Via.API_KEY,
        may_write=may_write,
    )


def a_tool(run: Any = lambda *_given: Groups(output=[]), **more: Any) -> Tool:
    values: dict[str, Any] = {
        "name": "t",
        "title": "T",
        "description": "d",
        "takes": NoArguments,
        "gives": Groups,
        "run": run,
    }
    return Tool(**values | more)


def refusing(error: Exception) -> Any:
    def run(*_given: Any) -> BaseModel:
        raise error

    return run


class TestTable:
    @pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
    def test_its_schemas_are_valid_and_those_of_objects(self, tool: Tool) -> None:
        for schema in (tool.input_schema, tool.output_schema):
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"

    @pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
    def test_what_writes_needs_a_member(self, tool: Tool) -> None:
        assert tool.needs is Role.MEMBER or not tool.writes

    @pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
    def test_a_declared_refusal_is_one_of_its_answers(self, tool: Tool) -> None:
        if tool.failed:
            refusal = tool.failed("why").model_dump(mode="json", by_alias=True)
            assert Draft202012Validator(tool.output_schema).is_valid(refusal)
            assert "why" in str(refusal)

    def test_names(self) -> None:
        assert find_tool("integrationSchedulePostTool") is SCHEDULE
        assert find_tool("schedulePostTool") is SCHEDULE
        assert find_tool("ask_anything") is None
        assert len({tool.name for tool in TOOLS}) == len(TOOLS)


class TestCall:
    def test_the_answer_is_json(self) -> None:
        assert call_tool(a_tool(), acting(), {"made": "up"}) == {"output": []}

    def test_a_declared_refusal_is_an_answer(self) -> None:
        tool = a_tool(refusing(NotFound("No.")), failed=lambda words: Uploaded(error=words))
        assert call_tool(tool, acting(), {}) == {"error": "No."}

    def test_another_refusal_fails(self) -> None:
        with pytest.raises(ToolFailed, match=r"No\."):
            call_tool(a_tool(refusing(NotFound("No."))), acting(), {})

    def test_what_is_our_fault_fails_whatever_is_declared(self) -> None:
        tool = a_tool(refusing(Unavailable("Later.")), failed=lambda words: Uploaded(error=words))
        with pytest.raises(ToolFailed, match=r"Later\."):
            call_tool(tool, acting(), {})

    def test_who_may_only_read(self) -> None:
        reader = acting(may_write=False)
        assert call_tool(a_tool(), reader, {}) == {"output": []}
        with pytest.raises(ToolFailed, match=KeyReadsOnly().message):
            call_tool(a_tool(writes=True), reader, {})

    def test_a_role_that_does_not_reach(self) -> None:
        with pytest.raises(ToolFailed, match="role member"):
            call_tool(a_tool(needs=Role.MEMBER), acting(Role.VIEWER), {})


class TestWords:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (bad_request("Post not found"), "Post not found"),
            (post_refused("x", "Ada", PROBLEM), f"Ada (x): {PROBLEM.message}"),
            (
                InvalidInput("Some fields were refused.", problems=[PROBLEM, PROBLEM]),
                " ".join([f"{PROBLEM.path}: {PROBLEM.message}"] * 2),
            ),
        ],
    )
    def test_a_refusal(self, error: Any, words: str) -> None:
        assert in_words(error) == words

    def test_no_word_is_pydantics(self) -> None:
        with pytest.raises(ToolFailed) as failed:
            call_tool(SCHEDULE_AS_FAILING, acting(), {"socialPost": [{"type": 5}, 7]})
        assert "Input should" not in str(failed.value)
        assert "socialPost.0.integrationId: `integrationId` is required." in str(failed.value)
        assert "socialPost.1: This must be an object." in str(failed.value)


SCHEDULE_AS_FAILING = a_tool(takes=SCHEDULE.takes, gives=SCHEDULE.gives)


class TestArguments:
    def test_the_prefix_comes_before_each_path(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            read_as(NewSettings, {}, prefix="posts.0.")
        (problem,) = refused.value.problems
        assert (problem.path, problem.code) == ("posts.0.settings", "missing")

    def test_the_last_of_a_setting_counts(self) -> None:
        pairs = [Pair(key="a", value=1), Pair(key="b", value="x"), Pair(key="a", value=[2])]
        assert settings_of(pairs) == {"a": [2], "b": "x"}


def test_errors_are_a_text() -> None:
    assert ToolErrors.model_json_schema()["properties"]["errors"]["type"] == "string"

"""Refuses the public API's requests for generated videos, because there is no generator."""

from typing import Any, Literal, NoReturn

from pydantic import ConfigDict, Field

from shared.core.errors import FieldProblem, InvalidInput
from shared.core.wire import RequestModel
from shared.public_api.errors import bad_request


class VideoWanted(RequestModel):
    """The video to generate."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(min_length=1, examples=["image-text-slides"])
    output: Literal["vertical", "horizontal"]
    custom_params: dict[str, Any] = Field(default={}, examples=[{"prompt": "An engine"}])


class VideoCall(RequestModel):
    """The function of a generator to call. Its values are in `params`, or at the top level as some clients send them."""

    model_config = ConfigDict(extra="ignore")

    identifier: str = Field(min_length=1, examples=["image-text-slides"])
    function_name: str = Field(min_length=1, examples=["loadVoices"])
    params: dict[str, Any] = Field(default={})


def generate_video(wanted: VideoWanted) -> NoReturn:
    """Refuse every type: none is configured.

    Raises:
        InvalidInput: always, naming the field.
    """
    words = f"The generator {wanted.type!r} is not available: this server has no video generator."
    raise InvalidInput(words, problems=[FieldProblem("type", "not_configured", words)])


def call_generator(call: VideoCall) -> NoReturn:
    """Refuse every function: none is exposed.

    Raises:
        Refused: always.
    """
    raise bad_request(f"{call.identifier} exposes no function {call.function_name} here")

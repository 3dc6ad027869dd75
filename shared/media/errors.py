"""The refusals of uploads and files."""

from shared.core.errors import Conflict, FieldProblem, InvalidInput, NotFound


class FileRefused(InvalidInput):
    """The file may not be stored. `reason` is stable: `unsupported_type`, `too_large`, `unreadable`..."""

    code = "file_refused"

    def __init__(self, reason: str, message: str, *, path: str = "file") -> None:
        super().__init__(message, problems=[FieldProblem(path, reason, message)])
        self.reason = reason


class MediaNotFound(NotFound):
    """There is no such file in this organization, or its upload was never completed."""

    code = "media_not_found"

    def __init__(self) -> None:
        super().__init__(
            "This file does not exist. It may be deleted, or belong to another organization."
        )


class UploadIsOver(Conflict):
    """The upload was completed, aborted or refused, or has expired."""

    code = "upload_is_over"

    def __init__(self) -> None:
        super().__init__("This upload is over. Start a new one.")


class PartsDoNotMatch(InvalidInput):
    """The parts named at completion are not the ones that were uploaded."""

    code = "parts_do_not_match"

    def __init__(self, message: str) -> None:
        super().__init__(message, problems=[FieldProblem("parts", "do_not_match", message)])

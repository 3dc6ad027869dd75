"""The object storage's refusals: S3's error codes and their XML."""

from xml.sax.saxutils import escape


class S3Refusal(Exception):
    """A refused request: HTTP status, S3's code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def as_xml(self, resource: str, request_id: str) -> bytes:
        """Return the body of the answer."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message>"
            f"<Resource>{escape(resource)}</Resource><RequestId>{request_id}</RequestId></Error>"
        ).encode()

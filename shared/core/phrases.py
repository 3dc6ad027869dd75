"""HTTP reason phrases that are the same in every version of Python: 3.13 renamed some in `HTTPStatus`."""

from http import HTTPStatus

# The names before Python 3.13, which clients know from answers and the API's document.
_KEPT = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}


def phrase_of(status: int) -> str:
    """Return the reason phrase of a status."""
    return _KEPT.get(status) or HTTPStatus(status).phrase

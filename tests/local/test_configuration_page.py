"""Whether the page of settings can be read."""

from local.docs.configuration import markdown


def test_no_choice_is_an_empty_code_span() -> None:
    """`S3_ADDRESSING` was shown as one of ``, `path`, `virtual`."""
    rows = [row for row in markdown().splitlines() if row.startswith("| `S3_ADDRESSING`")]
    assert len(rows) == 1
    assert "One of `path`, `virtual`." in rows[0]
    assert "``" not in markdown()

import ast
from pathlib import Path

import pytest

from local.new_provider import CannotBegin, begin, main


class TestBegin:
    def test_writes_a_provider_its_tests_and_a_sample(self, tmp_path: Path) -> None:
        written = begin("owl-post", root=tmp_path)
        assert [str(path.relative_to(tmp_path)) for path in written] == [
            "shared/providers/platforms/owl_post.py",
            "tests/providers/test_owl_post.py",
            "tests/providers/samples/owl-post/created.json",
        ]
        platform, tests, _ = (path.read_text() for path in written)
        assert 'slug="owl-post"' in platform
        assert "class OwlPost(OAuth2Provider):" in platform
        ast.parse(platform)
        ast.parse(tests)

    def test_says_what_is_open_so_that_no_check_passes_by_accident(self, tmp_path: Path) -> None:
        platform = begin("owl", root=tmp_path)[0].read_text()
        assert "FILL IN" in platform
        assert "max_length=0" in platform

    def test_never_overwrites(self, tmp_path: Path) -> None:
        begin("owl", root=tmp_path)
        with pytest.raises(CannotBegin, match=r"shared/providers/platforms/owl\.py"):
            begin("owl", root=tmp_path)

    @pytest.mark.parametrize("slug", ["", "Owl", "owl_post", "owl--post", "../owl", "1owl"])
    def test_refuses_what_is_no_slug(self, tmp_path: Path, slug: str) -> None:
        with pytest.raises(CannotBegin, match="slug"):
            begin(slug, root=tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestMain:
    def test_without_a_slug_says_how(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 1
        assert "make new-provider slug=example" in capsys.readouterr().err

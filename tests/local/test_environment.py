import pytest

from local.environment import Addresses, function_environment, template_parameters
from local.home import CannotStart
from shared.core.config import Settings

HERE = Addresses(
    "http://127.0.0.1:1",
    "http://127.0.0.1:2",
    "http://127.0.0.1:3",
    "http://127.0.0.1:4",
    "http://127.0.0.1:5",
)


class TestFunctionEnvironment:
    def test_makes_settings_that_are_accepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STAGE", "local")
        for name, value in function_environment(
            HERE, database_url="postgresql://x", secret_key="s"
        ).items():
            monkeypatch.setenv(name, value)

        made = Settings()

        assert (made.database_url, made.s3_endpoint_url) == ("postgresql://x", "http://127.0.0.1:3")
        assert (made.mastodon_url, made.media_public_url) == (
            "http://127.0.0.1:2",
            "http://127.0.0.1:3/_public",
        )
        assert made.allow_loopback_addresses
        assert (made.generic_oauth, made.oauth_url) == (True, "http://127.0.0.1:5")
        assert (made.oauth_client_id, made.oauth_display_name) == ("roost-local", "Mock OpenID")

    def test_a_provider_of_the_shell_takes_the_place_of_the_one_beside_the_sandbox(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OAUTH_URL", "https://id.example")
        monkeypatch.setenv("OAUTH_CLIENT_ID", "mine")
        made = function_environment(HERE, database_url="", secret_key="s")
        assert (made["OAUTH_URL"], made["OAUTH_CLIENT_ID"]) == ("https://id.example", "mine")

    def test_settings_of_the_shell_go_first_but_not_addresses_nor_the_stage(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {
            "ARM_LEAD_SECONDS": "5",
            "STAGE": "prod",
            "PUBLIC_URL": "https://x",
        }.items():
            monkeypatch.setenv(name, value)

        made = function_environment(HERE, database_url="", secret_key="s")

        assert made["ARM_LEAD_SECONDS"] == "5"
        assert not {"STAGE", "PUBLIC_URL"} & set(made)
        assert made["S3_ENDPOINT_URL"] == HERE.objects

    @pytest.mark.parametrize(
        "name", ["S3_ENDPOINT_URL", "S3_REGION", "S3_CREDENTIALS_SECRET", "MEDIA_PUBLIC_URL"]
    )
    def test_a_storage_of_its_own_is_refused_with_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Finding 4.4: an exported `S3_ENDPOINT_URL` was ignored in silence."""
        monkeypatch.setenv(name, "https://y.example")
        with pytest.raises(CannotStart, match=f"{name} cannot be used here.*Unset it"):
            function_environment(HERE, database_url="", secret_key="s")


class TestTemplateParameters:
    def test_browsers_may_come_by_the_machines_name_too(self) -> None:
        assert template_parameters(HERE)["PublicUrl"] == "http://127.0.0.1:1"
        assert template_parameters(HERE)["CorsOrigins"] == "http://localhost:1"

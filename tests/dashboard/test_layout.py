"""What the folder may hold and import, and what the settings say."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from dashboard.settings import PREFIX, Settings, UnknownSetting, load, refuse_unknown

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "dashboard"
OURS = {"backend.wire", "backend.client", "monitor.wire", "monitor.client", "monitor.fleet"}


def test_no_file_beside_the_entry_script_hides_a_module_of_somebody_else() -> None:
    """Streamlit puts the script's own folder on the path."""
    names = {path.stem for path in DASHBOARD.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__main__",
        "__pycache__",
    }
    assert names
    assert not names & set(sys.stdlib_module_names)
    assert not names & set(packages_distributions())


def test_of_the_other_programs_only_clients_and_schemas_are_imported() -> None:
    found: set[str] = set()
    for path in DASHBOARD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names} if "." not in node.module else {node.module}
    foreign = {name for name in found if name.split(".")[0] in ("backend", "monitor", "deploy")}
    assert foreign
    assert foreign <= OURS


def test_nothing_of_the_user_interface_asks_another_host() -> None:
    for path in [*DASHBOARD.rglob("*.py"), *DASHBOARD.rglob("*.css"), *DASHBOARD.rglob("*.js"), *DASHBOARD.rglob("*.html")]:
        addresses = [part for part in path.read_text("utf-8").split('"') if part.startswith(("http://", "https://"))]
        assert all(part.startswith(("http://127.0.0.1", "http://www.w3.org")) for part in addresses), path


def test_the_example_file_shows_every_dashboard_setting_with_its_default_and_description() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    shown = {line.removeprefix("#").partition("=")[0]: place for place, line in enumerate(lines) if line.startswith(f"#{PREFIX}")}
    assert list(shown) == [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name, setting in Settings.model_fields.items():
        assert lines[shown[f"{PREFIX}{name.upper()}"] - 1] == f"# {setting.description}", name


def test_a_secret_may_come_from_a_file_and_its_newline_is_not_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "cookie"
    secret.write_text("s3cret\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHBOARD_COOKIE_SECRET_FILE", str(secret))
    monkeypatch.setenv("DASHBOARD_BACKEND_URLS", "https://b1:8000, https://b2:8000")
    settings = load(port=9000)
    assert settings.cookie_secret is not None
    assert settings.cookie_secret.get_secret_value() == "s3cret"
    assert settings.backend_urls == ("https://b1:8000", "https://b2:8000")
    assert settings.port == 9000
    assert "s3cret" not in repr(settings)


def test_a_typing_error_in_a_settings_name_is_refused() -> None:
    with pytest.raises(UnknownSetting, match="DASHBOARD_BACKEND_URL:"):
        refuse_unknown({"DASHBOARD_BACKEND_URL": "x", "DASHBOARD_KEY_FILE": "y", "OTHER": "z"})

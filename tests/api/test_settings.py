from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from backend.settings import PREFIX, Settings, SettingsError, UnknownSetting, load
from tests.api.service import ROOT


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no `.env` of the developer's


def test_an_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_PROT", "8000")
    with pytest.raises(UnknownSetting, match="BACKEND_PROT is not a setting"):
        load()


def test_an_unknown_setting_in_the_env_file_is_refused_and_other_programs_settings_are_not(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MONITOR_PORT=8600\nBACKEND_PORT=8003\n")
    assert load().port == 8003
    (tmp_path / ".env").write_text("BACKEND_PROT=8003\n")
    with pytest.raises(UnknownSetting, match="BACKEND_PROT"):
        load()


def test_a_flag_wins_over_the_environment_over_a_secret_file_over_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("BACKEND_INSTANCE=from-dotenv\n")
    assert load().instance == "from-dotenv"
    (tmp_path / "secret").write_text("from-file\n")
    monkeypatch.setenv("BACKEND_INSTANCE_FILE", str(tmp_path / "secret"))
    assert load().instance == "from-file"
    monkeypatch.setenv("BACKEND_INSTANCE", "from-environment")
    assert load().instance == "from-environment"
    assert load(instance="from-flag").instance == "from-flag"
    assert load(instance=None).instance == "from-environment"


def test_a_secret_file_may_be_named_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("sqlite:///elsewhere.db\n")
    (tmp_path / ".env").write_text(f"BACKEND_DATABASE_URL_FILE={tmp_path / 'url'}\n")
    assert load().database_url.get_secret_value() == "sqlite:///elsewhere.db"


def test_a_missing_secret_file_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_DATABASE_URL_FILE", "/does/not/exist")
    with pytest.raises(SettingsError, match="BACKEND_DATABASE_URL_FILE names a file that cannot be read"):
        load()


def test_every_wrong_value_gets_a_sentence_and_none_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_PORT", "hunter2")
    monkeypatch.setenv("BACKEND_GALLERY_POLL_S", "-1")
    with pytest.raises(SettingsError) as raised:
        load()
    assert [sentence.split(":")[0] for sentence in raised.value.sentences] == ["BACKEND_PORT", "BACKEND_GALLERY_POLL_S"]
    assert "hunter2" not in str(raised.value)


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="given together"):
        load(tls_cert_file="cert.pem")


def test_a_target_beside_a_threshold_and_a_target_that_is_no_chance_are_refused() -> None:
    with pytest.raises(SettingsError, match="BACKEND_TARGET_FPIR and BACKEND_REVIEW_THRESHOLD both say from which score on"):
        load(target_fpir=0.001, review_threshold=0.5)
    for nonsense in (0, 1, -0.1, 1000):
        with pytest.raises(SettingsError, match="BACKEND_TARGET_FPIR"):
            load(target_fpir=nonsense)
    assert load(target_fpir=0.001).target_fpir == 0.001


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # type: ignore[misc]


def test_a_settings_error_ends_a_command_with_status_2_and_sentences_only() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "backend", "serve"],
        cwd=ROOT,
        env={"BACKEND_PROT": "1", "BACKEND_HSOT": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "BACKEND_HSOT is not a setting: see .env.example for the names",
        "BACKEND_PROT is not a setting: see .env.example for the names",
    ]


def test_the_example_file_shows_every_backend_setting_with_its_default_and_description() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    shown = [line for line in lines if line.startswith(f"#{PREFIX}")]
    assert [line.partition("=")[0].removeprefix("#") for line in shown] == [
        f"{PREFIX}{name.upper()}" for name in Settings.model_fields
    ]
    for name, setting in Settings.model_fields.items():
        place = next(number for number, line in enumerate(lines) if line.startswith(f"#{PREFIX}{name.upper()}="))
        assert lines[place - 1] == f"# {setting.description}", name


def test_the_example_files_values_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uncommented = [
        line.removeprefix("#")
        for line in (ROOT / ".env.example").read_text("utf-8").splitlines()
        if line.startswith(f"#{PREFIX}")
    ]
    expected = load(instance="x")
    (tmp_path / ".env").write_text("\n".join(uncommented))
    assert len(dotenv_values(tmp_path / ".env")) == len(Settings.model_fields)
    assert load(instance="x") == expected


def test_help_answers_without_loading_an_engine() -> None:
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "backend", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "serve" in loaded.stdout
    assert "backend.settings" in loaded.stderr
    for heavy in ("numpy", "fastapi", "sqlalchemy", "onnxruntime"):
        assert f" {heavy}\n" not in loaded.stderr


def test_snapshots_need_a_name_that_outlives_the_process_and_are_renewed_within_a_quarter_of_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKEND_SNAPSHOT_DIR", str(tmp_path))
    with pytest.raises(SettingsError, match="BACKEND_SNAPSHOT_DIR needs BACKEND_INSTANCE"):
        load()
    monkeypatch.setenv("BACKEND_INSTANCE", "b1")
    assert load().snapshot_dir == tmp_path
    monkeypatch.setenv("BACKEND_SNAPSHOT_EVERY_S", "901")
    with pytest.raises(SettingsError, match="SNAPSHOT_EVERY_S"):
        load()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("REASONS", "different_ears", "is not JSON"),
        ("REASONS", '["different_ears"]', "is not an object of lists"),
        ("REASONS", '{"different": "ears"}', "is not an object of lists"),
        ("REASONS", '{"unlike": ["ears"]}', "has a key that is none of the verdicts same, different"),
        ("REASONS", '{"different": ["Different ears"]}', "has a reason that is no code: 1 to 40 of a-z, 0-9 and _"),
        ("REASONS", '{"different": ["ears", "ears"]}', "has a reason twice"),
        ("VERDICTS", "same,different,perhaps", "names something else than the verdicts same, different"),
        ("NOTE_REQUIRED", "perhaps", "names something else than the verdicts"),
        ("VERDICTS", "same,unsure", "must offer same, different"),
    ],
)
def test_codes_of_the_review_that_make_no_sense_are_a_sentence_at_the_start(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"BACKEND_REVIEW_{name}", value)
    with pytest.raises(SettingsError, match=sentence) as raised:
        load()
    assert f"BACKEND_REVIEW_{name}" in str(raised.value)
    assert "perhaps" not in str(raised.value)


def test_reasons_belong_to_verdicts_that_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_REVIEW_VERDICTS", "different,same")
    assert load().review_verdicts == ("same", "different")
    monkeypatch.setenv("BACKEND_REVIEW_REASONS", '{"unsure": ["too_dark"]}')
    with pytest.raises(SettingsError, match="BACKEND_REVIEW_REASONS names a verdict that BACKEND_REVIEW_VERDICTS does not offer"):
        load()
    monkeypatch.setenv("BACKEND_REVIEW_REASONS", '{"different": ["different_ears", "ears_2"]}')
    assert load().review_reasons == {"different": ("different_ears", "ears_2")}

"""Files in a run's folder are never lost or mixed, and a failure to write or read one is a single line."""

import os
from pathlib import Path

import pytest

from grpo.config import Options
from grpo.errors import UserError
from grpo.run.report import Report
from grpo.run.run_folder import EVALUATIONS, METRICS, lock, read_records, start, write_text

METRIC = '{"step": 1, "scenarios": {}}\n'


def old_run(folder: Path, text: str = METRIC) -> Path:
    (folder / "snapshots").mkdir(parents=True)
    (folder / METRICS).write_text(text, encoding="utf-8")
    return folder


def test_a_new_run_moves_an_earlier_ones_folder_aside(tmp_path):
    for number, text in enumerate(("first", "second"), 1):
        (old_run(tmp_path / "run") / "notes").write_text(text)
        assert start(str(tmp_path / "run"), "tiny") == tmp_path / f"run.{number}"
        assert list((tmp_path / "run").iterdir()) == []
        (tmp_path / "run").rmdir()
    assert [(tmp_path / f"run.{number}" / "notes").read_text() for number in (1, 2)] == ["first", "second"]


def test_a_link_leads_to_the_new_run(tmp_path):
    old_run(tmp_path / "disk")
    (tmp_path / "run").symlink_to("disk")
    assert start(str(tmp_path / "run"), "tiny") == tmp_path / "disk.1"
    assert (tmp_path / "run").is_symlink() and list((tmp_path / "run").iterdir()) == []


def test_a_folder_of_no_run_stays_in_place(tmp_path):
    (tmp_path / "notes").write_text("mine")
    assert start(str(tmp_path), "tiny") is None
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds config.json: give another --out"):
        start(str(tmp_path), "tiny")
    assert {path.name for path in tmp_path.iterdir()} == {"notes", "config.json"}


@pytest.mark.parametrize("used", ["model", "current folder"])
def test_a_folder_in_use_is_not_moved(used, tmp_path, monkeypatch):
    run = old_run(tmp_path / "run")
    model = str(run / "final") if used == "model" else "tiny"
    monkeypatch.chdir(tmp_path if used == "model" else run)
    with pytest.raises(UserError, match="give another --out"):
        start(str(run), model)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_folder_of_a_live_run_is_neither_moved_nor_resumed(tmp_path):
    run = tmp_path / "run"
    with Report(Options(out=str(run))) as report:
        for steps_done in (0, 1):
            with pytest.raises(UserError, match=r"another run is writing to .*run: give another --out"):
                Report(Options(out=str(run)), steps_done)
        report.say("still here")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with Report(Options(out=str(run))):
        assert {path.name for path in tmp_path.iterdir()} == {"run", "run.1"}


def test_a_file_system_without_locks_refuses_nobody(tmp_path, monkeypatch):
    def without_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", without_locks)
    assert lock(tmp_path) != lock(tmp_path)


def test_a_folder_that_cannot_be_renamed_is_named(tmp_path, monkeypatch):
    def busy(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(UserError, match=r"cannot be renamed \(Device or resource busy\): give another --out"):
        start(str(old_run(tmp_path / "run")), "tiny")


@pytest.mark.parametrize("out", ["{}/file", "{}/file/x", "/proc/x", "/dev/null", "{}/" + 300 * "x"])
def test_a_folder_that_cannot_be_written_is_refused(out, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: [A-Z]"):
        Report(Options(out=out.format(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def broken(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("")
    else:
        path.symlink_to("nowhere" if kind == "dangling" else ".")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("final", "file"), ("final", "dangling"), ("final", "link"), ("best", "file"), ("episodes", "file"),
        ("snapshots", "dangling"), (METRICS, "folder"), (EVALUATIONS, "folder"), ("config.json", "folder"),
    ],
)  # fmt: skip
def test_an_obstacle_is_reported_at_the_start(name, kind, tmp_path):
    broken(tmp_path / name, kind)
    for steps_done in (0, 1):
        with pytest.raises(UserError, match=name):
            Report(Options(out=str(tmp_path)), steps_done)
    assert os.path.lexists(tmp_path / name)


def test_a_missing_file_is_empty_and_half_a_line_no_record(tmp_path):
    assert read_records(tmp_path / METRICS) == []
    (tmp_path / METRICS).write_text(METRIC + '{"step"')
    assert read_records(tmp_path / METRICS) == [{"step": 1, "scenarios": {}}]


@pytest.mark.parametrize("line", ["garbage", "", "[]", "3", '{"scenarios": {}}', '{"step": "1", "scenarios": {}}'])
def test_garbage_among_the_records_is_reported_and_stays(line, tmp_path):
    path = tmp_path / METRICS
    path.write_text(f"{METRIC}{line}\n{METRIC}")
    with pytest.raises(UserError, match=r"metrics.jsonl, line 2, is not"):
        Report(Options(out=str(tmp_path)), 1)
    assert path.read_text() == f"{METRIC}{line}\n{METRIC}"


def test_a_full_disk_leaves_the_old_content(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left"):
        write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"

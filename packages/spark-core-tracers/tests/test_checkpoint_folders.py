"""Where checkpoints go: folders, file URLs, and URLs that Orbax knows or does not."""

import importlib
from pathlib import Path, PureWindowsPath

import fsspec
import numpy as np
import orbax.checkpoint as ocp
import pytest
from etils import epath
from fsspec.implementations.memory import MemoryFileSystem

from spark.core import checkpoints
from spark.core.tracers import Tracer

CALLS = [
    lambda directory: checkpoints.save(directory, 1, Tracer(2, 5.0)),
    lambda directory: checkpoints.restore(directory, Tracer(2, 5.0)),
]
both = pytest.mark.parametrize("call", CALLS, ids=["save", "restore"])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder to run in, in which nothing may be left."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@both
@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("memory://bucket/run", "does not know URLs of memory://"),
        ("https://example.org/run", "does not know URLs of https://"),
        ("s3:/bucket/run", "neither a folder nor a URL"),
        (Path("s3://bucket/run"), "neither a folder nor a URL.*give a URL as a string"),
        (Path("gs://bucket/run"), "neither a folder nor a URL"),
        ("file://host/run", "a file URL of this machine is file:///path"),
        ("file://", "a file URL of this machine is file:///path"),
        ("C:\\runs\\one", "backslashes separate folders on Windows alone"),
        (PureWindowsPath("d:/run"), "backslashes separate folders on Windows alone"),
    ],
)
def test_a_malformed_url_is_refused_before_anything_is_written(here, call, directory, message):
    with pytest.raises(checkpoints.CheckpointError, match=message):
        call(directory)
    assert not list(here.iterdir())


@both
@pytest.mark.parametrize("url", ["s3://bucket/run", "gs://bucket/run"])
def test_a_url_that_cannot_be_reached_is_refused(here, monkeypatch, call, url):
    def missing(protocol, **options):
        raise ImportError(f"Install a package for {protocol}")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(checkpoints.CheckpointError, match=r"cannot be reached \(Install") as caught:
        call(url)
    assert isinstance(caught.value.__cause__, ImportError)
    assert not list(here.iterdir())


@both
@pytest.mark.parametrize("url", ["s3://bucket/run", epath.Path("s3://bucket/run")])
def test_a_url_reaches_orbax(here, monkeypatch, call, url):
    files = MemoryFileSystem()
    files.makedirs("s3://bucket/run", exist_ok=True)
    monkeypatch.setattr(fsspec, "filesystem", lambda protocol, **options: files)
    reached = []

    def manager(directory, options):
        reached.append(str(directory))
        raise OSError("far enough")

    monkeypatch.setattr(ocp, "CheckpointManager", manager)
    with pytest.raises(checkpoints.CheckpointError) as caught:
        call(url)
    assert str(caught.value.__cause__) == "far enough"
    assert set(reached) == {"s3://bucket/run"}
    assert not list(here.iterdir())


@pytest.mark.parametrize("form", ["file://{}", "file://localhost{}", "FILE://{}"])
def test_a_file_url_is_a_folder_of_this_machine(here, form):
    folder = here / "a run"
    url = form.format(folder.as_posix().replace(" ", "%20"))
    checkpoints.save(url, 1, Tracer(2, 5.0))
    assert (folder / "1").is_dir()
    assert checkpoints.restore(url, Tracer(2, 5.0)) == 1
    assert checkpoints.restore(folder, Tracer(2, 5.0)) == 1


@pytest.mark.parametrize("directory", ["run", "c:/run", "a:b/run", "12:30/run"])
def test_a_path_is_no_url(here, directory):
    checkpoints.save(directory, 1, Tracer(2, 5.0))
    assert checkpoints.restore(directory, Tracer(2, 5.0)) == 1
    assert checkpoints.restore(here / str(directory), Tracer(2, 5.0)) == 1


@both
def test_a_directory_is_a_string_or_a_path(call):
    with pytest.raises(TypeError, match="directory must be a string or a path, got 3"):
        call(3)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    checkpoints.save("~/run", 1, Tracer(2, tau=5.0))
    assert (tmp_path / "run" / "1").is_dir()
    assert not (tmp_path / "~").exists()


def test_a_directory_that_names_no_folder_is_refused():
    with pytest.raises(checkpoints.CheckpointError, match="directory must name a folder"):
        checkpoints.save("", 1, Tracer(2, tau=5.0))
    with pytest.raises(TypeError, match="directory must be a string or a path, got b'run'"):
        checkpoints.restore(b"run", Tracer(2, tau=5.0))


def test_a_checkpoint_without_checksums_is_restored(tmp_path, monkeypatch):
    # As version 0.1.0 wrote them at first: the description of the module, and nothing beside it.
    saved = importlib.import_module("spark.core.checkpoints.checkpoints")
    described = saved.describe(Tracer(2, tau=5.0))
    tracer = Tracer(2, tau=5.0)
    tracer([1.0, 2.0])
    with ocp.CheckpointManager(tmp_path) as manager:
        arrays = ocp.args.StandardSave(saved._arrays(tracer))
        about = ocp.args.JsonSave(described)
        manager.save(3, args=ocp.args.Composite(state=arrays, about=about))
    other = Tracer(2, tau=5.0)
    assert checkpoints.restore(tmp_path, other) == 3
    np.testing.assert_array_equal(other.value, tracer.value)

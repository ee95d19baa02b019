"""Events streamed from ROOT files are the events emulated at once, whoever does the work."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import uproot

from firmware.engines import cpp
from firmware.streaming import run_chunk, stream
from tests.conftest import jetgate
from trigger.app.cli import status_of
from trigger.data.rootfile import write_columns
from trigger.errors import InputError, ToolError
from trigger.workers import in_order, workers_of

GENERATOR = np.random.default_rng(8)
EVENTS = 2500


def columns(names, count):
    return {name: GENERATOR.normal(k, 6, count).astype(np.float32) for k, name in enumerate(names)}


@pytest.fixture(scope="module")
def files(tmp_path_factory, contract):
    folder = tmp_path_factory.mktemp("events")
    blocks = [columns(contract.names, count) for count in (1500, 700, 300)]
    write_columns(folder / "a.root", "Events", iter(blocks[:2]))
    write_columns(folder / "b.root", "Events", iter(blocks[2:]))
    physical = np.concatenate([np.stack([block[name] for name in contract.names], axis=1) for block in blocks])
    return [folder / "a.root", folder / "b.root"], physical.astype(np.float64)


def test_in_chunks_as_at_once(project, contract, files, tmp_path):
    paths, physical = files
    with ThreadPoolExecutor(2) as pool:
        result = stream(
            project, paths, "Events", pool, engines=("cpp", "integer", "rtl"), scores=tmp_path / "s.root", chunk=900
        )
    expected = cpp.run(project, contract.codes(physical))
    counts = result.counts
    assert counts.events == EVENTS
    assert counts.differing == {"integer": 0, "rtl": 0}
    assert counts.clipped == contract.clipped(physical)
    np.testing.assert_array_equal(counts.lowest, expected.min(axis=0))
    np.testing.assert_array_equal(counts.highest, expected.max(axis=0))
    np.testing.assert_array_equal(counts.chosen, np.bincount(np.argmax(expected, axis=1), minlength=3))
    with uproot.open(tmp_path / "s.root") as file:
        kept = file["Scores"].arrays(library="np")
    np.testing.assert_array_equal(np.stack([kept[name] for name in ("a", "b", "c")], axis=1), expected)
    step = project.manifest.outputs.fixed_point.step
    for k, one in enumerate(result.summary()["outputs"].values()):
        assert one["mean"] == pytest.approx(expected[:, k].mean() * step)
        assert one["standard_deviation"] == pytest.approx(expected[:, k].std() * step)
    assert {one.name: one.status for one in result.requirements()} == {
        "stream:events": "PASS", "bits:integer": "PASS", "bits:rtl": "PASS",
    }  # fmt: skip


def test_an_engine_that_differs_is_told_with_its_event(project, files, monkeypatch):
    from firmware import streaming

    made = streaming.built_engines

    def faulty(project, engines, threads):
        runs = made(project, engines, threads)
        honest = runs["cpp"]
        return runs | {"cpp": lambda codes: honest(codes) + (np.arange(len(codes)) == 123)[:, None]}

    monkeypatch.setattr(streaming, "built_engines", faulty)
    streaming._made.cache_clear()
    with ThreadPoolExecutor(1) as pool:
        result = stream(project, files[0], "Events", pool, engines=("integer", "cpp"), chunk=1000)
    streaming._made.cache_clear()
    (bits,) = [one for one in result.requirements() if one.name == "bits:cpp"]
    assert (bits.status, bits.figure) == ("FAIL", 4 * 3)  # three outputs in one event of each of four chunks
    assert "first in entry 123 of a.root" in bits.note


def test_processes_and_a_cluster(project, files):
    from distributed import LocalCluster

    results = []
    with workers_of(1) as workers:
        results.append(stream(project, files[0], "Events", workers.pool, engines=("cpp",), chunk=1000))
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        workers_of(1, cluster.scheduler_address) as workers,
    ):
        assert workers.count == sum(
            cluster.scheduler_info["workers"][one]["nthreads"] for one in cluster.scheduler_info["workers"]
        )
        results.append(stream(project, files[0], "Events", workers.pool, engines=("cpp",), chunk=600))
    assert results[0].summary() == results[1].summary()


def test_nobody_answers():
    with pytest.raises(InputError, match=r"scheduler 'nowhere' does not answer"), workers_of(1, "nowhere"):
        pass


def test_results_come_in_order_and_few_at_a_time():
    running, most = [], []

    def work(number):
        running.append(number)
        most.append(len(running))
        running.remove(number)
        return number * number

    with ThreadPoolExecutor(4) as pool:
        assert list(in_order(pool, work, range(50), 3)) == [number * number for number in range(50)]
    assert max(most) <= 3


def end_this_process(_):
    import os

    os._exit(9)


def test_a_worker_that_is_ended_is_told():
    with pytest.raises(ToolError, match="a worker process was ended from outside"), workers_of(1) as workers:
        list(in_order(workers.pool, end_this_process, [1], 1))


def test_wrong_files(project, contract, tmp_path, files):
    def go(block, tree="Events"):
        write_columns(tmp_path / "x.root", "Events", iter([block]))
        with ThreadPoolExecutor(1) as pool:
            stream(project, [tmp_path / "x.root"], tree, pool, engines=("cpp",))

    good = columns(contract.names, 20)
    with pytest.raises(InputError, match=r"x.root: tree 'Events' has no branch 'x3'; nearest: 'x"):
        go({name: values for name, values in good.items() if name != "x3"})
    with pytest.raises(InputError, match=r"x.root: there is no tree 'Evnts'; nearest: 'Events'"):
        go(good, "Evnts")
    with pytest.raises(InputError, match=r"x.root: entries 0 to 20: 1 values are NaN or infinite"):
        go({**good, "x2": np.where(np.arange(20) == 7, np.nan, good["x2"])})
    with pytest.raises(InputError, match=r"tree 'Events' has no events"):
        go({name: values[:0] for name, values in good.items()})
    (tmp_path / "x.root").write_bytes(b"root, but no")
    with pytest.raises(InputError, match=r"x.root: not a ROOT file"), ThreadPoolExecutor(1) as pool:
        stream(project, [tmp_path / "x.root"], "Events", pool, engines=("cpp",))


def test_a_worker_with_another_project(project, files):
    from firmware.streaming import Chunk

    task = Chunk(project.folder, "0" * 64, files[0][0], "Events", 0, 10, ("cpp",), None, 1)
    with pytest.raises(InputError, match="the worker finds another project there than the one that was given"):
        run_chunk(task)


def test_command(project, files, tmp_path):
    result = jetgate("emulate", project.folder, *(f"--events={path}" for path in files[0]), "--engine=cpp", "--engine=rtl",
                     "--workers=1", "--json", folder=tmp_path)  # fmt: skip
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["overall"], answer["events"], answer["differing_codes"]) == ("PASS", EVENTS, {"rtl": 0})
    assert "cuda" not in result.stderr


def test_no_such_file(project, capsys):
    assert status_of(["emulate", str(project.folder), "--events", "no*.root"]) == 2
    assert capsys.readouterr().err.strip().endswith("jetgate: no*.root: no such file")

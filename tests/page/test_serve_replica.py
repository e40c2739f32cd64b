"""A replica without Ray: its snapshots, errors and health, another bundle while it works; and the configuration."""

import asyncio
import shutil
import subprocess
import sys
from contextlib import aclosing

import pytest

from deploy.serve import __main__ as command
from deploy.serve.media import SentFile, received, to_send
from deploy.serve.replica import CaptionReplica, ReplicaConfig
from lora_mcl.errors import BundleError, MediaError, OptionsError
from lora_mcl.types import CompareOptions
from tests.support.comparisons import last
from tests.support.paths import ROOT

OPTIONS = CompareOptions(num_beams=1, num_beam_groups=1, max_new_tokens=8)


def run(steps):
    """Run a coroutine function on a replica of its own."""
    return asyncio.run(steps(CaptionReplica()))


def test_snapshots_and_errors_are_items(tiny_bundle, tiny_captioner, picture):
    async def steps(replica):
        await replica.reconfigure({"bundle": str(tiny_bundle)})
        await replica.check_health()
        found = [item async for item in replica.compare(to_send(picture), OPTIONS, None)]
        (refused,) = [item async for item in replica.compare(SentFile("words.txt", b"no picture"), None, None)]
        wrong_kind = await replica.call("audio_view", to_send(picture), None)
        return found, refused, wrong_kind, await replica.status()

    found, refused, wrong_kind, status = run(steps)
    local = last(tiny_captioner.compare(picture, OPTIONS))
    assert found[-1].done and found[-1].media == picture.name
    assert [c.captions for c in found[-1].columns] == [c.captions for c in local.columns]
    assert isinstance(refused, MediaError) and "words.txt" in str(refused)
    assert isinstance(wrong_kind, OptionsError) and status["running"] == 0


def test_whoever_has_the_last_item_finds_nothing_running(tiny_bundle):
    async def steps(replica):
        await replica.reconfigure({"bundle": str(tiny_bundle)})
        found = []
        async for item in replica.compare(SentFile("words.txt", b"no picture"), None, None):
            found.append((type(item), (await replica.status())["running"]))
        return found

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads give way at every step
    try:
        assert all(run(steps) == [(MediaError, 0)] for _ in range(5))
    finally:
        sys.setswitchinterval(before)


def test_another_bundle_is_taken_over_while_comparisons_run(tiny_bundle, picture):
    """Next to the first on the same base; a comparison that has begun ends with the bundle it began with."""
    other = tiny_bundle.with_name("other")
    shutil.copytree(tiny_bundle, other, dirs_exist_ok=True)

    async def steps(replica):
        await replica.reconfigure({"bundle": str(tiny_bundle)})
        names = []
        async with aclosing(replica.compare(to_send(picture), OPTIONS, None)) as snapshots:
            async for snapshot in snapshots:
                if not names:
                    await replica.reconfigure({"bundle": str(other)})
                names.append(snapshot.model)
        with pytest.raises(BundleError):
            await replica.reconfigure({"bundle": str(tiny_bundle.with_name("missing"))})
        (*_, after) = [item async for item in replica.compare(to_send(picture), OPTIONS, None)]
        return names, after.model, (await replica.bundle()).name

    names, after, current = run(steps)
    assert len(names) > 2 and set(names) == {"bundle"} and (after, current) == ("other", "other")


def test_a_caller_that_leaves_ends_the_work(tiny_bundle, picture):
    long = CompareOptions(max_new_tokens=300, min_new_tokens=300)

    async def steps(replica):
        await replica.reconfigure({"bundle": str(tiny_bundle)})
        async with aclosing(replica.compare(to_send(picture), long, None)) as snapshots:
            async for snapshot in snapshots:
                if snapshot.columns[0].captions:
                    break
        for _ in range(1000):
            if (await replica.status())["running"] == 0:
                return snapshot.columns[0].captions[0].tokens
            await asyncio.sleep(0.05)

    assert run(steps) < 300


def test_a_replica_without_a_bundle_says_what_is_missing():
    async def steps(replica):
        with pytest.raises(OptionsError, match="no user_config: it needs a bundle"):
            await replica.check_health()

    run(steps)


def test_a_replica_without_answers_is_not_healthy(tiny_bundle):
    def fail(*args):
        raise RuntimeError("the device is gone")

    async def steps(replica):
        await replica.reconfigure({"bundle": str(tiny_bundle)})
        replica._captioner._model.model.get_decoder().register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match="the device is gone"):
            await replica.check_health()

    run(steps)


def test_a_files_name_stays_within_its_folder():
    with received(SentFile("../../etc/passwd", b"x")) as file:
        assert file.name == "passwd" and file.read_bytes() == b"x" and file.parent.name.startswith("lora-mcl-")
    assert not file.exists()
    with pytest.raises(MediaError, match=r"none\.png cannot be read"):
        to_send("none.png")


def test_configurations_are_checked():
    with pytest.raises(OptionsError, match="user_config has no bundles; there are bundle, revision"):
        ReplicaConfig.of({"bundles": "a"})
    with pytest.raises(OptionsError, match="needs a bundle"):
        ReplicaConfig.of({})
    with pytest.raises(OptionsError, match="dtype must be float32"):
        ReplicaConfig("a", dtype="int8")
    with pytest.raises(OptionsError, match="max_rows"):
        ReplicaConfig("a", max_rows=0)


def test_numbers_of_replicas_are_checked(capsys):
    assert command.bounds("1:4", 9) == (1, 4) and command.bounds(None, 2) == (2, None)
    for text in ("4", "a:b", "1:", "-1:2"):
        with pytest.raises(OptionsError, match="autoscale must be MIN:MAX"):
            command.bounds(text, 1)
    with pytest.raises(SystemExit):
        command.main(["--replicas", "2", "--autoscale", "1:2"])
    assert "not allowed with" in capsys.readouterr().err


def test_without_ray_there_is_one_clear_line(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.main([]) == command.USER_ERROR
    assert capsys.readouterr().err == "deploy.serve: Ray is not installed: pip install -r requirements-serve.txt\n"


def test_only_a_replica_loads_torch():
    """The page and what deploys it start without: seconds, and a few hundred megabytes."""
    modules = "deploy.serve.apps, deploy.serve.page, deploy.caption_dataset"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=ROOT)

"""All that needs a Ray, which the tests of one file share.

A dataset captioned by workers of Ray Data; the page in front of replicas of Ray Serve, as serve.yaml deploys them: the
local answers, Stop, a replica that dies, another bundle, and more replicas under load.
"""

import copy
import json
import os
import shutil
import signal
import socket
import threading
import warnings
from contextlib import closing

import pytest
import yaml
from gradio_client import Client, handle_file
from PIL import Image

from deploy import caption_dataset
from deploy.dataset_files import Parts
from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.types import CompareOptions
from tests.support.browsing import wait_until
from tests.support.comparisons import last
from tests.support.paths import ROOT

with warnings.catch_warnings():
    # Ray uses pydantic in ways that pydantic deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    from deploy.serve.remote import RemoteCaptioner, ReplicaError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

# Of many rows, so that it is not over before a slow machine has looked at it.
LONG = CompareOptions(max_new_tokens=400, min_new_tokens=400, num_samples=32)
SECONDS = 300  # a busy machine is slow, not wrong


def config_of(bundle, **changes) -> dict:
    """What serve.yaml says, with one model of that bundle in two replicas; ``changes`` are of its deployment."""
    config = yaml.safe_load((ROOT / "deploy" / "serve" / "serve.yaml").read_text())
    (image,) = (app for app in config["applications"] if app["name"] == "image")
    (page,) = (app for app in config["applications"] if app["name"] == "page")
    (captioner,) = image["deployments"]
    captioner |= {"num_replicas": 2, "user_config": {**captioner["user_config"], "bundle": str(bundle)}}
    captioner["ray_actor_options"]["num_cpus"] = 0.5
    captioner["graceful_shutdown_wait_loop_s"] = 0.1  # how often one that ends looks whether it is idle
    del captioner["autoscaling_config"]
    captioner |= changes
    if "autoscaling_config" in changes:
        del captioner["num_replicas"]
    page["args"] = {"modalities": "image"}
    return {**config, "applications": [image, page]}


def deploy(config: dict) -> None:
    """What ``serve deploy`` asks the cluster's dashboard to do; waits until all runs."""
    # Ray takes values out of what it is given.
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(copy.deepcopy(config)))

    def states() -> dict[str, str]:
        return {name: app.status.value for name, app in serve.status().applications.items()}

    def settled() -> bool:
        found = states()
        assert "DEPLOY_FAILED" not in found.values(), serve.status()
        return set(found.values()) == {"RUNNING"} and len(found) == len(config["applications"])

    wait_until(settled, SECONDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, picture):
    """19 pictures, which are two parts, one of them damaged, and a text."""
    folder = tmp_path_factory.mktemp("media")
    with Image.open(picture) as image:
        for number in range(18):
            image.rotate(20 * number).save(folder / f"{number:02d}.png")
    (folder / "18.png").write_bytes((folder / "17.png").read_bytes()[:60])
    (folder / "words.txt").write_text("no picture")
    return folder


def test_two_workers_write_what_one_does_and_the_library_too(
    ray_cluster, caption_dataset_of, folder, tiny_captioner, tmp_path, capsys, monkeypatch
):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert caption_dataset_of(folder, one, "--workers", 1) == caption_dataset.SOME_LEFT_OUT
    assert "1 files have no captions" in capsys.readouterr().err
    # The second is cut short after its first part, and goes on.
    add = Parts.add
    monkeypatch.setattr(Parts, "add", lambda *args: [add(*args), 1 / 0])
    with pytest.raises(ZeroDivisionError):
        caption_dataset_of(folder, two, "--workers", 2)
    monkeypatch.setattr(Parts, "add", add)
    assert len(list(two.with_name("two.jsonl.parts").glob("*.parquet"))) == 1 and not two.exists()
    assert caption_dataset_of(folder, two, "--workers", 2) == caption_dataset.SOME_LEFT_OUT
    assert capsys.readouterr().err.count("] part ") == 1, "the other part is not captioned again"
    assert one.read_bytes() == two.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.jsonl", "two.jsonl"]

    rows = [json.loads(line) for line in one.read_text(encoding="utf-8").splitlines()]
    assert [row["file"] for row in rows] == [str(folder / f"{number:02d}.png") for number in range(19)]
    assert rows[18]["columns"] == [] and "18.png" in rows[18]["error"]
    options = CompareOptions(num_beams=2, num_beam_groups=1, max_new_tokens=5)
    for row in rows[:17:8]:
        local = last(tiny_captioner.compare(row["file"], options))
        assert "error" not in row and row["model"] == local.model
        for column, expected in zip(row["columns"], local.columns, strict=True):
            assert column["id"] == expected.id and column["label"] == expected.label
            for caption_, own in zip(column["captions"], expected.captions, strict=True):
                assert caption_["text"] == own.text and caption_["tokens"] == own.tokens
                assert caption_["log_prob"] == pytest.approx(own.log_prob, abs=1e-4)


@pytest.fixture(scope="module")
def port(ray_cluster, tiny_bundle):
    """Two replicas of the tiny bundle, and the page, which listens there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": number})
        deploy(config_of(tiny_bundle))
        yield number
    finally:
        serve.shutdown()


@pytest.fixture(scope="module")
def handle(port):
    return serve.get_app_handle("image")


@pytest.fixture(scope="module")
def remote(handle):
    return RemoteCaptioner(handle)


def status_of(handle) -> dict[str, int]:
    """Process and running comparisons of the replica that is asked: mostly of the one that has less to do."""
    return handle.status.remote().result(timeout_s=SECONDS)


def idle_replicas(handle) -> set[int]:
    """The processes of the two replicas; asks until both compute nothing."""
    running: dict[int, int] = {}

    def are_idle() -> bool:
        status = status_of(handle)
        running[status["pid"]] = status["running"]
        return len(running) == 2 and not any(running.values())

    wait_until(are_idle, SECONDS)
    return set(running)


def busy_replica(handle, replicas: set[int]) -> int:
    """Of two replicas, the process of the one that computes the only comparison."""
    status = status_of(handle)
    # One answer is enough, and must be: the busy one is asked seldom, and may be done before it is.
    if status["running"]:
        return status["pid"]
    (other,) = replicas - {status["pid"]}
    return other


def test_the_answers_are_the_local_ones(remote, tiny_captioner, picture, tmp_path):
    assert remote.name == tiny_captioner.name and remote.defaults == tiny_captioner.defaults
    options = CompareOptions(num_beams=2, num_beam_groups=1, num_samples=1, max_new_tokens=6)
    assert remote.columns(options) == tiny_captioner.columns(options)
    local, found = last(tiny_captioner.compare(picture, options)), last(remote.compare(picture, options))
    assert found.done and found.media == picture.name
    assert [column.captions for column in found.columns] == [column.captions for column in local.columns]
    (tmp_path / "words.txt").write_text("no picture")
    for captioner in (remote, tiny_captioner):
        with pytest.raises(MediaError, match=r"words\.txt"):
            captioner.compare(tmp_path / "words.txt")
        with pytest.raises(OptionsError, match="start is the second of a sound"):
            captioner.compare(picture, start=1.0)


def test_the_page_captions_by_the_replicas(port, tiny_captioner, picture):
    client = Client(f"http://127.0.0.1:{port}", verbose=False)
    final = client.predict(image=handle_file(str(picture)), max_new_tokens=6, api_name="/compare_image")
    local = last(tiny_captioner.compare(picture, CompareOptions(num_beams=4, num_beam_groups=2, max_new_tokens=6)))
    assert [c["captions"] for c in final["columns"]] == [c.to_dict()["captions"] for c in local.columns]


def test_stop_reaches_the_replica(remote, handle, picture):
    stop = threading.Event()
    snapshots = []
    for snapshot in remote.compare(picture, LONG, should_stop=stop.is_set):
        snapshots.append(snapshot)
        if snapshot.columns[0].captions:
            stop.set()
    assert snapshots[-1].stopped and snapshots[-1].columns[0].captions[0].tokens < LONG.max_new_tokens
    assert len(idle_replicas(handle)) == 2


def test_a_caller_that_leaves_stops_the_replica(remote, handle, picture):
    with closing(remote.compare(picture, LONG)) as snapshots:
        next(snapshots), next(snapshots)
        left_at = next(snapshots).columns[0].captions[0].tokens
    assert left_at < LONG.max_new_tokens and len(idle_replicas(handle)) == 2


def test_another_bundle_is_taken_over_by_replicas_that_go_on(remote, handle, tiny_bundle, picture):
    """While visitors ask: none is refused, none is cut off, and no process is started anew."""
    other = tiny_bundle.with_name("other")
    shutil.copytree(tiny_bundle, other, dirs_exist_ok=True)
    before, names, over = idle_replicas(handle), [], threading.Event()

    def visit() -> None:
        while not over.wait(0.1):
            final = last(remote.compare(picture))
            names.append((final.model, final.done))

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        deploy(config_of(other))
        wait_until(lambda: ("other", True) in names or not visitor.is_alive(), SECONDS)
    finally:
        over.set()
        visitor.join()
        deploy(config_of(tiny_bundle))
    assert set(names) == {("bundle", True), ("other", True)}
    assert idle_replicas(handle) == before and remote.name == "bundle"


def test_a_replica_that_dies_is_one_message_and_the_next_request_works(remote, handle, picture):
    replicas = idle_replicas(handle)
    snapshots = remote.compare(picture, LONG)
    next(snapshots), next(snapshots)
    os.kill(busy_replica(handle, replicas), signal.SIGKILL)
    with pytest.raises(ReplicaError, match="has stopped answering. Please try again"):
        for _ in snapshots:
            pass
    assert last(remote.compare(picture)).done


def test_replicas_follow_the_load(remote, handle, tiny_bundle, picture):
    quick = {"upscale_delay_s": 0.5, "downscale_delay_s": 1, "metrics_interval_s": 0.2, "look_back_period_s": 1}
    bounds = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 1, **quick}
    deploy(config_of(tiny_bundle, autoscaling_config=bounds))

    def num_replicas() -> int:
        states = serve.status().applications["image"].deployments["captioner"].replica_states
        return states.get("RUNNING", 0)

    wait_until(lambda: num_replicas() == 1, SECONDS)
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            last(remote.compare(picture, LONG, should_stop=over.is_set))

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    try:
        for visitor in visitors:
            visitor.start()
        wait_until(lambda: num_replicas() == 2, SECONDS)
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    wait_until(lambda: num_replicas() == 1, SECONDS)

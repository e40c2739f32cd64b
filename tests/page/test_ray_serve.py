"""The page in front of replicas of Ray Serve: the same answers, Stop, a replica that dies, more of them under load."""

import os
import signal
import socket
import threading
import warnings
from contextlib import closing

import pytest
from gradio_client import Client, handle_file

from deploy.serve.replica import ReplicaConfig
from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.types import CompareOptions
from tests.support.browsing import wait_until
from tests.support.comparisons import last
from tests.support.paths import ROOT

ray = pytest.importorskip("ray", reason="pip install -r requirements-serve.txt")

with warnings.catch_warnings():
    # Ray uses pydantic in ways that pydantic deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve

    from deploy.serve.apps import Scale, captioner_app, page_app
    from deploy.serve.remote import RemoteCaptioner, ReplicaError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

LONG = CompareOptions(max_new_tokens=300, min_new_tokens=300)


@pytest.fixture(scope="module")
def port():
    """A Ray of this machine's own, whose HTTP proxy listens there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": variables})
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": number})
        yield number
    finally:
        serve.shutdown()
        ray.shutdown()


@pytest.fixture(scope="module")
def handle(port, tiny_bundle):
    """Two replicas of the tiny bundle."""
    return serve.run(captioner_app(ReplicaConfig(str(tiny_bundle)), Scale(2)), name="image", route_prefix=None)


@pytest.fixture(scope="module")
def remote(handle):
    return RemoteCaptioner(handle)


def statuses(handle, expected: int = 2) -> dict[int, int]:
    """Comparisons in progress by process; asks until that many replicas have answered."""
    found = {}

    def all_answered() -> bool:
        status = handle.status.remote().result(timeout_s=60)
        found[status["pid"]] = status["running"]
        return len(found) >= expected

    wait_until(all_answered, 300)
    return found


def total_running(handle) -> int:
    return sum(statuses(handle).values())


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


def test_stop_reaches_the_replica(remote, handle, picture):
    stop = threading.Event()
    snapshots = []
    for snapshot in remote.compare(picture, LONG, should_stop=stop.is_set):
        snapshots.append(snapshot)
        if snapshot.columns[0].captions:
            stop.set()
    assert snapshots[-1].stopped and snapshots[-1].columns[0].captions[0].tokens < 300
    wait_until(lambda: total_running(handle) == 0)


def test_a_caller_that_leaves_stops_the_replica(remote, handle, picture):
    with closing(remote.compare(picture, LONG)) as snapshots:
        next(snapshots), next(snapshots)
        assert total_running(handle) == 1
    wait_until(lambda: total_running(handle) == 0)


def test_the_page_captions_by_the_replicas(handle, port, tiny_captioner, picture):
    serve.run(page_app(("image",)), name="page", route_prefix="/")
    client = Client(f"http://127.0.0.1:{port}", verbose=False)
    final = client.predict(image=handle_file(str(picture)), max_new_tokens=6, api_name="/compare_image")
    local = last(tiny_captioner.compare(picture, CompareOptions(num_beams=4, num_beam_groups=2, max_new_tokens=6)))
    assert [c["captions"] for c in final["columns"]] == [c.to_dict()["captions"] for c in local.columns]
    serve.delete("page")


def test_a_replica_that_dies_is_one_message_and_the_next_request_works(remote, handle, picture):
    snapshots = remote.compare(picture, LONG)
    next(snapshots), next(snapshots)
    (busy,) = (pid for pid, running in statuses(handle).items() if running)
    os.kill(busy, signal.SIGKILL)
    with pytest.raises(ReplicaError, match="has stopped answering. Please try again"):
        for _ in snapshots:
            pass
    assert last(remote.compare(picture)).done


def test_replicas_follow_the_load(port, tiny_bundle, picture):
    quick = {"upscale_delay_s": 0.5, "downscale_delay_s": 1, "metrics_interval_s": 0.2, "look_back_period_s": 1}
    bounds = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 1, **quick}
    app = captioner_app(ReplicaConfig(str(tiny_bundle)), Scale(1, 2), autoscaling_config=bounds)
    remote = RemoteCaptioner(serve.run(app, name="scaled", route_prefix=None))

    def num_replicas() -> int:
        states = serve.status().applications["scaled"].deployments["captioner"].replica_states
        return states.get("RUNNING", 0)

    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            last(remote.compare(picture, LONG, should_stop=over.is_set))

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    assert num_replicas() == 1
    try:
        for visitor in visitors:
            visitor.start()
        wait_until(lambda: num_replicas() == 2, 300)
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    wait_until(lambda: num_replicas() == 1, 300)
    serve.delete("scaled")

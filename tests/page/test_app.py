"""The page's server: its start, its endpoint through gradio_client, its messages, its Stop."""

import socket
from contextlib import closing
from dataclasses import replace

import pytest

import app
from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE
from lora_mcl.decoding.options import SchedulerOptions
from lora_mcl.types import CompareOptions
from tests.support.comparisons import last
from tests.support.gradio_warnings import GRADIO_WARNINGS
from ui.server import ServerOptions
from ui.zero_gpu import Lease

pytestmark = GRADIO_WARNINGS


def test_settings_prefer_arguments_then_environment_then_defaults():
    audio = str(EMBEDDED_AUDIO_BUNDLE) if EMBEDDED_AUDIO_BUNDLE.is_dir() else None
    assert app.settings_from([], {}) == app.Settings(str(EMBEDDED_BUNDLE), audio, ServerOptions())
    environment = {"LORA_MCL_IMAGE_MODEL": "me/bundle", "GRADIO_SERVER_NAME": "0.0.0.0", "PORT": "8000"}
    environment |= {"LORA_MCL_AUDIO_MODEL": "me/sounds"}
    assert app.settings_from([], environment) == app.Settings("me/bundle", "me/sounds", ServerOptions("0.0.0.0", 8000))
    environment |= {"LORA_MCL_HOST": "10.0.0.1", "LORA_MCL_PORT": "9000"}
    assert app.settings_from([], environment) == app.Settings("me/bundle", "me/sounds", ServerOptions("10.0.0.1", 9000))
    arguments = ["--image-model", "folder", "--audio-model", "none", "--host", "::1", "--port", "7000"]
    assert app.settings_from(arguments, environment) == app.Settings("folder", None, ServerOptions("::1", 7000))
    large = ["--dtype", "bfloat16", "--device-map", "auto", "--load-in-4bit", "--acceleration", "compile"]
    assert app.settings_from([*arguments, *large], {}) == app.Settings(
        "folder",
        None,
        ServerOptions("::1", 7000),
        dtype="bfloat16",
        device_map="auto",
        load_in_4bit=True,
        acceleration="compile",
    )


def test_every_option_can_come_from_the_environment(capsys):
    environment = {
        "LORA_MCL_IMAGE_MODEL": "me/bundle",
        "LORA_MCL_AUDIO_MODEL": "none",
        "GRADIO_ROOT_PATH": "/studio",
        "GRADIO_MCP_SERVER": "False",
        "LORA_MCL_FETCH_URLS": "1",
        "LORA_MCL_DTYPE": "float16",
        "LORA_MCL_DEVICE_MAP": "auto",
        "LORA_MCL_LOAD_IN_4BIT": "1",
        "LORA_MCL_ACCELERATION": "cuda-graph",
        "LORA_MCL_MAX_ROWS": "64",
        "LORA_MCL_MAX_CACHE": "1.5",
        "LORA_MCL_KEEP_PROMPTS": "3",
        "LORA_MCL_MODEL_PROCESSES": "0",
        "LORA_MCL_LEASE_START": "4.5",
        "LORA_MCL_LEASE_PER_TOKEN": "0.05",
        "LORA_MCL_VOTES": "votes.sqlite",
    }
    server, bounds = ServerOptions(root_path="/studio"), SchedulerOptions(64, 1_500_000_000)
    model = ("float16", "auto", True, "cuda-graph")
    large = app.Settings("me/bundle", None, server, True, *model, bounds, Lease(4.5, 0.05))
    large = replace(large, votes="votes.sqlite", keep_prompts=3, model_processes=False)
    assert app.settings_from([], environment) == large
    arguments = ["--no-load-in-4bit", "--dtype", "bfloat16", "--lease-start", "3"]
    assert app.settings_from(arguments, environment) == replace(
        large, load_in_4bit=False, dtype="bfloat16", lease=Lease(3, 0.05)
    )
    bad = {
        "LORA_MCL_DTYPE": "int8",
        "LORA_MCL_LOAD_IN_4BIT": "perhaps",
        "LORA_MCL_ACCELERATION": "fast",
        "LORA_MCL_MAX_ROWS": "0",
        "LORA_MCL_MAX_CACHE": "nan",
        "LORA_MCL_KEEP_PROMPTS": "-1",
        "LORA_MCL_MODEL_PROCESSES": "some",
        "LORA_MCL_LEASE_START": "0",
        "LORA_MCL_LEASE_PER_TOKEN": "soon",
        "LORA_MCL_ROOT_PATH": "studio",
        "LORA_MCL_MCP": "perhaps",
        "LORA_MCL_AUTH_FILE": "/no/such/file",
        "LORA_MCL_AUDIO_MODLE": "none",
        "LORA_MCL_PORT": "99999",
    }
    for name, value in bad.items():
        with pytest.raises(SystemExit) as leaving:
            app.settings_from([], {name: value})
        assert leaving.value.code == app.USER_ERROR
        option = name.removeprefix("LORA_MCL_").lower().replace("_", "-")
        (printed,) = capsys.readouterr().err.splitlines()
        assert option in printed or name in printed or option.replace("-", "'s ") in printed
    assert app.settings_from([], {"GRADIO_ROOT_PATH": "/a", "LORA_MCL_ROOT_PATH": "/b"}).server.root_path == "/b"


@pytest.mark.parametrize(("argument", "value"), [("--max-rows", "9"), ("--max-cache", "1e-6"), ("--max-rows", "27")])
def test_the_bounds_reach_the_scheduler(tiny_bundle, picture, argument, value):
    """Where only one comparison fits, the next one gets no word before the first is done."""
    arguments = ["--image-model", str(tiny_bundle), "--audio-model", "none", "--no-model-processes"]
    settings = app.settings_from([*arguments, argument, value], {})
    (tab,) = app.load_tabs(settings)
    tab.captioner.load()
    first, second = (tab.captioner.compare(picture) for _ in range(2))
    for comparisons in (first, first, second, second):
        comparison = next(comparisons)
    assert comparison.columns[0].captions
    model, calls = tab.captioner._captioner.result()._captioner._model.model.get_decoder(), []
    with closing(second):
        handle = model.register_forward_pre_hook(lambda *_: calls.append(1))
        *_, last = first
        handle.remove()
    assert last.done and bool(calls) == (value == "27")


@pytest.mark.parametrize(("keep", "encoded"), [("1", [1, 1, 1]), ("0", [1, 2, 3])])
def test_media_are_kept_for_those_who_ask_again(tiny_bundle, picture, keep, encoded):
    """The same settings again, then others; with 0 nothing is kept."""
    arguments = ["--image-model", str(tiny_bundle), "--audio-model", "none", "--no-model-processes"]
    (tab,) = app.load_tabs(app.settings_from([*arguments, "--keep-prompts", keep], {}))
    tab.captioner.load()
    model, forwards, found = tab.captioner._captioner.result()._captioner._model.model.model, [], []
    model.vision_tower.register_forward_hook(lambda *_: forwards.append(1))
    for tokens in (6, 6, 5):
        comparison = last(tab.captioner.compare(picture, CompareOptions(max_new_tokens=tokens)))
        found.append((len(forwards), [column.captions for column in comparison.columns]))
    assert [count for count, _ in found] == encoded and found[0][1] == found[1][1]


def test_something_must_be_served(capsys):
    with pytest.raises(SystemExit) as leaving:
        app.settings_from(["--image-model", "none", "--audio-model", "none"], {})
    assert leaving.value.code == app.USER_ERROR
    assert "nothing to serve" in capsys.readouterr().err


def test_a_missing_bundle_is_one_clear_line(tmp_path, capsys):
    assert app.main(["--image-model", str(tmp_path / "nothing")]) == app.USER_ERROR
    printed = capsys.readouterr()
    assert printed.err.startswith("app.py: ") and "nothing" in printed.err and printed.err.count("\n") == 1


def test_an_address_of_another_machine_is_one_clear_line(tiny_bundle, capsys):
    # TEST-NET-1: nobody's.
    assert app.main(["--image-model", str(tiny_bundle), "--host", "192.0.2.1"]) == app.USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("app.py: cannot serve on 192.0.2.1: ") and "port" not in line


def test_a_taken_port_is_one_clear_line(tiny_bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert app.main(["--image-model", str(tiny_bundle), "--port", str(port)]) == app.USER_ERROR
    assert f"port {port}" in capsys.readouterr().err

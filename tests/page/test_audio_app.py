"""The audio tab's server: which bundles it takes, its endpoint through gradio_client, its messages."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import app
from lora_mcl.errors import BundleError
from tests.support.fake_captioner import HYPOTHESES, FakeAudioCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import audio_tab, image_tab
from tests.support.tiny_audio import strongest, tone
from ui.modality import AUDIO, IMAGE
from ui.model_info import embedded_info
from ui.server import ServerOptions

pytestmark = GRADIO_WARNINGS


@pytest.fixture(scope="module")
def captioner() -> FakeAudioCaptioner:
    return FakeAudioCaptioner()


@pytest.fixture(scope="module")
def client(connect, captioner) -> Client:
    """Both tabs, as the page has them."""
    return connect(image_tab(), audio_tab(captioner))


def test_both_comparisons_are_public(client):
    endpoints = client.view_api(return_format="dict", print_info=False)
    names = ["/compare_image", "/score_image", "/slide_image"]
    names += ["/compare_audio", "/score_audio", "/slide_audio", "/caption_files"]
    assert list(endpoints["named_endpoints"]) == names
    assert not endpoints["unnamed_endpoints"]
    parameters = endpoints["named_endpoints"]["/compare_audio"]["parameters"]
    assert [(p["parameter_name"], p["parameter_default"]) for p in parameters[1:]] == [
        ("start", None),
        ("num_beams", 3),
        ("num_beam_groups", None),
        ("diversity_penalty", 0.8),
        ("hypothesis_beams", 1),
        ("num_samples", 0),
        ("max_new_tokens", 48),
        ("temperature", 1),
        ("seed", 0),
        ("columns", ["hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam"]),
    ]
    assert parameters[0]["parameter_name"] == "audio" and not parameters[0]["parameter_has_default"]


def test_the_endpoint_answers_with_the_window(client, captioner, long_clip):
    audio = handle_file(str(long_clip))
    final = client.predict(audio=audio, api_name="/compare_audio")
    assert final["media"] == "long.flac"
    assert [c["captions"][0]["text"] for c in final["columns"][:3]] == [sentence for _, _, sentence in HYPOTHESES]
    assert final["window"] == {"start": 0, "end": 2, "duration": 4}
    assert strongest(captioner.samples) == pytest.approx(300, abs=1)
    later = client.predict(audio=audio, start=2, api_name="/compare_audio")
    assert later["window"] == {"start": 2, "end": 4, "duration": 4}
    assert strongest(captioner.samples) == pytest.approx(900, abs=1)


def test_the_real_captioner_answers(connect, clip, tiny_audio_captioner):
    client = connect(audio_tab(tiny_audio_captioner))
    final = client.predict(audio=handle_file(str(clip)), api_name="/compare_audio")
    (*_, direct) = tiny_audio_captioner.compare(clip)
    assert [c["captions"] for c in final["columns"]] == [c["captions"] for c in direct.to_dict()["columns"]]


def test_bad_requests_get_messages(client, clip, tmp_path):
    with pytest.raises(AppError, match="Choose a sound first"):
        client.predict(audio=None, api_name="/compare_audio")
    for name, content, message in (
        ("words.wav", b"this is no sound", "words.wav is not a sound"),
        ("empty.mp3", b"", "empty.mp3 is empty"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AppError, match=message):
            client.predict(audio=handle_file(str(tmp_path / name)), api_name="/compare_audio")
    soundfile.write(tmp_path / "still.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "click.wav", tone(440, 0.1), 16_000)
    for name, message in (("still.wav", "is silent"), ("click.wav", "too short")):
        with pytest.raises(AppError, match=message):
            client.predict(audio=handle_file(str(tmp_path / name)), api_name="/compare_audio")
    for values, message in (
        ({"start": 9}, "start must be a number of seconds from 0 to 0.6"),
        ({"start": "soon"}, "start must be a number"),
        ({"num_beams": 99}, "num_beams.* from 1 to 12"),
    ):
        with pytest.raises(AppError, match=message):
            client.predict(audio=handle_file(str(clip)), **values, api_name="/compare_audio")


def test_files_that_were_not_uploaded_are_refused(client):
    with pytest.raises(AppError, match="hostname was not uploaded"):
        client.predict(audio={"path": "/etc/hostname"}, api_name="/compare_audio")


def test_a_sound_that_begins_late_is_captioned_from_its_first_sound(client, captioner, tmp_path):
    samples = np.concatenate([np.zeros(3 * 16_000), tone(700, 2.5)])
    soundfile.write(tmp_path / "late.wav", samples, 16_000)
    audio = handle_file(str(tmp_path / "late.wav"))
    final = client.predict(audio=audio, api_name="/compare_audio")
    assert final["window"] == {"start": 3, "end": 5, "duration": 5.5}
    assert strongest(captioner.samples) == pytest.approx(700, abs=1)
    with pytest.raises(AppError, match="silent from second 0.5 to 2.5"):
        client.predict(audio=audio, start=0.5, api_name="/compare_audio")


def settings(**models) -> app.Settings:
    return app.Settings(**{"image_model": None, "audio_model": None, **models}, server=ServerOptions())


def test_a_desk_for_each_model(tiny_bundle, tiny_audio_bundle):
    both = app.load_tabs(settings(image_model=str(tiny_bundle), audio_model=str(tiny_audio_bundle)))
    assert [(tab.modality, tab.captioner.name) for tab in both] == [(IMAGE, "bundle"), (AUDIO, "audio-bundle")]
    (only,) = app.load_tabs(settings(audio_model=str(tiny_audio_bundle)))
    assert only.modality == AUDIO and "audio-bundle" in only.info.can


def test_a_bundle_of_the_other_medium_is_refused(tiny_bundle, tiny_audio_bundle, capsys):
    with pytest.raises(BundleError, match="bundle is no bundle for --audio-model: its modality is image"):
        app.load_tabs(settings(audio_model=str(tiny_bundle)))
    assert app.main(["--image-model", str(tiny_audio_bundle)]) == app.USER_ERROR
    assert "audio-bundle is no bundle for --image-model" in capsys.readouterr().err


def test_how_large_models_are_held(tiny_audio_bundle):
    placed = app.Settings(None, str(tiny_audio_bundle), ServerOptions(), dtype="bfloat16", device_map="cpu")
    placed = replace(placed, model_processes=False)
    (tab,) = app.load_tabs(placed)
    captioner = app._load_captioner(tab.captioner.bundle, placed)
    assert str(captioner._model.model.dtype) == "torch.bfloat16"


def test_the_description_of_the_embedded_model_holds_the_measured_figures(tmp_path):
    results = tmp_path / "audio.json"
    training = {"sounds": 90, "backgrounds": 12}
    before = embedded_info(AUDIO, training, results)
    assert "90 everyday sounds and 12 backgrounds" in before.can and "%" not in before.can

    best = {"recall": 0.25, "family_recall": 0.5}
    results.write_text(json.dumps({"test": {"captioned": 1000, "generation": {"caption-gate": {"best": best}}}}))
    said = embedded_info(AUDIO, training, results).can
    assert "in 1,000 clips" in said and "named the kind (an animal, a machine …) of 50% of the sounds, and 25%" in said


@pytest.mark.parametrize("modality", [IMAGE, AUDIO], ids=lambda modality: modality.name)
def test_two_sentences_are_said_of_an_embedded_model(modality):
    results = json.loads((app.RESULTS / f"{modality.name}.json").read_text(encoding="utf-8"))
    info = embedded_info(modality, {}, app.RESULTS / f"{modality.name}.json")
    for sentence in (info.can, info.cannot):
        assert sentence.startswith("It ") and sentence.endswith(".") and sentence.count(". ") == 0
        assert len(sentence) < 250
    if modality == IMAGE:
        named = results["photographs"]["main_named_by_some"]
    else:
        named = results["test"]["generation"]["caption-gate"]["best"]["family_recall"]
    assert f"{named:.0%}" in info.can

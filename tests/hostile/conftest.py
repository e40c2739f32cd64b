"""One served page of the tiny captioners for all hostile requests; nothing may be printed that looks like a failure."""

import pytest
from hypothesis import HealthCheck, settings

from lora_mcl.audio import load_window
from lora_mcl.errors import MediaError
from lora_mcl.images import load_image
from tests.support.hostile_page import HostilePage
from tests.support.served_pages import audio_tab, image_tab, served

# The same examples every time, at any speed of the machine, and no folder of earlier ones.
settings.register_profile(
    "repository", database=None, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repository")


@pytest.fixture(scope="session")
def page(tiny_captioner, tiny_audio_captioner, picture, clip, tmp_path_factory):
    """A client of the page with both captioners."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with served([image_tab(tiny_captioner), audio_tab(tiny_audio_captioner)]) as page:
            yield HostilePage(page.local_url, {"image": picture, "audio": clip})


@pytest.fixture
def quiet(capfd, caplog):
    """Fails the test if an unexpected error was logged or a traceback printed, by the server's threads too."""
    yield
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err, err
    assert not [record.getMessage() for record in caplog.records if record.name == "ui.failures"]


@pytest.fixture(scope="session")
def readers():
    """What reads a file of each modality and returns the message if it cannot; it lets other errors through."""

    def reading(read):
        def message(file):
            try:
                read(file)
            except MediaError as error:
                return str(error)
            return None

        return message

    sound = {"start": 0, "sampling_rate": 16_000, "max_seconds": 1}
    return {"image": reading(load_image), "audio": reading(lambda file: load_window(file, **sound))}

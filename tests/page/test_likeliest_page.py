"""The sign of the hypothesis that is predicted to win: on the page in both languages, and through gradio_client."""

import re

import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import expect

from lora_mcl.captioner import Captioner
from tests.support.browsing import (
    COLUMNS,
    attributes,
    captions,
    column,
    expect_columns_within,
    screenshot,
    upload_picture,
)
from tests.support.comparisons import HYPOTHESES, last
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from tests.support.tiny_bundle import with_score_head

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.fixture(scope="module")
def headed(tiny_bundle, tmp_path_factory):
    """The captioner of a tiny bundle with a score head."""
    return Captioner.load(with_score_head(tiny_bundle, tmp_path_factory.mktemp("headed") / "tiny"), device="cpu")


@pytest.fixture(scope="module")
def headed_address(serve, headed):
    return serve(image_tab(headed))


@pytest.fixture(scope="module")
def predicted(headed, picture):
    """The id of the predicted winner, and its probability."""
    final = last(headed.compare(picture))
    winner = next(one for one in final.columns if one.predicted_winner)
    return winner.id, winner.win_probability


def compared(page, picture):
    upload_picture(page, picture)
    page.click("#image-compare")
    expect(column(page, "diverse-beam")).to_have_attribute("data-state", "done")
    return page


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_the_predicted_winner_carries_its_probability_and_the_columns_keep_their_places(
    visit, headed_address, headed, predicted, picture, tmp_path, width, scheme
):
    page = visit(headed_address, width=width)
    if scheme == "dark":
        page.evaluate("document.body.classList.add('dark')")
    assert page.locator(".likeliest").count() == 0  # nothing is predicted before there is a picture
    compared(page, picture)
    id, probability = predicted
    expect(page.locator(".likeliest:visible")).to_have_count(1)
    sign = column(page, id).locator(".likeliest")
    expect(sign).to_have_text(f"Most likely: {probability:.0%}")
    assert "before anything was written" in sign.get_attribute("title")
    shown = attributes(page, ".caption-column", "data-column")
    assert shown == list(COLUMNS)
    expect_columns_within(page, width)
    screenshot(page, f"likeliest-{width}-{scheme}", tmp_path)


def test_in_french(visit, headed_address, predicted, picture):
    page = compared(visit(headed_address, locale="fr-FR"), picture)
    id, probability = predicted
    sign = re.compile(rf"La plus probable\s: {100 * probability:.0f}\s%")
    expect(column(page, id).locator(".likeliest")).to_have_text(sign)


def test_another_picture_has_another_prediction(visit, headed_address, headed, picture, tmp_path):
    """The sign follows the comparison that is shown."""
    other = tmp_path / "other.png"
    image = Image.new("RGB", (40, 40), "navy")
    image.putpixel((3, 3), (255, 255, 255))
    image.save(other)
    page = compared(visit(headed_address), picture)
    compared(page, other)
    winner = next(one for one in last(headed.compare(other)).columns if one.predicted_winner)
    expect(column(page, winner.id).locator(".likeliest")).to_have_text(f"Most likely: {winner.win_probability:.0%}")
    expect(page.locator(".likeliest:visible")).to_have_count(1)


def test_without_a_head_there_is_no_sign(visit, address, picture):
    page = compared(visit(address), picture)
    assert captions(page, "hypothesis-0") and page.locator(".likeliest").count() == 0


def test_through_gradio_client(headed_address, predicted, picture):
    client = Client(headed_address, verbose=False)
    columns = client.predict(image=handle_file(str(picture)), api_name="/compare_image")["columns"]
    assert sum(one["win_probability"] for one in columns[:3]) == pytest.approx(1, abs=1e-5)
    winners = [(one["id"], one["win_probability"]) for one in columns[:3] if one["predicted_winner"]]
    assert winners == [(predicted[0], pytest.approx(predicted[1], abs=1e-6))]
    assert [one["id"] for one in columns[:3]] == HYPOTHESES
    assert all("win_probability" not in one for one in columns[3:])

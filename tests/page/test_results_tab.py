"""The "Results" tab: what it reads, what it draws, its CSV, in a browser and by the files in assets/."""

import csv
import io
import json
import re
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

import app
from lora_mcl.errors import BundleError
from tests.support.browsing import expect_no_sideways_scroll, screenshot, unnamed
from tests.support.embedded import DOMAINS
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from ui.markov_demo import _captions_html
from ui.results import MODES, NumberRow, ResultSet, Specialisation, SystemRow, load_results
from ui.results_view import results_csv, results_html
from ui.texts.texts import FRENCH

pytestmark = GRADIO_WARNINGS

ONE = ResultSet(
    "image",
    "Pictures",
    "share of <things> named",
    "Ten pictures.",
    (SystemRow("Hypotheses", 60.0, 50.0, 40.0, 0.1), SystemRow("Beam & search", 55.0, 54.0, 53.0, 0.6)),
    (Specialisation("Hypotheses", ("en", "fr"), ((0.9, 0.1), (0.25, 0.75))),),
)
TRANSLATIONS = ResultSet(
    "translations",
    "Translations by people",
    "chrF",
    "Four.",
    ONE.systems,
    ONE.specialisations,
    (NumberRow(1, 2.0, 2.0), NumberRow(2, 1.6, 1.9), NumberRow(4, 1.2, 2.1)),
)


@pytest.fixture(scope="module")
def address(serve):
    return serve(image_tab(), results=(ONE, TRANSLATIONS))


def test_the_committed_files_are_read():
    found = {one.name: one for one in load_results(app.RESULTS)}
    assert {"image", "audio"} <= set(found)
    for name, field in (("image", "recall"), ("audio", "family_recall")):
        test = json.loads((app.RESULTS / f"{name}.json").read_text(encoding="utf-8"))["test"]
        systems = {one.name: one for one in found[name].systems}
        beam, report = systems["Beam search"], test["generation"]["beam"]
        assert (beam.best, beam.worst) == (100 * report["best"][field], 100 * report["worst"][field])
        assert beam.mutual_bleu == report["diversity"]["mutual_bleu"]
        relaxed = next(one for one in found[name].specialisations if one.system == "Hypotheses (relaxed)")
        assert [list(row) for row in relaxed.share] == test["likelihood"]["relaxed"]["stability"]["win_share"]
        assert list(relaxed.modes) == [MODES[mode] for mode in test["modes"]]


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_modes_are_called_like_the_hypotheses_that_won_them(domain):
    labels = {mode: label for mode, (label, _) in domain.annotators.labels.items()}
    assert labels.items() <= MODES.items()


def test_captions_are_the_last_step_of_how_it_works():
    shown = _captions_html([one for one in load_results(app.RESULTS) if one.is_captions], FRENCH)
    assert shown.count("<table") == 2 and "Des perles aux légendes" in shown and "Anglais, objets" in shown


def translations(seeds):
    """A results file of the translation experiment with these seeds' runs of K = 1 and 4."""

    def system(best):
        return {"chrf": {"best": best, "mean": best / 2, "worst": 0}, "mutual_bleu": 0.5}

    runs = []
    for seed in seeds:
        mle = {name: system(20 + seed) for name in ("beam x 4", "diverse-beam-0.8 x 4", "nucleus x 4")}
        likelihood = {"best": 2.0 + seed, "mixture": 2.0 + seed}
        runs.append(
            {
                "variant": "mle",
                "seed": seed,
                "hypotheses": 1,
                "likelihood": likelihood,
                "systems": mle,
                "specialisation": None,
            }
        )
        share = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        four = {"hypotheses x 4": system(30 + 2 * seed)}
        runs.append(
            {
                "variant": "relaxed-4",
                "seed": seed,
                "hypotheses": 4,
                "likelihood": {"best": 1.0, "mixture": 1.5 + seed},
                "systems": four,
                "specialisation": {"share": share},
            }
        )
    return {"languages": ["fr", "de", "es", "it"], "messages": {"test": 7}, "runs": runs}


def test_translations_are_means_over_seeds(tmp_path):
    (tmp_path / "translations.json").write_text(json.dumps(translations([0, 1])))
    (found,) = load_results(tmp_path)
    assert [(one.name, one.best, one.mean, one.deviations) for one in found.systems][:2] == [
        ("Hypotheses (relaxed)", 31, 15.5, (1, 0.5, 0)),
        ("Beam search", 20.5, 10.25, (0.5, 0.25, 0)),
    ]
    (matrix,) = found.specialisations
    assert matrix.modes == ("French", "German", "Spanish", "Italian") and matrix.share[2] == (0, 0, 1, 0)
    assert found.numbers == (NumberRow(1, 2.5, 2.5, 2, (0.5, 0.5)), NumberRow(4, 1.0, 2.0, 2, (0, 0.5)))
    assert "7 short messages" in found.about and "standard deviation over 2 random starts" in found.about
    assert "<td>31.0 ± 1.0</td><td>15.5 ± 0.5</td><td>0.0 ± 0.0</td>" in results_html(found)
    rows = list(csv.reader(io.StringIO(results_csv(found))))
    assert rows[0][5:] == [f"{name}, deviation over starts" for name in ("best of K", "mean", "worst")]
    assert rows[1] == ["Hypotheses (relaxed)", "31.0", "15.5", "0.0", "0.500", "1.00", "0.50", "0.00"]
    assert ["4", "1.0000", "2.0000", "2", "0.0000", "0.5000"] in rows


def test_the_number_of_starts_is_that_of_every_variant(tmp_path):
    for seeds, more, said in (([0], [], "poor; 1 random start."), ([0, 1], [2], "over 2 to 3 random starts.")):
        content = translations(seeds)
        content["runs"] += [run for run in translations(more)["runs"] if run["variant"] == "mle"]
        (tmp_path / "translations.json").write_text(json.dumps(content))
        (found,) = load_results(tmp_path)
        assert said in found.about


@pytest.mark.parametrize("content", ["{", "[]", '{"test": {}}'])
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / "image.json").write_text(content)
    with pytest.raises(BundleError, match=r"image\.json does not hold the results of image"):
        load_results(tmp_path)


def test_without_files_there_is_nothing(tmp_path):
    assert load_results(tmp_path) == ()


def test_csv_has_every_figure():
    rows = list(csv.reader(io.StringIO(results_csv(ONE))))
    assert rows == [
        ["system", "best of K", "mean", "worst", "mBLEU-4"],
        ["Hypotheses", "60.0", "50.0", "40.0", "0.100"],
        ["Beam & search", "55.0", "54.0", "53.0", "0.600"],
        [],
        ["share won, %: Hypotheses", "hypothesis 1", "hypothesis 2"],
        ["en", "90.0", "10.0"],
        ["fr", "25.0", "75.0"],
    ]
    href = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', results_html(ONE))[1]
    assert unquote(href) == results_csv(ONE)


def test_csv_has_the_loss_of_every_number():
    rows = list(csv.reader(io.StringIO(results_csv(TRANSLATIONS))))
    at = rows.index(["K", "NLL of the best", "NLL of the mixture", "starts"])
    assert rows[at + 1 : at + 3] == [["1", "2.0000", "2.0000", "1"], ["2", "1.6000", "1.9000", "1"]]
    assert rows[at + 3] == ["4", "1.2000", "2.1000", "1"]


def test_the_loss_curve_goes_down_where_the_loss_falls():
    shown = results_html(TRANSLATIONS)
    curve = shown[shown.index("Loss against the number of hypotheses") :]
    best, mixture = (
        [tuple(map(float, point.split(","))) for point in line.split()]
        for line in re.findall(r'<polyline points="([^"]+)"', curve)
    )
    assert [y for _, y in best] == sorted(y for _, y in best)  # y grows downwards
    assert best[0] == mixture[0] and mixture[1][1] > mixture[0][1] > mixture[2][1]
    assert best[2][0] - best[1][0] == pytest.approx(2 * (best[1][0] - best[0][0]), abs=0.2)
    assert "Loss against" not in results_html(ONE)


def test_names_are_text_not_markup():
    shown = results_html(ONE)
    assert "Beam &amp; search" in shown and "share of &lt;things&gt; named" in shown and "<things>" not in shown


def test_dots_lie_at_their_figures():
    """Better is higher, more diverse further right; the tail ends below its dot."""
    shown = results_html(ONE)
    (x1, y1), (x2, y2) = (map(float, dot) for dot in re.findall(r'class="dot" cx="([\d.]+)" cy="([\d.]+)"', shown))
    assert x1 > x2 and y1 < y2
    for tail in re.findall(r'<polyline points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', shown):
        assert tail[0] == tail[2] and float(tail[1]) < float(tail[3])


def test_systems_that_are_all_equal_can_be_drawn():
    row = SystemRow("same", 0.0, 0.0, 0.0, 1.0)
    same = ResultSet("image", "Pictures", "q", "a", (row, row), ())
    assert not re.search(r"\bnan\b", results_html(same))


def open_results(visit, address, width=1280):
    page = visit(address, width=width)
    page.get_by_role("tab", name="Results").click()
    return page, page.locator("[role=tabpanel]:visible")


@pytest.mark.browser
def test_a_visitor_reads_chooses_and_downloads(visit, address, tmp_path):
    page, panel = open_results(visit, address)
    expect(panel.get_by_text("Ten pictures.")).to_be_visible()
    expect(panel.get_by_role("img", name=re.compile("A Hypotheses: best 60.0, mean 50.0"))).to_be_visible()
    expect(panel.get_by_role("row", name=re.compile("Beam & search 55.0 54.0 53.0 0.600"))).to_be_visible()
    with page.expect_download() as saved:
        panel.get_by_role("link", name="Download these figures (CSV)").click()
    assert saved.value.suggested_filename == "results-image.csv"
    saved.value.save_as(tmp_path / "figures.csv")
    assert (tmp_path / "figures.csv").read_text(encoding="utf-8") == results_csv(ONE)
    panel.get_by_label("Translations by people").check()
    expect(panel.get_by_text("Four.")).to_be_visible()
    expect(panel.get_by_role("img", name=re.compile("K = 2: best 1.600, mixture 1.900"))).to_be_visible()
    screenshot(page, "results", tmp_path)


@pytest.mark.browser
def test_on_a_phone_in_the_dark(visit, address, tmp_path):
    page, panel = open_results(visit, f"{address}?__theme=dark", width=390)
    expect(panel.get_by_text("Ten pictures.")).to_be_visible()
    expect_no_sideways_scroll(page)
    assert unnamed(page) == []
    screenshot(page, "results-phone-dark", tmp_path)

"""CSV and JSON of captioned files."""

import csv
import io
import json

from lora_mcl.phrases import Phrase
from lora_mcl.report import CaptionedFile
from lora_mcl.report.tables import write_csv, write_json
from lora_mcl.texts import FRENCH
from tests.support.captioned import captioned
from tests.support.fake_captioner import BEAM, HYPOTHESES, FakeCaptioner


def test_json_holds_model_settings_and_scores(picture):
    file = io.StringIO()
    write_json([captioned(picture, num_beams=2, num_beam_groups=1), CaptionedFile("b.png", picture, error="No.")], file)
    first, second = json.loads(file.getvalue())["files"]
    assert second == {"file": "b.png", "error": "No."}
    assert (first["file"], first["model"]) == ("picture.png", "fake")
    assert first["settings"]["num_beams"] == 2 and first["settings"]["max_new_tokens"] == 48
    assert first["columns"][0]["captions"] == [
        {"text": HYPOTHESES[0][2], "log_prob": -0.7 * 6, "mean_log_prob": -0.7, "tokens": 6}
    ]
    assert [caption["text"] for caption in first["columns"][3]["captions"]] == list(BEAM[:2])


def test_csv_has_a_row_for_each_caption(picture):
    file = io.StringIO()
    write_csv([captioned(picture), CaptionedFile("b.png", picture, error="No.")], file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(rows) == 3 + 3 + 3 + 1
    assert rows[0]["caption"] == HYPOTHESES[0][2] and rows[0]["label"] == HYPOTHESES[0][0]
    assert [row["rank"] for row in rows[3:6]] == ["1", "2", "3"]
    assert json.loads(rows[0]["settings"])["num_beams"] == 3
    assert (rows[-1]["file"], rows[-1]["error"], rows[-1]["caption"]) == ("b.png", "No.", "")


def test_csv_in_french(picture):
    file = io.StringIO()
    failed = CaptionedFile("b.png", picture, error=Phrase("{name} is empty: choose another file.", name="b.png"))
    write_csv([captioned(picture), failed], file, FRENCH)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    names = ["fichier", "modèle", "colonne", "intitulé", "rang", "légende", "jetons"]
    assert list(rows[0])[:7] == names
    assert rows[3]["intitulé"] == "Recherche en faisceau" and rows[3]["colonne"] == "beam"
    assert rows[0]["légende"] == HYPOTHESES[0][2] and float(rows[0]["log_prob_moyenne"]) == -0.7
    assert rows[-1]["erreur"] == "b.png est vide\u00a0: choisissez un autre fichier."


def test_no_cell_is_a_formula(picture):
    file = io.StringIO()
    evil = FakeCaptioner(hypotheses=(("+label", "", "=1+1"),))
    write_csv([captioned(picture, evil, name="@a.png"), CaptionedFile("-b.png", picture, error="No.")], file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert (rows[0]["file"], rows[0]["label"], rows[0]["caption"]) == ("'@a.png", "'+label", "'=1+1")
    assert rows[-1]["file"] == "'-b.png" and float(rows[0]["log_prob"]) < 0

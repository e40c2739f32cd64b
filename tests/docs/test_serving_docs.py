"""The snippet of docs/serving.md: the page's endpoints as MCP tools, listed and called by an MCP client."""

import ast
import re

import pytest

import app
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.paths import ROOT
from ui.modality import IMAGE
from ui.model_info import ModelInfo
from ui.page import build_page
from ui.tab import Tab

pytestmark = GRADIO_WARNINGS


@pytest.fixture
def snippet(tmp_path, monkeypatch):
    """The snippet, for a page of the fake captioner that is served with GRADIO_MCP_SERVER."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.chdir(ROOT)
    (text,) = re.findall(r"```python\n(import asyncio.*?)```", (ROOT / "docs" / "serving.md").read_text("utf-8"), re.S)
    tabs = [Tab(IMAGE, FakeCaptioner(), (), ModelInfo("It counts.", "It does not sing."))]
    page = build_page(tabs)
    settings = app.settings_from([], {"GRADIO_MCP_SERVER": "true"})
    yield text.replace("http://127.0.0.1:7860/", app.launch(page, tabs, settings.server))
    page.close(verbose=False)


def test_the_tools_are_listed_and_a_picture_is_captioned(snippet, capsys):
    exec(snippet, {})
    tools, answer = capsys.readouterr().out.splitlines()[-2:]
    assert {"compare_image", "score_image", "slide_image", "caption_files"} <= set(ast.literal_eval(tools))
    columns = ast.literal_eval(answer)["columns"]
    assert [column["captions"][0]["text"] for column in columns[:3]] == [text for _, _, text in HYPOTHESES]


def test_an_address_is_refused_with_the_reason(snippet, capsys):
    """The server fetches nothing without ``--fetch-urls``."""
    exec(re.sub(r'f"data:.*?"', '"https://example.com/cat.jpg"', snippet), {})
    assert capsys.readouterr().out.splitlines()[-1].startswith("Addresses are not fetched from here")

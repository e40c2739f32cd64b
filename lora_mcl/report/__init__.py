"""Captions of many files as one HTML file that opens offline: ``HtmlReport``."""

from lora_mcl.report.entries import CaptionedFile
from lora_mcl.report.html import HtmlReport, opened_report

__all__ = ["CaptionedFile", "HtmlReport", "opened_report"]

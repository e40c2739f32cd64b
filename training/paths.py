"""Folders of the repository that the programs read and write."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets"
RESULTS = ASSETS / "results"
BUILD = ROOT / "build"
SUMMARY_FILE = "summary.json"
"""What a finished training run writes into its folder."""

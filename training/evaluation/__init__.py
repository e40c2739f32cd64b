"""Evaluation of a bundle on captioned media: systems of equal decoding budget, quality, diversity and likelihood."""

"""The texts of the page, in English and in French."""

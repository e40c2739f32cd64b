"""Quality against diversity of every system on an embedded model's test scenes."""

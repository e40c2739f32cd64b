"""Options of training data: contradictions are refused when they are made."""

import pytest

from lora_mcl.errors import OptionsError
from training.data import DataOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "directory"}, "kind must be one of folder, table"),
        ({"path": ""}, "path is empty: say where the folder data are"),
        ({"modality": "video"}, "modality must be one of image, audio; got 'video'"),
        ({"kind": "clotho", "modality": "image"}, "clotho data are of modality audio, not image"),
        ({"captions_per_epoch": "two"}, "captions_per_epoch must be one of one, all; got 'two'"),
        ({"max_broken": -1}, "max_broken must be at least 0; got -1"),
        ({"workers": -1}, "workers must be at least 0"),
        ({"validation_share": 1.0}, r"validation_share must be in \[0, 1\); got 1.0"),
        ({"validation_share": 0.1, "validation_path": "x"}, "give one of validation_path and validation_share, not 2"),
        ({"feature_cache_gib": 0}, "feature_cache_gib must be positive"),
        ({"caption_columns": "caption"}, r"caption_columns is a list of names: \[caption\]"),
        ({"kind": "table", "split": "test"}, "split has no meaning for kind table"),
        ({"kind": "hub", "media": "x"}, "media has no meaning for kind hub"),
        ({"kind": "coco", "caption_columns": ("a",)}, "caption_columns has no meaning for kind coco"),
        ({"validation_media": "x"}, "validation_media needs validation_path"),
        ({"feature_dropout": 1.0}, r"feature_dropout must be in \[0, 1\); got 1.0"),
        ({"mode_shares": (0.5, 0.5)}, "mode_shares has no meaning for kind folder"),
        (
            {"kind": "scenes", "mode_shares": (0.5, -0.5)},
            r"mode_shares\[1\] must be at least 0; got -0.5",
        ),
        ({"kind": "scenes", "validation_share": 0.1}, "validation_share has no meaning for kind scenes"),
        ({"kind": "scenes", "captions_per_epoch": "all"}, "captions_per_epoch has no meaning for kind scenes"),
        ({"kind": "scenes", "feature_cache": "x"}, "feature_cache has no meaning for kind scenes"),
    ],
)
def test_refused(options, message):
    with pytest.raises(OptionsError, match=message):
        DataOptions(**{"kind": "folder", "path": "photos"} | options)

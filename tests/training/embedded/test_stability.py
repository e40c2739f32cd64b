"""The stability measure, by hand."""

import pytest
import torch

from training.embedded.common.stability import mode_matrix, oracle_nll, stability


def test_stability_by_hand():
    # Two hypotheses, two modes, four media; hypothesis 0 wins 3 of 4 of mode 0 and 1 of 4 of mode 1.
    first = torch.tensor([[1.0, 1, 1, 3], [3, 3, 3, 1]])
    nll = torch.stack([first, torch.full((2, 4), 2.0)])
    result = stability(nll)
    assert result.main == (0, 1)
    assert result.share == (0.75, 0.75)
    assert result.win_share == ((0.75, 0.25), (0.25, 0.75))
    assert result.distinct
    assert result.entropy == pytest.approx(0.562335)
    assert mode_matrix(nll) == [[1.5, 2.5], [2.0, 2.0]]
    assert oracle_nll(nll) == pytest.approx((1 * 3 + 2 + 2 * 3 + 1) / 8)

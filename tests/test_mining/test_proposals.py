import numpy as np
import pytest

from mmlesion.mining.proposals import Proposals
from mmlesion.utils import UserError


def test_results_of_a_pass_that_lack_an_array():
    arrays = {'pooled_boxes': np.zeros((1, 4)), 'pooled_slices': np.zeros(1, int)}
    with pytest.raises(UserError, match="the results of a pass lack 'pooled_scores'"):
        Proposals.from_arrays(arrays)
    whole = Proposals.from_arrays({**arrays, 'pooled_scores': np.ones(1)})
    assert whole.pooled.scores.tolist() == [1] and not len(whole.expert)

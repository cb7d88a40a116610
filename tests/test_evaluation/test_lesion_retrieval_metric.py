import math

import pytest
import torch
from mmdet.registry import METRICS


def evaluate(rows, **options):
    metric = METRICS.build(dict(type='LesionRetrievalMetric', **options))
    samples = [
        dict(embedding=torch.tensor(e), lesion_group=g, patient_id=p, img_path=path)
        for e, g, p, path in rows
    ]
    metric.process({}, samples[:2])
    metric.process({}, samples[2:])
    return metric.evaluate(len(rows))


ROWS = [
    ([0.0, 0.0], '1/0', 1, 'a'),
    ([0.08, 0.0], '1/0', 1, 'b'),
    ([0.1, 0.1], '1/1', 1, 'c'),
    ([0.0, 0.02], '1/2', 1, 'a'),  # on the first's slice, no pair with it
    ([0.5, 0.0], '1/1', 1, 'd'),
    ([-0.01, 0.0], '2/0', 2, 'e'),  # another patient's, but nearest of all to the first
]


def test_top1_precision_and_recall():
    result = evaluate(ROWS)
    # pairs under 0.15 of patient 1: 01 02 12 13 23 (not 03, of one slice), one of them right;
    # pairs of one lesion: 01 and 24
    assert result['retrieval/precision'] == pytest.approx(1 / 5)
    assert result['retrieval/recall'] == pytest.approx(1 / 2)
    # of 0, 1, 2 and 4, which have another annotation, 1 and 4 are nearest to it
    assert result['retrieval/top1'] == pytest.approx(1 / 2)


def test_delta():
    assert evaluate(ROWS, delta=0.12)['retrieval/precision'] == pytest.approx(1 / 3)
    assert evaluate(ROWS, delta=1)['retrieval/recall'] == 1


def test_nothing_to_count():
    result = evaluate([ROWS[0], ROWS[5]])
    assert math.isnan(result['retrieval/top1']) and math.isnan(result['retrieval/recall'])

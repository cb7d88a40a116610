import json
from functools import partial
from pathlib import Path

import numpy as np

from mmlesion.io.slices import list_series
from mmlesion.io.true_masks import TrueMasks, read_lesions, write_masks
from mmlesion.mining.experiments import add_true_boxes
from mmlesion.mining.report import score_rows

SCRIPT = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'complete_annotations.py'


def write_truth(folder):
    """Write the masks of the two studies, 5 px inside the boxes that are read from them."""
    folder.mkdir()
    for study in (1, 2):
        labels = np.zeros((10, 60, 60), np.uint8)
        labels[3:6, 13:17, 13:17] = 2  # slices 4 to 6, boxes of 8 to 22 px
        if study == 1:
            labels[1, 35:36, 45:46] = 1
        write_masks(folder, f'000001_0{study}_01', TrueMasks(labels, np.arange(1, 11)))


def by_slice(coco):
    names = {image['id']: image['file_name'] for image in coco['images']}
    rows = []
    for a in coco['annotations']:
        rows.append((names[a['image_id']], a['lesion_id'], a['source'], a['bbox']))
    return rows


def test_lesions_that_are_annotated_and_others(two_studies):
    write_truth(two_studies / 'truth')
    read_truth = partial(read_lesions, two_studies / 'truth')
    coco = json.loads((two_studies / 'train.json').read_text())
    add_true_boxes(coco, list_series(coco, two_studies / 'images'), read_truth)
    large, small = [8, 8, 14, 14], [40, 30, 11, 11]
    # the annotation of 10 px has an IoU of 100 / 196 with its true box, which is not added; the
    # lesion of slice 2 and that of the other study are annotated nowhere; the noisy box stays
    assert by_slice(coco) == [
        ('000001_01_01/005.png', 1, 'annotated', [10, 10, 10, 10]),
        ('000001_02_01/005.png', 2, 'annotated', [30, 5, 10, 10]),
        ('000001_01_01/002.png', 3, 'truth', small),
        ('000001_01_01/004.png', 1, 'truth', large),
        ('000001_01_01/006.png', 1, 'truth', large),
        ('000001_02_01/004.png', 4, 'truth', large),
        ('000001_02_01/005.png', 4, 'truth', large),
        ('000001_02_01/006.png', 4, 'truth', large),
    ]
    assert coco['annotations'][3]['lesion_type'] == 4
    assert len({image['id'] for image in coco['images']}) == len(coco['images']) == 20, 'all slices'
    for annotation in coco['annotations']:
        if annotation['source'] == 'truth':
            annotation['source'] = 'propagation'
    (row,) = score_rows(coco, ['propagation'], read_truth)
    assert (row['precision'], row['recall']) == (1, 1)


def test_tool(load_tool, two_studies, capsys):
    write_truth(two_studies / 'truth')
    source, out = two_studies / 'train.json', two_studies / 'complete.json'
    source.write_text(json.dumps(json.loads(source.read_text()) | dict(sub_volumes={})))
    words = f'{two_studies}/train.json --images {two_studies}/images --truth {two_studies}/truth'
    load_tool(SCRIPT).main([*words.split(), '--out', str(out)])
    complete = json.loads(out.read_text())
    assert len(complete['annotations']) == 8 and 'sub_volumes' not in complete
    assert '20 images, 18 of them added\n8 annotations, 6 of them added' in capsys.readouterr().out

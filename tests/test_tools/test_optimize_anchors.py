import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.task_modules import AnchorGenerator
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes, bbox_overlaps
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmlesion.anchors import GridOverlap

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/optimize_anchors.py'
QUICK = ['--popsize', '6', '--maxiter', '60']


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(TOOL))


@pytest.fixture
def coco(tmp_path):
    """Write a COCO file of boxes x, y, w, h on images of one size; return its path."""

    def write(boxes, size=(512, 512), **extra):
        path = tmp_path / 'train.json'
        annotations = [
            dict(id=i, image_id=1, bbox=list(box), category_id=1, iscrowd=0)
            for i, box in enumerate(boxes)
        ]
        image = dict(id=1, file_name='1.png', width=size[0], height=size[1])
        content = dict(images=[image], annotations=annotations, categories=[dict(id=1, name='x')])
        path.write_text(json.dumps({**content, **extra}))
        return path

    return write


@pytest.fixture
def lesions(coco):
    rng = np.random.default_rng(0)
    shapes = rng.uniform(12, 60, (80, 2)).round(2)
    return coco(np.hstack([rng.uniform(0, 400, (80, 2)).round(2), shapes]).tolist())


STOCK = dict(
    retinanet='retinanet/retinanet_r50_fpn_1x_coco.py',
    ssd300='ssd/ssd300_coco.py',
    ssd512='ssd/ssd512_coco.py',
)
STOCK['faster-rcnn'] = 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def pasted(printed, folder, detector='retinanet'):
    """A stock config of mmdet with what the tool printed, below its ``_base_``."""
    path = folder / 'pasted.py'
    snippet = printed[printed.index('model = dict(') :]
    path.write_text(f"_base_ = 'mmdet::{STOCK[detector]}'\n{snippet}")
    return Config.fromfile(path).model


def config_in(printed, folder):
    config = pasted(printed, folder).bbox_head.anchor_generator
    config.pop('_delete_', None)
    return config


@pytest.mark.parametrize('positions', ['aligned', 'grid'])
def test_result_files_and_snippet_agree(tool, lesions, tmp_path, capsys, positions):
    out, picture = tmp_path / 'out/anchors.json', tmp_path / 'out/anchors.png'
    files = ['--json', str(out), '--out-image', str(picture)]
    tool['main']([str(lesions), '--positions', positions, *QUICK, *files])
    result, (printed, errors) = json.loads(out.read_text()), capsys.readouterr()
    assert ('warning: not converged after 60 generations' in errors) != result['converged']
    assert len(result['scales']) == 3 and len(result['ratios']) == 5
    assert result['ratios'][2] == 1
    assert np.prod(result['ratios']) == pytest.approx(1)
    assert result['mean_iou'] > result['before']['mean_iou'] + 0.05
    assert result['num_evaluations'] >= 5 * 6 * 5
    assert result['num_boxes'] == 80
    assert f'{result["mean_iou"]:.4f}' in printed
    assert f'{result["before"]["unmatched"]} (' in printed
    generator = TASK_UTILS.build(config_in(printed, tmp_path))
    assert generator.strides == [(8, 8), (16, 16), (32, 32), (64, 64), (128, 128)]
    width, height = (generator.base_anchors[1][:, i + 2] * 2 for i in (0, 1))
    sides = np.sort(np.unique((width * height).sqrt().numpy().round(2)))
    assert sides == pytest.approx(64 * np.array(result['scales']), abs=0.05)
    assert cv2.imread(str(picture)).std() > 10
    assert len(list(out.parent.iterdir())) == 2


@pytest.mark.parametrize('detector', list(STOCK))
def test_the_snippet_works_in_a_stock_config(tool, lesions, tmp_path, capsys, detector):
    tool['main']([str(lesions), '--detector', detector, '--popsize', '3', '--maxiter', '3'])
    config = pasted(capsys.readouterr().out, tmp_path, detector)
    model = MODELS.build(config)
    head = model.rpn_head if detector == 'faster-rcnn' else model.bbox_head
    for part in (model.neck, head):
        part.init_weights()  # the backbone's would be downloaded
    size = {'ssd300': 300, 'ssd512': 512}.get(detector, 128)
    pixels = torch.randint(0, 255, (3, size, size))
    box = HorizontalBoxes(torch.tensor([[20.0, 30, 60, 62]]))
    sample = DetDataSample(metainfo=dict(img_shape=(size, size), pad_shape=(size, size)))
    sample.gt_instances = InstanceData(bboxes=box, labels=torch.tensor([0]))
    model.train()
    data = model.data_preprocessor(dict(inputs=[pixels], data_samples=[sample]), training=True)
    maps = [level.shape[-2:] for level in model.extract_feat(data['inputs'])]
    anchors = head.prior_generator.grid_priors(maps, device='cpu')
    assert len(anchors) == len(maps)
    for level, (shape, stride) in zip(anchors, zip(maps, head.prior_generator.strides)):
        assert len(level) == shape.numel() * 15  # 5 ratios of 3 scales
        centers = (level[:, :2] + level[:, 2:]) / 2
        # to the far edge but for a stride, and no farther than SSD300's own
        assert size - stride[0] <= centers.max() <= size + stride[0] / 2
        assert 0 <= centers.min() <= stride[0] / 2
    if detector == 'ssd512':
        return  # the step is ssd300's, only slower
    losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
    assert torch.isfinite(losses)
    assert all(head_part.grad is not None for head_part in head.parameters())


def test_overlap_on_ssd_grid(tool):
    """SSD's anchors begin at half a stride."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 250, (60, 4))
    corners[:, 2:] = corners[:, :2] + rng.uniform(8, 50, (60, 2))
    ssd = tool['DETECTORS']['ssd300']
    extents = np.full((60, 2), 300)
    overlap = GridOverlap(corners, extents, ssd.sizes, ssd.strides, ssd.center)
    ratios, scales = [0.5, 1, 2], [0.5, 1.0]
    generator = AnchorGenerator(
        list(ssd.strides),
        ratios,
        scales,
        list(ssd.sizes),
        centers=[(stride / 2, stride / 2) for stride in ssd.strides],
    )
    maps = [(-(-300 // stride),) * 2 for stride in ssd.strides]
    anchors = torch.cat(generator.grid_priors(maps, device='cpu'))
    expected = bbox_overlaps(torch.from_numpy(corners).float(), anchors).max(dim=1).values
    assert overlap.best_iou([2], scales) == pytest.approx(expected.numpy(), abs=1e-4)


@pytest.mark.parametrize(
    ('boxes', 'options', 'expected'),
    [
        # one box fixes one scale and one ratio: the other three may be anything
        ([[10, 10, 40, 60]], [], ['do not decide the'] * 3),
        ([[10, 10, 40, 60]], ['--scales', '1', '--ratio-pairs', '1'], []),
        # smaller than the smallest anchor, 0.4 of 32 px
        (
            [[9, 9, 4, 4], [50, 9, 5, 5]],
            ['--scales', '1', '--ratio-pairs', '0'],
            ['scale of 0.4 is on'],
        ),
        # elongated beyond 4
        (
            [[9, 9, 100, 10], [9, 99, 90, 10]],
            ['--scales', '1', '--ratio-pairs', '1'],
            ['ratio pair of 4 is on its bound (1 to 4)'],
        ),
    ],
)
def test_what_the_boxes_do_not_decide_is_said(
    tool, coco, tmp_path, capsys, boxes, options, expected
):
    out = tmp_path / 'anchors.json'
    tool['main']([str(coco(boxes)), *options, '--json', str(out)])
    warnings = [line for line in capsys.readouterr().err.splitlines() if 'warning: ' in line]
    assert len(warnings) == len(expected)
    assert all(part in warning for part, warning in zip(expected, warnings))
    assert len(json.loads(out.read_text())['doubts']) == len(expected)


def test_the_same_seed_gives_the_same_anchors(tool, lesions, tmp_path):
    results = []
    for name in 'ab':
        tool['main']([str(lesions), *QUICK, '--seed', '5', '--json', str(tmp_path / name)])
        results.append(json.loads((tmp_path / name).read_text()))
        results[-1].pop('seconds')
    assert results[0] == results[1]


def test_boxes_are_resized_and_sorted_out(tool, coco):
    path = coco([[10, 20, 40, 80], [0, 0, 0, 30], [0, 0, 9, 9], [5, 5, 1.5, 9]], (1023, 511))
    content = json.loads(path.read_text())
    content['annotations'][2]['iscrowd'] = 1
    path.write_text(json.dumps(content))
    boxes = tool['read_boxes'](path, 512)
    # 511 * 512 / 1023 = 255.75, so mmcv makes the image 512 x 256.
    x, y = 512 / 1023, 256 / 511
    assert boxes.corners == pytest.approx(np.array([[10 * x, 20 * y, 50 * x, 100 * y]]))
    assert boxes.extents.tolist() == [[512, 256]]
    assert (boxes.num_ignored, boxes.num_too_small) == (1, 2)


def test_ratio_bounds_are_spread_evenly(tool):
    for pairs, expected in ((0, []), (1, [1, 4]), (2, [1, 2, 2, 4]), (3, [1, 4, 4, 16, 16, 64])):
        args = tool['parse_args'](['a.json', '--ratio-pairs', str(pairs)])
        tool['check_args'](args)
        cubed = 3 if pairs == 3 else 1
        assert np.power(args.ratio_bounds, cubed) == pytest.approx(expected)


def test_other_numbers_of_pairs_scales_and_sizes(tool, lesions, tmp_path):
    out = tmp_path / 'anchors.json'
    tool['main'](
        [str(lesions), '--ratio-pairs', '1', '--scales', '2', '--sizes', '20', '70', *QUICK]
        + ['--strides', '4', '8', '--objective', 'focal', '--json', str(out)]
    )
    result = json.loads(out.read_text())
    assert (len(result['ratios']), len(result['scales'])) == (3, 2)
    assert result['settings']['strides'] == [4, 8]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--ratio-bounds', '1', '2'], r'has 2 number\(s\), 2 ratio pair\(s\) need 4'),
        (['--ratio-bounds', '2', '1', '2', '4'], 'ratio bounds 2 to 1'),
        (['--scale-bounds', '0', '1'], 'scale bounds 0 to 1'),
        (['--sizes', '20'], 'has 5 levels: give so many --sizes, or give --strides'),
        (['--detector', 'ssd300', '--sizes', '32', '64'], 'ssd300 has 6 levels'),
        (['--sizes', '32', '--strides', '4', '8'], '1 --sizes need as many --strides, not 2'),
        (['--sizes', '-32', '--strides', '8'], 'must be positive'),
        (['--strides', '0', '8', '16', '32', '64', '--positions', 'grid'], 'all positive'),
        (['--scales', '0'], '--scales is 0: give 1 to 100'),
        (['--seed', '-1'], '--seed is -1: give at least 0'),
        (['--out-image', 'anchors.txt'], 'must end in one of'),
    ],
)
def test_bad_options(tool, lesions, tmp_path, options, message):
    out = tmp_path / 'out.json'
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        tool['main']([str(lesions), *options, '--json', str(out)])
    assert not out.exists()


@pytest.mark.parametrize(
    ('boxes', 'extra', 'message'),
    [
        ([], {}, 'has no box to fit anchors to: of 0'),
        ([[1, 1, 0, 5]], {}, 'of 1, 0 are crowd or ignored and 1 under 1 px'),
        ([[1, 1, 5]], {}, 'Expected `array` of length 4'),
        ([[1, 1, 5, 5]], dict(images=[dict(id=1)]), 'image 1 needs a positive "width"'),
        ([[1, 1, 5, 5]], dict(images=[dict(id=2, width=9, height=9)]), 'images that are not list'),
        ([[1, 1, 5, 5]], dict(images=None), 'needs lists "images"'),
    ],
)
def test_bad_files(tool, coco, boxes, extra, message):
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        tool['main']([str(coco(boxes, **extra))])


def test_missing_and_broken_file(tool, tmp_path):
    with pytest.raises(SystemExit, match='No such file'):
        tool['main']([str(tmp_path / 'none.json')])
    (tmp_path / 'broken.json').write_text('{')
    with pytest.raises(SystemExit, match='not valid JSON'):
        tool['main']([str(tmp_path / 'broken.json')])


def test_an_output_that_cannot_be_written_is_named(tool, lesions, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SystemExit, match='error: .*file.*name another output file'):
        tool['main']([str(lesions), *QUICK, '--json', str(tmp_path / 'file/out.json')])

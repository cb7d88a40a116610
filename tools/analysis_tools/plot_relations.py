"""Draw the relations between regions that a detector has learned, over the slices of its test set.

Regions are points at their centers, relations E are lines as thick as they are strong, annotated
lesions are red (Figure 5 of ElixirNet). Printed is how much the relations tell an image's regions
apart, as medians over the slices.
"""

import argparse
import statistics
from pathlib import Path

from mmengine.config import DictAction
from tqdm import tqdm

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.io.slices import read_slice
from mmlesion.structures import to_original_frame
from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config

NO_RELATIONS = (
    'the detector of {} has no relations between regions: give a config whose RelationRoIHead '
    "has relation_transfer, or an ALBEncoder with 'non_local' in its first block"
)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument('checkpoint', help='checkpoint file of the detector')
    parser.add_argument('--out', required=True, help='output folder, created if missing')
    parser.add_argument('--num', type=int, default=20, help='number of slices (default 20)')
    parser.add_argument(
        '--regions', type=int, default=100, help="number of the RPN's best proposals (default 100)"
    )
    parser.add_argument(
        '--edges', type=int, default=100, help='number of strongest relations (default 100)'
    )
    parser.add_argument(
        '--window', nargs=2, type=float, metavar=('LOW', 'HIGH'), help="HU (default: the slice's)"
    )
    parser.add_argument('--device', help='such as cuda:0 or cpu (default: the available device)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='overrides of the config, key=value'
    )
    args = parser.parse_args()
    if min(args.num, args.regions, args.edges) < 1:
        parser.error('--num, --regions and --edges must be positive')
    if args.window and args.window[0] >= args.window[1]:
        parser.error('--window is a lower and an upper HU')
    return args


def find_relations(model, item):
    """Run a detector on one sample, up to its box head.

    Args:
        model (nn.Module): Detector with a :class:`~mmlesion.models.RelationRoIHead`.
        item (dict): A sample of the test set, ``inputs`` and ``data_samples``.

    Returns:
        tuple: Proposals (n, 4) as x1, y1, x2, y2 in px of the original image, best first, their
        relations E (n, n), None where the head has none, and the scores (n, 2) of the binary
        classifier, None without relation transfer.
    """
    from mmdet.structures.bbox import bbox2roi, scale_boxes
    from mmengine.dataset import pseudo_collate

    data = model.data_preprocessor(pseudo_collate([item]))
    features = model.extract_feat(data['inputs'])
    (proposals,) = model.rpn_head.predict(features, data['data_samples'], rescale=False)
    # what predict() itself does before it decodes boxes, of which relations are no part
    results = model.roi_head._bbox_forward(features, bbox2roi([proposals.bboxes]))
    relations = results['relations']
    metainfo = data['data_samples'][0].metainfo
    # back through the resize, then through the clipped border
    x_scale, y_scale = metainfo['scale_factor']
    boxes = scale_boxes(proposals.bboxes, (1 / x_scale, 1 / y_scale))
    relation = None if relations is None else relations[0]
    return to_original_frame(boxes, metainfo), relation, results['binary_score']


def tell_apart(head, relation, binary_score):
    """Measure how much relations tell an image's regions apart.

    Args:
        head (RelationBBoxHead): The box head.
        relation (Tensor): E (n, n).
        binary_score (Tensor | None): Scores (n, 2) of its binary classifier.

    Returns:
        dict[str, float]: ``same_region``, the share of rows of E whose strongest edge goes to the
        region that most of them choose, and with relation transfer ``transferred``, the standard
        deviation of f_E over the regions relative to its mean (lengths of both), and the standard
        deviation of the probability of a lesion ``before`` and ``after`` E has mixed it.
    """
    strongest = relation.argmax(1).bincount()
    figures = dict(same_region=(strongest.max() / strongest.sum()).item())
    if binary_score is not None:
        transferred = head.relation_transfer([relation], binary_score, head.fc_binary)
        lesion = binary_score.softmax(1)[:, 0]
        figures.update(
            transferred=(transferred.std(0).norm() / transferred.mean(0).norm()).item(),
            before=lesion.std().item(),
            after=(relation @ lesion).std().item(),
        )
    return figures


def describe(figures):
    """Return lines with the medians over the slices of what :func:`tell_apart` measures."""
    median = {key: statistics.median(each[key] for each in figures) for key in figures[0]}
    lines = [f'strongest edge to the same region: {median["same_region"]:.1%} of the regions']
    if 'transferred' in median:
        lines += [
            f'f_E over the regions: standard deviation {median["transferred"]:.2%} of the mean',
            'probability of a lesion over the regions: standard deviation '
            f'{median["before"]:.4f}, after E {median["after"]:.4f}',
        ]
    return '\n'.join([*lines, f'(medians over {len(figures)} slices)'])


@cli
def main():
    args = parse_args()
    # imported here, so that --help does without torch
    import torch
    from mmdet.registry import DATASETS
    from mmengine.device import get_device

    from mmlesion.apis.inferencer import load_detector
    from mmlesion.models import RelationRoIHead

    cfg = load_config(args.config, args.cfg_options, ['test_dataloader'])
    model = load_detector(cfg, args.checkpoint, args.device or get_device())
    if not isinstance(getattr(model, 'roi_head', None), RelationRoIHead):
        raise UserError(NO_RELATIONS.format(args.config))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    figures = []
    for index in tqdm(range(len(dataset))[: args.num], desc='slices'):
        item = dataset[index]
        with torch.no_grad():
            boxes, relation, binary_score = find_relations(model, item)
            if relation is None:
                raise UserError(NO_RELATIONS.format(args.config))
            if len(relation) > 1:  # a lone region has nothing to be told apart from
                figures.append(tell_apart(model.roi_head.bbox_head, relation, binary_score))
        draw(item['data_samples'], boxes, relation, args)
    if figures:
        print(describe(figures))


def draw(sample, boxes, relation, args):
    """Draw the relations of one slice into its picture in ``args.out``."""
    from mmdet.structures.bbox import get_box_tensor

    from mmlesion.engine.hooks.visualization_hook import slice_name
    from mmlesion.io.schema import display_window
    from mmlesion.visualization import slice_to_rgb
    from mmlesion.visualization.graphs import draw_relations

    window = args.window or display_window(sample.metainfo)
    # proposals are in descending order of score: the first are the best
    draw_relations(
        slice_to_rgb(read_slice(sample.img_path), window),
        boxes[: args.regions].cpu().numpy(),
        relation[: args.regions, : args.regions].cpu().numpy(),
        get_box_tensor(sample.gt_instances.bboxes).numpy(),
        Path(args.out) / slice_name(sample.img_path),
        args.edges,
    )


if __name__ == '__main__':
    main()

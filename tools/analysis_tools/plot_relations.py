"""Draw the relations between regions that a detector has learned, over the slices of its test set.

Regions are points at their centers, relations E are lines as thick as they are strong, annotated
lesions are red (Figure 5 of ElixirNet).
"""

import argparse
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
        tuple: Proposals (n, 4) as x1, y1, x2, y2 in px of the original image, best first, and
        their relations E (n, n), None where the head has none.
    """
    from mmdet.structures.bbox import bbox2roi, scale_boxes
    from mmengine.dataset import pseudo_collate

    data = model.data_preprocessor(pseudo_collate([item]))
    features = model.extract_feat(data['inputs'])
    (proposals,) = model.rpn_head.predict(features, data['data_samples'], rescale=False)
    # what predict() itself does before it decodes boxes, of which relations are no part
    relations = model.roi_head._bbox_forward(features, bbox2roi([proposals.bboxes]))['relations']
    metainfo = data['data_samples'][0].metainfo
    # back through the resize, then through the clipped border
    x_scale, y_scale = metainfo['scale_factor']
    boxes = scale_boxes(proposals.bboxes, (1 / x_scale, 1 / y_scale))
    return to_original_frame(boxes, metainfo), None if relations is None else relations[0]


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
    for index in tqdm(range(len(dataset))[: args.num], desc='slices'):
        item = dataset[index]
        with torch.no_grad():
            boxes, relation = find_relations(model, item)
        if relation is None:
            raise UserError(NO_RELATIONS.format(args.config))
        draw(item['data_samples'], boxes, relation, args)


def draw(sample, boxes, relation, args):
    """Draw the relations of one slice into its picture in ``args.out``."""
    from mmdet.structures.bbox import get_box_tensor

    from mmlesion.engine.hooks.visualization_hook import slice_name
    from mmlesion.visualization import slice_to_rgb
    from mmlesion.visualization.relation_graph import draw_relations
    from mmlesion.visualization.windows import display_window

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

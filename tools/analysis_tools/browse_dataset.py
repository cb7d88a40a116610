"""Browse the samples of a config's pipeline: windowed slices, boxes and diameters."""

import argparse
import os.path as osp

import numpy as np
from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from tqdm import tqdm

import mmlesion  # noqa: F401 (registers mmlesion's components)
from mmlesion.utils import UserError, cli
from mmlesion.utils.configs import load_config


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('--output-dir', help='folder for PNG images; no display is needed then')
    parser.add_argument('--not-show', action='store_true', help='open no window')
    parser.add_argument('--show-interval', type=float, default=2, help='the interval of show (s)')
    parser.add_argument(
        '--phase',
        choices=['train', 'val', 'test'],
        default='train',
        help='phase whose dataset and pipeline to browse, including training augmentation',
    )
    parser.add_argument('--num', type=int, help='number of samples; all by default')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override some settings in the used config, the key-value pair in xxx=yyy format '
        'will be merged into config file',
    )
    args = parser.parse_args()
    if args.num is not None and args.num < 1:
        parser.error('--num must be positive')
    return args


def build_dataset(cfg, phase):
    """Build the dataset of a phase with boxes that go through the whole pipeline.

    Test pipelines load them after the geometry, in the original image's pixels; here they belong
    to the picture that the model sees.
    """
    from mmdet.datasets.transforms import PackDetInputs
    from mmdet.registry import DATASETS

    if f'{phase}_dataloader' not in cfg:
        raise UserError(f'{cfg.filename} has no {phase}_dataloader: choose another --phase')
    dataset_cfg = cfg[f'{phase}_dataloader'].dataset
    pipeline = dataset_cfg.get('pipeline')
    if pipeline:
        is_loader = [step['type'] == 'LoadAnnotations' for step in pipeline]
        if any(is_loader):
            # right behind the loading of the image, so that geometry acts on boxes too
            pipeline.insert(1, pipeline.pop(is_loader.index(True)))
    dataset = DATASETS.build(dataset_cfg)
    for step in find_steps(dataset, PackDetInputs):
        # what the diameters are drawn by, which no model needs
        step.meta_keys = tuple(step.meta_keys) + ('recist', 'homography_matrix')
    return dataset


def find_steps(dataset, kind):
    """Return the steps of a class in the pipeline of a dataset, or of those that it wraps."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    found = []
    for part in getattr(dataset, 'datasets', []):
        found += find_steps(part, kind)
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    return found + [step for step in steps if isinstance(step, kind)]


def show_in_window(data_sample, window):
    """Leave a slice its own window where the pipeline keeps all of it, else show the pipeline's."""
    # beyond low and high the pipeline has cut HU off: such a window would show steps as grays
    low, high = window.windows[0]
    own = data_sample.metainfo.get('windows') or []
    inside = [pair for pair in own if low <= pair[0] and pair[1] <= high]
    data_sample.set_metainfo(dict(windows=inside or [[low, high]]))


def drawable(data_sample):
    """Convert mmdet's box and mask types to those its visualizer draws, and add the diameters."""
    import torch
    from mmdet.models.utils import mask2ndarray

    instances = data_sample.gt_instances
    if 'bboxes' in instances:
        instances.bboxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    if 'masks' in instances:
        instances.masks = mask2ndarray(instances.masks).astype(bool)
    if recist := data_sample.get('recist'):
        matrix = data_sample.get('homography_matrix', np.eye(3))
        instances.set_metainfo(dict(recist=torch.from_numpy(project(recist, matrix))))
    return data_sample


def project(recist, matrix):
    """Map the diameters of a file to the image that a pipeline returns.

    Args:
        recist (list): n times x1, y1, ..., x4, y4 px, pixel n with its center at n.
        matrix (ndarray): (3, 3) map of coordinates in which pixel n extends from n to n + 1.

    Returns:
        ndarray: (n, 4, 2) px, pixel n with its center at n.
    """
    # into the matrix's frame, by homogeneous coordinates through the matrix, and back
    points = np.reshape(recist, (-1, 4, 2)) + 0.5
    points = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1) @ matrix.T
    return points[..., :2] / points[..., 2:] - 0.5


@cli
def main():
    args = parse_args()
    # imported here, so that --help does without torch
    from mmdet.registry import VISUALIZERS

    from mmlesion.datasets.transforms import WindowHU
    from mmlesion.engine.hooks.visualization_hook import slice_name

    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = build_dataset(cfg, args.phase)
    window = next(iter(find_steps(dataset, WindowHU)), None)  # takes pictures back to HU
    visualizer = VISUALIZERS.build(
        cfg.get('visualizer', dict(type='LesionLocalVisualizer', name='visualizer'))
    )
    visualizer.dataset_meta = dataset.metainfo
    for index in tqdm(range(len(dataset))[: args.num]):
        item = dataset[index]
        # (H, W, C) of the (C, H, W) that a model takes
        img = item['inputs'].permute(1, 2, 0).numpy()
        name = slice_name(item['data_samples'].img_path)
        if window is not None:
            show_in_window(item['data_samples'], window)
        visualizer.add_datasample(
            name,
            img if window is None else window.to_hu(img),
            drawable(item['data_samples']),
            draw_pred=False,
            show=not (args.not_show or args.output_dir),
            wait_time=args.show_interval,
            out_file=osp.join(args.output_dir, name) if args.output_dir else None,
        )


if __name__ == '__main__':
    main()

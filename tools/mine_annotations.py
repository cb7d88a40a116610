"""Mine missing annotations of a partially labeled training set (see docs/mining.md).

A detector sees all slices of the series in the config's training annotation file. OUT is that file
with the boxes that the rules add: with "source" and "score", uncertain ones with "ignore". An
interrupted run is resumed by the same command. On several processes:
tools/dist_launch.py --nproc_per_node N tools/mine_annotations.py CONFIG ... --launcher pytorch
"""

import argparse
import os
from functools import partial
from hashlib import sha256
from pathlib import Path

from mmengine.config import DictAction
from terminaltables import AsciiTable

from mmlesion.io.coco import coco_ground_truth, read_annotations
from mmlesion.io.json_files import read_json, write_json
from mmlesion.io.slices import list_series
from mmlesion.io.true_masks import read_lesions
from mmlesion.mining import RULES, AnnotationMiner
from mmlesion.mining.embeddings import embed, lesion_samples
from mmlesion.mining.proposals import detect, slice_samples
from mmlesion.mining.report import annotated_lesions, count_rows, score_rows
from mmlesion.utils import UserError, check_range, cli
from mmlesion.utils.configs import load_config
from mmlesion.utils.memory import keep_freed_memory
from mmlesion.utils.processes import end_with_parent

META_KEYS = ('ori_shape', 'img_shape', 'scale_factor', 'slice_index', 'grid_steps', 'border_offset')


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the detector')
    parser.add_argument('checkpoint', help='checkpoint file of the detector')
    parser.add_argument('--out', required=True, help='output COCO file')
    parser.add_argument(
        '--rules', nargs='+', choices=RULES, default=RULES, help='rules to apply (default: all)'
    )
    parser.add_argument(
        '--unlabeled',
        '--unlabelled',
        action='store_true',
        help='also list slices without a lesion, with their uncertain regions',
    )
    parser.add_argument(
        '--dataset',
        default='deeplesion',
        help='dataset_name of the training set to mine, if there are several (default: deeplesion)',
    )
    parser.add_argument(
        '--embedder',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='config and checkpoint of the embedding, for the rule matching',
    )
    parser.add_argument(
        '--theta', type=float, default=0.5, help='IoU above which boxes match (default: 0.5)'
    )
    parser.add_argument(
        '--delta',
        type=float,
        default=0.15,
        help='embedding distance below which lesions match (default: 0.15)',
    )
    parser.add_argument(
        '--sigma',
        type=float,
        default=0.5,
        help='score above which an expert marks an uncertain region (default: 0.5)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.05,
        help='lowest score of a proposal; no lower than in the config (default: 0.05)',
    )
    parser.add_argument(
        '--truth',
        help='annotation file of all lesions, or truth folder of a phantom, for comparison',
    )
    parser.add_argument(
        '--work-dir', help='folder of the proposals, to resume from (default: OUT.mining)'
    )
    parser.add_argument('--batch-size', type=int, default=4, help='slices per batch (default: 4)')
    parser.add_argument(
        '--num-workers', type=int, default=2, help='number of loading processes (default: 2)'
    )
    parser.add_argument(
        '--feature-cache',
        type=int,
        default=24,
        help='groups of slices whose features are kept for the next slices, for each worker '
        '(default: 24; 0 computes each anew)',
    )
    parser.add_argument('--device', help='such as cuda:0 or cpu (default: the available device)')
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='job launcher')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='overrides of the config, key=value'
    )
    # torchrun and torch.distributed.launch
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by the launcher'
    )
    return parser.parse_args()


@cli
def main():
    args = parse_args()
    check_args(args)
    # imported here, so that --help does without torch
    from mmengine.dist import is_main_process

    from mmlesion.mining import VolumeStore
    from mmlesion.utils.processes import leave_process_group

    device = init_process(args)
    cfg = load_config(args.config, args.cfg_options, ['train_dataloader', 'test_dataloader'])
    source = training_set(cfg, args.dataset)
    if os.path.realpath(args.out) == os.path.realpath(source['ann_file']):
        raise UserError(f'--out {args.out} is the annotation file itself: give another name')
    experts = prepare_experts(cfg, args)
    coco = read_json(source['ann_file'])
    coco_ground_truth(coco, source['ann_file'])
    volumes = list_series(coco, source['images'])
    read_truth = truth_reader(args.truth, volumes) if args.truth else None
    # what proposals depend on: a later run with other files or options does not take these up
    fingerprint = digest(
        args.checkpoint,
        cfg.model,
        test_pipeline(cfg),
        cfg.test_dataloader.dataset.get('max_interval'),
        args.score_thr,
        listing(volumes, 'images'),
    )
    # all processes take part in the passes; the rules are applied by one
    stores = [VolumeStore(Path(args.work_dir) / 'proposals', fingerprint)]
    find_proposals(args, cfg, device, source, stores[0], volumes)
    if 'matching' in args.rules:
        stores.append(find_embeddings(args, device, source, stores[0], volumes, fingerprint))
    main_process = is_main_process()
    # before the rules, which may take longer than other processes wait for this one
    leave_process_group()
    if main_process:
        mine(args, coco, volumes, stores, experts, read_truth)


def check_args(args):
    for name in ('theta', 'score_thr', 'sigma'):
        if not 0 <= getattr(args, name) < 1:
            raise UserError(f'--{name.replace("_", "-")} must be at least 0 and below 1')
    if not args.delta > 0 or args.batch_size < 1 or args.num_workers < 0:
        raise UserError('--delta and --batch-size must be positive, --num-workers at least 0')
    check_range('--feature-cache', args.feature_cache, 0)
    if 'matching' in args.rules and not args.embedder:
        raise UserError(
            'the rule matching needs --embedder CONFIG CHECKPOINT: train one by '
            'configs/lens/lesion-embedding_*.py, or leave the rule out of --rules'
        )
    args.work_dir = args.work_dir or f'{args.out}.mining'


def init_process(args):
    """Join the other processes; return the device of this one."""
    from mmengine.device import get_device
    from mmengine.dist import init_dist
    from mmengine.logging import MMLogger
    from torch import distributed

    MMLogger.get_current_instance().setLevel('WARNING')
    device = args.device or get_device()
    if args.launcher == 'none':
        return device
    end_with_parent()
    if device.startswith('cpu'):
        distributed.init_process_group('gloo')  # mmengine's launcher wants an accelerator
        return device
    init_dist(args.launcher)
    return f'{device.split(":")[0]}:{os.environ.get("LOCAL_RANK", args.local_rank)}'


def training_set(cfg, name):
    """Return paths ``ann_file`` and ``images`` of the dataset to mine, and its ``dataset_name``."""
    found = list(find_datasets(cfg.train_dataloader.dataset))
    picked = [dataset for dataset in found if dataset.get('dataset_name') == name]
    # a single dataset needs no name
    picked = picked or (found if len(found) == 1 else [])
    if len(picked) != 1:
        names = ', '.join(str(dataset.get('dataset_name')) for dataset in found)
        raise UserError(f'the config trains on {names or "no COCO file"}: choose by --dataset')
    dataset = picked[0]
    root = dataset.get('data_root') or ''
    images = os.path.join(root, dataset.get('data_prefix', {}).get('img', ''))
    ann_file = os.path.join(root, dataset.ann_file)
    return dict(ann_file=ann_file, images=images, name=dataset.get('dataset_name'))


def find_datasets(cfg):
    """Yield the configs with an annotation file in that of a dataset or of its wrappers."""
    if 'ann_file' in cfg:
        yield cfg
        return
    inner = [cfg['dataset']] if 'dataset' in cfg else cfg.get('datasets', [])
    for dataset in inner:
        yield from find_datasets(dataset)


def prepare_experts(cfg, args):
    """Return numbers and names of the single-type experts, if the rules use them.

    Their own detections are kept in any case, so that other rules can use the same proposals.
    """
    # experts are numbered in the order of the model's datasets
    names = list(cfg.model.get('datasets', []))
    others = {number: name for number, name in enumerate(names) if name != args.dataset}
    there = 0 < len(others) < len(names)
    if there:
        cfg.model.test_cfg.rcnn.keep_experts = True
    if 'cross_dataset' not in args.rules:
        return {}
    if not there:
        raise UserError(
            f'the rule cross_dataset needs a detector with experts, {args.dataset} among them, as '
            f'LENS has; this one has {", ".join(names) or "none"}. Leave the rule out of --rules'
        )
    return others


def truth_reader(path, volumes):
    """Return a function that takes the name of a series and returns its true lesions.

    One series is looked up, so that a wrong path is told before the pass over the volumes.
    """
    lesions = {} if os.path.isdir(path) else annotated_lesions(read_annotations(path))

    def read_truth(series):
        if os.path.isdir(path):
            return read_lesions(path, series)
        if series not in lesions:
            raise UserError(
                f'{path} has no series {series}: give a file with all series of the config'
            )
        return lesions[series]

    read_truth(volumes[0].name)
    return read_truth


def test_pipeline(cfg):
    """Return the config's test pipeline, without annotations and with the keys for mining."""
    pipeline = cfg.test_dataloader.dataset.pipeline.copy()
    steps = [dict(step) for step in pipeline if 'LoadAnnotations' not in step['type']]
    # the last step packs; dict.fromkeys drops keys that are there already
    keys = tuple(steps[-1].get('meta_keys', ()))
    steps[-1]['meta_keys'] = tuple(dict.fromkeys(keys + META_KEYS))
    return steps


def digest(checkpoint, *parts):
    """Return a digest of a checkpoint's content and of the text of anything else."""
    if not os.path.isfile(checkpoint):  # a pipe would be waited for
        raise UserError(f'the checkpoint {checkpoint} does not exist: give a .pth file')
    try:
        total = sha256(Path(checkpoint).read_bytes())
    except OSError as error:
        raise UserError(f'the checkpoint {checkpoint}: {error.strerror}') from None
    for part in parts:
        total.update(repr(part).encode())
    return total.hexdigest()


def listing(volumes, *parts):
    """Return a digest of the volumes' names and files, and of other attributes of theirs."""
    total = sha256()
    for volume in volumes:
        values = [getattr(volume, part) for part in ('name', 'files') + parts]
        total.update(repr(values).encode())
    return total.hexdigest()


def find_proposals(args, cfg, device, source, store, volumes):
    from mmlesion.apis.inferencer import load_detector
    from mmlesion.apis.slice_batches import shared_features
    from mmlesion.apis.speed import Speed

    keep_freed_memory()
    model = load_detector(cfg, args.checkpoint, device)
    Speed().prepare(model)
    steps = dict(
        samples_of=partial(
            slice_samples,
            root=source['images'],
            max_interval=cfg.test_dataloader.dataset.get('max_interval'),
        ),
        predict=partial(detect, model, args.score_thr),
    )
    # of the volumes that the workers take turns with
    with shared_features(model, args.feature_cache * max(args.num_workers, 1)):
        run_pass(args, store, steps, test_pipeline(cfg), volumes, 'proposals')


def find_embeddings(args, device, source, proposals, volumes, fingerprint):
    """Embed annotations and tracklets; return the store of the embeddings."""
    from mmlesion.apis.inferencer import load_detector
    from mmlesion.mining import VolumeStore

    config, checkpoint = args.embedder
    cfg = load_config(config, needed=['test_dataloader'])
    pipeline = cfg.test_dataloader.dataset.pipeline
    lesions = listing(volumes, 'annotations')
    # embeddings also depend on the annotations and on which boxes become tracklets (theta)
    mark = digest(checkpoint, fingerprint, cfg.model, pipeline, args.theta, lesions)
    store = VolumeStore(Path(args.work_dir) / f'embeddings-{mark[:8]}', mark)
    steps = dict(
        samples_of=partial(
            lesion_samples, root=source['images'], proposals=proposals, iou_thr=args.theta
        ),
        predict=partial(embed, load_detector(cfg, checkpoint, device)),
    )
    run_pass(args, store, steps, pipeline, volumes, 'embeddings')
    return store


def run_pass(args, store, steps, pipeline, volumes, desc):
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope

    from mmlesion.mining import VolumePass

    init_default_scope('mmdet')
    sizes = dict(batch_size=args.batch_size, num_workers=args.num_workers)
    VolumePass(store, pipeline=Compose(pipeline), **steps, **sizes).run(volumes, desc)


def mine(args, coco, volumes, stores, experts, read_truth):
    """Apply the rules, write the file and print the report."""
    options = dict(iou_thr=args.theta, max_distance=args.delta, score_thr=args.sigma)
    rules = [rule for rule in RULES if rule in args.rules]
    miner = AnnotationMiner(
        coco,
        stores[0],
        rules,
        experts,
        embeddings=stores[1] if len(stores) > 1 else None,
        unlabeled=args.unlabeled,
        **options,
    )
    miner.run(volumes)
    report = dict(rules=rules, **options, counts=count_rows(coco, rules, args.unlabeled))
    if read_truth:
        report['truth'] = score_rows(coco, rules, read_truth)
    write_json(coco, args.out)
    write_json(report, Path(args.out).with_suffix('.report.json'))
    print_table('mined', report['counts'])
    print_table('against the truth', report.get('truth'))
    print(f'{len(coco["annotations"])} annotations of {len(coco["images"])} slices in {args.out}')


def print_table(title, rows):
    if rows:
        cells = [list(rows[0])]
        cells += [list(map(str, row.values())) for row in rows]
        print(AsciiTable(cells, title).table)


if __name__ == '__main__':
    main()

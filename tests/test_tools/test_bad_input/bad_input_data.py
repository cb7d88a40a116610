"""Valid data that each tool succeeds with, as small as can be; tables spoil copies of them.

A function a kind, which fills a folder.
"""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from phantom.nih_ln_layout import write_dicom

from mmlesion.io.deeplesion import DL_INFO_HEADER
from mmlesion.io.slices import write_slice

CONFIGS = Path(__file__).parents[3] / 'configs' / 'phantom'
SPACING = (0.8, 0.8, 2.0)
SERIES = '1.2.3'


def body(shape=(8, 24, 32)):
    """HU (z, y, x): air around tissue with a lesion."""
    hu = np.full(shape, -900, np.int16)
    hu[:, 3:-3, 3:-3] = 40
    hu[3:5, 8:14, 8:16] = 90
    return hu


def lesion(shape=(8, 24, 32), label=1):
    labels = np.zeros(shape, np.uint8)
    labels[3:5, 8:14, 8:16] = label
    return labels


def write(path, array, spacing=SPACING):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return image


def kits19(root, run_tool):
    """Two cases of a scan and a segmentation."""
    for case in ('case_00000', 'case_00001'):
        write(root / case / 'imaging.nii.gz', body())
        write(root / case / 'segmentation.nii.gz', lesion(label=2))


def lits(root, run_tool):
    """Two volumes with a segmentation each."""
    for number in range(2):
        write(root / f'volume-{number}.nii', body())
        write(root / f'segmentation-{number}.nii', lesion(label=2))


def luna16(root, run_tool):
    """Two scans with lungs, the first with a nodule, and the lists."""
    shape = (16, 40, 40)
    hu, lungs = np.full(shape, 40, np.int16), np.zeros(shape, np.uint8)
    for label, columns in ((3, slice(4, 18)), (4, slice(22, 36))):
        hu[3:13, 8:32, columns] = -850
        lungs[3:13, 8:32, columns] = label
    for subset, uid in ((0, SERIES), (1, f'{SERIES}.4')):
        write(root / f'subset{subset}' / f'{uid}.mhd', hu, (1.0, 1.0, 1.0))
        write(root / 'seg-lungs-LUNA16' / f'{uid}.mhd', lungs, (1.0, 1.0, 1.0))
    header = 'seriesuid,coordX,coordY,coordZ,diameter_mm\n'
    (root / 'annotations.csv').write_text(f'{header}{SERIES},10,18,8,5\n')
    (root / 'annotations_excluded.csv').write_text(f'{header}{SERIES},28,18,8,-1\n')


def nih_ln(root, run_tool):
    """A patient of each region: a DICOM series; a mask, or lists of centers and sizes."""
    for number, name in enumerate(('ABD_LYMPH_001', 'MED_LYMPH_001'), 1):
        image = sitk.GetImageFromArray(body())
        image.SetSpacing(SPACING)
        write_dicom(root / name / 'series', image, f'2.25.{number}', name)
    write(root / 'MED_ABD_LYMPH_MASKS/ABD_LYMPH_001/ABD_LYMPH_001_mask.nii.gz', lesion())
    lists = root / 'MED_ABD_LYMPH_ANNOTATIONS/MED_LYMPH_001'
    lists.mkdir(parents=True)
    (lists / 'MED_LYMPH_001_lymphnodes_physicalPoints.txt').write_text('9 9 8\n')
    (lists / 'MED_LYMPH_001_lymphnodes_sizes.txt').write_text('6\n')


def nifti(root, run_tool):
    """Two scans, their masks, boxes and cases."""
    rows = ['case,x1,y1,z1,x2,y2,z2,class,patient']
    for case in ('a', 'b'):
        write(root / 'images' / f'{case}.nii', body())
        write(root / 'masks' / f'{case}.nii', lesion())
        rows.append(f'{case},7.5,7.5,2.5,15.5,13.5,4.5,lesion,{case}')
    (root / 'boxes.csv').write_text('\n'.join(rows) + '\n')
    (root / 'cases.csv').write_text('case,patient\na,p\nb,q\n')


def deeplesion(root, run_tool):
    """A row of each split, with slices 3 to 9 around the key slice 6."""
    rows = [','.join(DL_INFO_HEADER)]
    for patient in (1, 2, 3):
        series = f'{patient:06d}_01_02'
        for number, plane in enumerate(body((7, 64, 64)), 3):
            path = root / 'Images_png' / series / f'{number:03d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            write_slice(path, plane)
        cells = [f'{series}_006.png', patient, 1, 2, 6, '"9, 11, 17, 11, 13, 9, 13, 15"']
        cells += ['"4, 4, 22, 20"', '"8, 6"', '"0.5, 0.5, 0.5"', 5, 0, '"3, 9"', '"0.8, 0.8, 2"']
        cells += ['"64, 64"', '"-175, 275"', 'F', 60, patient]
        rows.append(','.join(map(str, cells)))
    (root / 'DL_info.csv').write_text('\n'.join(rows) + '\n')


def converted(root, run_tool):
    """DeepLesion's slices, and what the converter makes of them."""
    deeplesion(root, run_tool)
    arguments = ['--images', root / 'Images_png', '--out', root]
    run_tool('dataset_converters/deeplesion.py', root / 'DL_info.csv', *arguments)
    (root / 'DL_info.csv').unlink()


def nothing(root, run_tool):
    """An empty folder."""


def scores(root, run_tool):
    """Ground truth and results of the three protocols."""
    box = [4.0, 4.0, 18.0, 16.0]
    annotation = dict(id=1, image_id=1, bbox=box, category_id=1, area=288, iscrowd=0)
    annotation['lesion_type'] = 5
    images = [
        dict(id=1, file_name='a/001.png', width=64, height=64, patient_id=1),
        dict(id=2, file_name='b/001.png', width=64, height=64, patient_id=2),
    ]
    categories = [dict(id=1, name='lesion')]
    coco = dict(images=images, annotations=[annotation], categories=categories)
    results = [dict(image_id=1, bbox=box, score=0.9, category_id=1)]
    results.append(dict(image_id=2, bbox=box, score=0.4, category_id=1))
    sub_volume = '000001_01_02_003-009'
    spheres = [dict(series_uid='s', center_mm=[1, 2, 3], diameter_mm=4, score=0.5, category_id=1)]
    contents = {
        'test.json': coco,
        'results.json': results,
        'other.json': results,
        'lens.json': {sub_volume: [[4, 4, 5, 22, 20, 7]]},
        'lens_pred.json': {sub_volume: [[4, 4, 5, 22, 20, 7, 0.8]]},
        'spheres.json': spheres,
    }
    for name, content in contents.items():
        (root / name).write_text(json.dumps(content))
    header = 'seriesuid,coordX,coordY,coordZ'
    (root / 'annotations.csv').write_text(f'{header},diameter_mm\ns,1,2,3,6\n')
    (root / 'excluded.csv').write_text(f'{header},diameter_mm\nt,1,2,3,-1\n')
    (root / 'series.csv').write_text('s\nt\n')
    (root / 'marks.csv').write_text(f'{header},probability\ns,1,2,3,0.9\nt,5,5,5,0.2\n')


def compared(root, run_tool):
    """Two scores of one test set."""
    scores(root, run_tool)
    paths = ['--gt', root / 'test.json', '--pred', root / 'results.json']
    for name in ('a', 'b'):
        run_tool('analysis_tools/eval_froc.py', 'deeplesion', *paths, '--out', root / name)


def masked(root, run_tool):
    """A phantom's truth and masks of its lesion."""
    series = '000001_01_02'
    labels = lesion((7, 64, 64))
    (root / 'truth').mkdir()
    np.savez_compressed(root / 'truth' / f'{series}.npz', labels=labels, slices=np.arange(3, 10))
    found = dict(key_slice=6, center=[11.5, 10.5], label=1)
    (root / 'truth/lesions.json').write_text(json.dumps({series: dict(lesions=[found])}))
    from mmlesion.structures import encode_mask

    annotation = dict(id=1, image_id=1, bbox=[3, 3, 18, 16], category_id=1, area=288, iscrowd=0)
    annotation['recist'] = [8, 10.5, 15, 10.5, 11.5, 8, 11.5, 13]
    annotation.update(segmentation=encode_mask(labels[3] > 0), mask_source='grabcut')
    image = dict(id=1, file_name=f'{series}/006.png', width=64, height=64, slice_index=6)
    categories = [dict(id=1, name='lesion')]
    content = dict(images=[image], annotations=[annotation], categories=categories)
    (root / 'masks.json').write_text(json.dumps(content))


def phantom(root, run_tool):
    """Slices, their annotations and the truth of a phantom."""
    converted(root, run_tool)
    masked(root, run_tool)


def drawn(root, run_tool):
    """Slices, their annotations and detections."""
    converted(root, run_tool)
    results = [dict(image_id=1, bbox=[3, 3, 18, 16], score=0.9, category_id=1)]
    (root / 'results.json').write_text(json.dumps(results))


# of a config beside the data, where Python reads it
_LOADERS = """
_base_ = {base!r}
root = '{{{{ fileDirname }}}}/'
loader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=root))
train_dataloader = dict(loader, batch_size=1, batch_sampler=None)
val_dataloader = loader
test_dataloader = loader
val_evaluator = dict(ann_file=root + 'val.json')
test_evaluator = dict(ann_file=root + 'test.json')
visualizer = dict(vis_backends=[])
load_from = None
"""
_WIDTH = """
model = dict(
    backbone=dict(base_channels={0}, stem_channels={0}),
    neck=dict(in_channels=[{0}, 2 * {0}, 4 * {0}, 8 * {0}], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=8),
    ),
)
train_cfg = dict(max_epochs=1, val_interval=1)
"""


def detector(root, run_tool):
    """Slices, a volume, configs of a small detector and of others, and checkpoints."""
    import torch

    converted(root, run_tool)
    write(root / 'scan.nii', body((5, 40, 48)))
    faster_rcnn = CONFIGS / 'baselines/faster-rcnn_r18_fpn_phantom.py'
    for name, width in (('config', 4), ('wide', 8)):
        text = _LOADERS.format(base=str(faster_rcnn)) + _WIDTH.format(width)
        (root / f'{name}.py').write_text(text)
        torch.save(dict(state_dict=_weights(root / f'{name}.py'), meta={}), root / f'{name}.pth')
    for name in ('faster-rcnn_r18_fpn_rtm', 'alb-search_r18_fpn'):
        text = _LOADERS.format(base=str(CONFIGS / f'elixirnet/{name}_phantom.py'))
        text += "train_dataloader.update(dataset=dict(data_root=root, ann_file='both.json'))\n"
        (root / f'{name[:3]}.py').write_text(text)
    _join(root, 'train.json', 'val.json', 'both.json')
    weights = _weights(root / 'config.py')
    far = dict(state_dict=weights, meta=dict(epoch=0, iter=2**50), optimizer=None)
    torch.save(far, root / 'far.pth')
    loop = "dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2, val_interval=2)"
    (root / 'iterations.py').write_text(f"_base_ = 'config.py'\ntrain_cfg = {loop}\n")
    torch.save(dict(state_dict={}, meta={}), root / 'empty.pth')
    torch.save(dict(message='no weights'), root / 'none.pth')
    torch.save([1, 2], root / 'list.pth')
    some = dict(list(weights.items())[::2])
    torch.save(dict(state_dict=some, meta={}), root / 'half.pth')
    odd = dict.fromkeys(weights, 'text')
    torch.save(dict(state_dict=odd, meta={}), root / 'odd.pth')


def _join(root, first, second, out):
    """Write a COCO file of two of one image and annotation each."""
    joined = json.loads((root / first).read_text())
    other = json.loads((root / second).read_text())
    joined['images'] += [{**other['images'][0], 'id': 2}]
    joined['annotations'] += [{**other['annotations'][0], 'id': 2, 'image_id': 2}]
    (root / out).write_text(json.dumps(joined))


def _weights(config):
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import Config

    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(config).model).state_dict()


def studies(root, run_tool):
    """Two studies of a body, and results of each as infer.py writes them."""
    for name in ('earlier', 'later'):
        image = write(root / f'{name}.nii', body((20, 48, 64)))
        found = write(root / name / 'lesions.nii.gz', lesion((20, 48, 64)))
        assert found.GetSize() == image.GetSize()
        entry = dict(id=1, label='lesion', score=0.9, center_mm=[9.2, 8.4, 7.0])
        entry.update(diameter_mm=6.4, short_diameter_mm=4.8, diameter_source='box', key_slice=3)
        entry.update(bbox_voxel=[7.5, 7.5, 2.5, 15.5, 13.5, 4.5], recist_voxel=None)
        volume = dict(source=str(root / f'{name}.nii'), size=image.GetSize(), slice_axis='k')
        volume.update(spacing_mm=SPACING, origin_mm=image.GetOrigin())
        volume.update(direction=image.GetDirection())
        content = dict(volume=volume, detector=dict(config='a.py'), lesions=[entry])
        (root / name / 'lesions.json').write_text(json.dumps(content))


def mined(root, run_tool):
    """Slices, annotations, and the proposals that mining has stored of the first series."""
    from mmlesion.mining import VolumeStore

    converted(root, run_tool)
    boxes, slices = np.array([[4.0, 4, 22, 20]]), np.array([6])
    store = VolumeStore(root / 'mined.mining' / 'proposals', 'a detector')
    arrays = dict(pooled_boxes=boxes, pooled_slices=slices, pooled_scores=np.array([0.9]))
    store.save('000001_01_02', arrays)


def rows(root, run_tool):
    """Rows of a table, a config, and checkpoints."""
    import torch

    (root / 'config.py').write_text('model = dict()\n')
    content = f'reference: FPN\nseeds: [0]\noptions: {{}}\nrows: {{FPN: {root}/config.py}}\n'
    (root / 'rows.yml').write_text(content)
    torch.save(dict(state_dict={}), root / 'old.pth', _use_new_zipfile_serialization=False)
    torch.save([1, 2], root / 'list.pth')

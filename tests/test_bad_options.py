"""Bad values of all options that configs give to mmlesion's components."""

import inspect
import json
from functools import cache
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import build_from_cfg
from mmengine.visualization import Visualizer

from mmlesion.datasets import VolumeDataset
from mmlesion.io.volumes import write_annotations
from mmlesion.register import components
from mmlesion.utils.mmdet_tools import explain

CONFIGS = Path(__file__).parents[1] / 'configs'
COMPONENTS = {component.__name__: component for component in components()}
BAD_VALUES = ('bad', -1, 0, [], [1, 2, 3, 4, 5, 6, 7], None, float('nan'))
# what mmengine gives to these, and no config; a file that is missing is told by its own name
NO_OPTIONS = ('self', 'cfg', 'dataset', 'sampler', 'runner', 'init_cfg', 'ann_file')
CONV = dict(in_channels=4, out_channels=4, kernel_size=3, num_slices=3)
# of what no config names, or only in part
EXAMPLES = dict(
    A3DConv=CONV,
    ACSConv=CONV,
    AggregatedBBoxHead=dict(in_channels=8),
    AlignShiftConv=CONV,
    DumpLesionResults=dict(out_file_path='results.pkl'),
    I3DConv=CONV,
    InflatedConv3d=dict(in_channels=4, out_channels=4, kernel_size=3),
    LENSRoIHead=dict(datasets=('deeplesion', 'luna16')),
    ProposalEnsemble=dict(datasets=('deeplesion',), head=dict(type='RPNHead', in_channels=8)),
    RelationTransferModule=dict(in_channels=8),
    TSMConv=CONV,
)
# which need a run, or files that are not made here
NOT_BUILT = {
    'ALBSearchLoop',
    'LesionPatchDataset',
    'ProposalPatchDataset',
    'SingleDatasetBatchSampler',
    'SearchOptimWrapperConstructor',
}


class Slices:
    """What samplers ask of a dataset of slices, or of proposals: two patients."""

    cumulative_sizes = [4]
    metainfo = dict(classes=('lesion',))

    def __len__(self):
        return 4

    def get_data_info(self, index):
        lesion = dict(ignore_flag=0, bbox=[0, 0, 9, 9], bbox_label=0)
        groups = dict(patient_id=index // 2, lesion_group=index, proposal_label=index % 2)
        return dict(groups, instances=[lesion], lesion_ids=[index])


@cache
def examples():
    """Of each component that a config names, the first options that one gives it."""
    found = {}
    for path in sorted(CONFIGS.rglob('*.py')):
        if '_base_' not in path.parts:
            find_components(Config.fromfile(path)._cfg_dict, found)
    return found


def find_components(part, found):
    if isinstance(part, dict):
        if part.get('type') in COMPONENTS.keys() - found.keys():
            found[part['type']] = part
        part = list(part.values())
    for inner in part if isinstance(part, (list, tuple)) else ():
        find_components(inner, found)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """What components are given that read files."""
    Visualizer.get_instance('bad options')  # which a hook looks for
    root = tmp_path_factory.mktemp('data')
    image = dict(id=1, file_name='a/001.png', height=9, width=9, patient_id=1)
    box = dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 5, 5], area=25, iscrowd=0)
    categories = [dict(id=1, name='lesion')]
    coco = dict(images=[image], annotations=[box], categories=categories)
    (root / 'slices.json').write_text(json.dumps(coco))
    grid = dict(size=[9] * 3, spacing=[1.0] * 3, origin=[0.0] * 3, direction=[1.0] * 9)
    finding = dict(center_mm=[1.0, 2.0, 3.0], diameter_mm=25.0, ignore=0)
    volume = dict(file_name='0.npy', series_uid='2.25.1', fold=0, **grid)
    write_annotations(root / 'volumes.json', [volume], [[finding]], 'nodule', 'Test')
    slices = dict(data_root=str(root), ann_file='slices.json', pipeline=[])
    volumes = dict(data_root=str(root), ann_file='volumes.json', pipeline=[])
    volumes['metainfo'] = dict(classes=('nodule',))
    sampled = dict(dataset=Slices())
    return dict(
        CTSliceDataset=slices,
        VolumeDataset=volumes,
        FROCMetric=dict(ann_file=str(root / 'slices.json')),
        LesionCropSampler=dict(dataset=VolumeDataset(**volumes, by_lesion=True), random_share=0),
        LesionPairSampler=sampled,
        LesionSliceSampler=sampled,
        PatientHalfSampler=dict(sampled, half=0),
        ProposalRatioSampler=sampled,
    )


def told(component, options):
    """What a tool says of options; the empty text if they are taken."""
    # what a component that has a name keeps of its options is asked anew
    vars(component).get('_instance_dict', {}).clear()
    try:
        build_from_cfg(dict(options, type=component), MODELS)
    except Exception as error:
        line = explain(error)
        assert line is not None, f'a traceback: {error!r}'
        assert '\n' not in line
        return line
    return ''


def options_of(component):
    for option in inspect.signature(component.__init__).parameters.values():
        if option.name not in NO_OPTIONS and option.kind in (
            option.POSITIONAL_OR_KEYWORD,
            option.KEYWORD_ONLY,
        ):
            yield option.name


@pytest.mark.parametrize('name', sorted(COMPONENTS))
def test_a_line_names_option_and_value(name, data):
    component = COMPONENTS[name]
    good = {**examples().get(name, {}), **EXAMPLES.get(name, {}), **data.get(name, {})}
    good.pop('type', None)
    without = told(component, good)
    assert bool(without) == (name in NOT_BUILT), without
    wrong = []
    for option in options_of(component):
        for value in BAD_VALUES:
            line = told(component, {**good, option: value})
            if line not in ('', without) and not (option in line and f'{value!r}' in line):
                wrong.append((option, value, line))
    assert not wrong

"""Names in files lead nowhere else, and cells of tables are text."""

import csv
import json
import re
from types import SimpleNamespace

import attack_files
import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.apis import lesion_writer
from mmlesion.converters.case_table import read_case_table
from mmlesion.datasets import CTSliceDataset
from mmlesion.engine.hooks.visualization_hook import LesionVisualizationHook
from mmlesion.io.checks import plain_name, text_cell
from mmlesion.io.ct import read_image
from mmlesion.io.luna16 import write_luna16_predictions
from mmlesion.io.schema import path_under
from mmlesion.io.slices import list_series
from mmlesion.structures import Detections
from mmlesion.utils import UserError

FORMULAS = ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1']


@pytest.mark.parametrize('name', attack_files.NAMES)
def test_names_that_lead_elsewhere(tmp_path, name):
    with pytest.raises(UserError) as raised:
        path_under(tmp_path, name)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('name', ['a.png', 'a/b.png', './a.png', '..a/b..png', 'a b/ä.png'])
def test_names_that_stay(tmp_path, name):
    assert path_under(tmp_path, name).startswith(str(tmp_path))


def test_a_linked_folder_is_followed(ramp_dataset, tmp_path):
    """As the README links Images_png."""
    ramp_dataset.add_image()
    ramp_dataset.images_dir.rename(tmp_path / 'elsewhere')
    ramp_dataset.images_dir.symlink_to(tmp_path / 'elsewhere')
    assert len(dataset_of(ramp_dataset)) == 1
    assert len(list_series(ramp_dataset.content, ramp_dataset.images_dir)) == 1


def dataset_of(data):
    return CTSliceDataset(ann_file=str(data.write()), data_prefix=dict(img=str(data.images_dir)))


def draw(data, run_tool, out):
    (data.root / 'pred.json').write_text(json.dumps([dict(image_id=1, bbox=[2, 2, 9, 9], score=1)]))
    paths = ['--gt', data.write(), '--pred', data.root / 'pred.json', '--images', data.images_dir]
    run_tool('analysis_tools/draw_matches.py', *paths, '--out', out / 'a.png')


def make_masks(data, run_tool, out):
    run_tool(
        'dataset_converters/recist_masks.py', data.write(), '--images', data.images_dir,
        '--out', out / 'masks.json', '--picture', out / 'pictures',
    )  # fmt: skip


def make_volumes(data, run_tool, out):
    for split in ('train', 'val', 'test'):
        data.write(f'{split}.json')
    tool = 'dataset_converters/deeplesion_3d.py'
    run_tool(tool, data.root, '--images', data.images_dir, '--out', out)


READERS = [
    lambda data, run_tool, out: dataset_of(data),
    lambda data, run_tool, out: list_series(data.content, data.images_dir),
    draw,
    make_masks,
    make_volumes,
]


@pytest.mark.parametrize('read', READERS, ids=['dataset', 'mining', 'draw', 'masks', '3d'])
@pytest.mark.parametrize(
    'name', ['../000001_01_02/006.png', '/etc/000001_01_02/006.png', 'a\0b/006.png']
)
def test_every_reader_of_file_names(ramp_dataset, run_tool, tmp_path, read, name):
    ramp_dataset.add_image()['file_name'] = name
    recist = [2, 6, 11, 6, 6, 2, 6, 9]
    ramp_dataset.add_lesion(1, [2, 2, 9, 9], recist=recist, diameters_mm=[7, 6])
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises((UserError, SystemExit)) as raised:
        read(ramp_dataset, run_tool, tmp_path / 'out')
    assert re.search('leads outside|is no name', str(raised.value))
    assert '\n' not in str(raised.value)
    made = set(tmp_path.rglob('*')) - set(before)
    allowed = ('.json', '.txt')
    assert all(path.suffix in allowed or path.is_dir() for path in made), made


@pytest.mark.parametrize('number', ['../../escaped', 'a/b', '\0'])
def test_pictures_of_masks_stay(ramp_dataset, run_tool, tmp_path, number):
    ramp_dataset.add_image(size=(64, 64))
    recist = [20, 30, 40, 30, 30, 22, 30, 38]
    ramp_dataset.add_lesion(1, [15, 17, 30, 26], recist=recist)
    ramp_dataset.content['annotations'][0]['id'] = number
    out = tmp_path / 'a/b/out'
    with pytest.raises(SystemExit, match='one without slashes is needed'):
        make_masks(ramp_dataset, run_tool, out)
    assert not list(tmp_path.rglob('*escaped*'))


@pytest.mark.parametrize(
    'uid', ['../../escaped', '/escaped', 'a\\b', '', '..', 'a\0', 'a' * 300, 3]
)
def test_pictures_of_volumes_stay(tmp_path, uid):
    np.save(tmp_path / 'v.npy', np.zeros((2, 2, 2), np.int16))

    class Sample(SimpleNamespace):
        def __contains__(self, name):
            return hasattr(self, name)

    sample = Sample(volume_path=str(tmp_path / 'v.npy'), series_uid=uid)
    with pytest.raises(UserError, match='one without slashes is needed'):
        list(LesionVisualizationHook._pictures(SimpleNamespace(score_thr=0.3), sample))


@pytest.mark.parametrize('column', ['case', 'split'])
@pytest.mark.parametrize('name', ['..', '.', '../../escaped', '/escaped', 'a/b', 'a\\b', 'a\tb'])
def test_cases_and_splits_of_a_table(tmp_path, column, name):
    """A split names an annotation file, a case a folder that is replaced."""
    row = dict(case='scan', split='train') | {column: name}
    path = tmp_path / 'cases.csv'
    path.write_text(f'case,split\n"{row["case"]}","{row["split"]}"\n')
    with pytest.raises(UserError, match=f'line 2: the {column} .* is no name of a'):
        read_case_table(path, with_boxes=False)


@pytest.mark.parametrize('name', attack_files.HEADERS)
def test_headers_that_name_other_files(tmp_path, name):
    path = attack_files.write_header(tmp_path, name)
    with pytest.raises(UserError) as raised:
        read_image(path)
    assert '\n' not in str(raised.value)


def test_headers_that_name_their_own(tmp_path):
    image = sitk.Image(4, 4, 4, sitk.sitkInt16)
    for name in ('a.mhd', 'a.mha', 'a.nhdr', 'a.nrrd', 'a.nii.gz'):
        sitk.WriteImage(image, str(tmp_path / name), True)
        assert read_image(tmp_path / name).GetSize() == (4, 4, 4)


@pytest.mark.parametrize('text', FORMULAS)
def test_formulas_in_tables(tmp_path, text):
    assert text_cell(text) == f"'{text}" and text_cell('lesion=1') == 'lesion=1'
    lesion = SimpleNamespace(
        **dict.fromkeys(('center_mm', 'center_voxel'), (0.0, 0.0, 0.0)),
        **dict.fromkeys(('diameter_mm', 'short_diameter_mm', 'score'), 1.0),
        **dict(id=1, label=text, bbox_voxel=(0.0,) * 6, slice_range=(0, 1), key_slice=0),
        diameter_source='box',
    )
    lesion_writer._write_csv(tmp_path / 'lesions.csv', [lesion])
    with open(tmp_path / 'lesions.csv', newline='') as file:
        assert list(csv.reader(file))[1][1] == f"'{text}"
    (tmp_path / 'lesions.csv').unlink()
    detections = Detections(*map(np.array, ([0], [[1, 2, 3]], [0.5])))
    with pytest.raises(UserError, match='would take for a formula'):
        write_luna16_predictions(tmp_path / 'a.csv', [text], detections)
    assert not list(tmp_path.iterdir())


def test_formulas_of_other_lesions(load_tool, tmp_path):
    """Labels of lesions.json, which may be anyone's."""
    tool = load_tool('compare_studies.py')
    row = dict.fromkeys(tool.COLUMNS, '=1+1')
    tool.write_followup(tmp_path, dict(lesions=[row]))
    with open(tmp_path / 'followup.csv', newline='') as file:
        assert set(list(csv.reader(file))[1]) == {"'=1+1"}


def test_plain_names():
    assert plain_name('1.2.840', 'a scan') == '1.2.840'

"""Files that ask for more memory or time than any honest one are refused by a bound."""

import json
import os
import tracemalloc

import attack_files
import attacks
import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from mmdet.registry import TRANSFORMS
from phantom.nih_ln_layout import write_dicom

from mmlesion.converters.case_table import read_case_table
from mmlesion.datasets import CTSliceDataset
from mmlesion.io.ct import read_ct, read_image
from mmlesion.io.json_files import read_json
from mmlesion.io.luna16 import read_csv
from mmlesion.io.slices import read_slice
from mmlesion.structures import SubVolume, decode_mask, usable_segmentation
from mmlesion.utils import UserError, cli

DEEP = '[' * 100_000 + ']' * 100_000
DIGITS = '[' + '9' * 1_000_000 + ']'


def refused_within_memory(load, files, folder):
    """Each is told in one line by a process that may take 2 GiB."""
    said = attacks.outcomes(load, files, folder)
    for name, outcome in said.items():
        assert outcome.startswith('UserError: ') and '\n' not in outcome, (name, outcome)
        assert len(outcome) < 600
    assert len(said) == len(files)


def test_pictures(tmp_path):
    files = {}
    for number, (name, make) in enumerate(attack_files.PICTURES.items()):
        files[name] = tmp_path / f'{number}.png'
        files[name].write_bytes(make())
    refused_within_memory(read_slice, files, tmp_path)


def test_volumes(tmp_path):
    files = {name: tmp_path / name for name in attack_files.VOLUMES}
    for name, make in attack_files.VOLUMES.items():
        files[name].write_bytes(make())
    refused_within_memory(read_image, files, tmp_path)


def test_a_long_stream_is_not_unpacked(tmp_path):
    """What follows an image's voxels is left."""
    voxels = np.zeros((4, 4, 4), np.int16).tobytes()
    stream = attack_files.packed_zeros(1 << 28)
    import gzip

    path = tmp_path / 'a.nii.gz'
    path.write_bytes(gzip.compress(attack_files.nifti((4, 4, 4), voxels)) + stream)
    tracemalloc.start()
    try:
        assert read_image(path).GetSize() == (4, 4, 4)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def test_a_slice_of_largest_size_is_read(tmp_path):
    path = tmp_path / '001.png'
    cv2.imwrite(str(path), np.full((64, 2048), 32768, np.uint16))
    assert read_slice(str(path)).shape == (64, 2048)


def test_a_pipe_in_place_of_a_slice(tmp_path):
    os.mkfifo(tmp_path / '001.png')
    with pytest.raises(UserError, match='is not a file'):
        read_slice(str(tmp_path / '001.png'))
    os.mkfifo(tmp_path / 'a.npy')
    sample = dict(volume_path=str(tmp_path / 'a.npy'), size=[1, 1, 1])
    with pytest.raises(UserError, match='no such file'):
        TRANSFORMS.build(dict(type='LoadVolume'))(sample)
    with pytest.raises(UserError, match='does not exist|no DICOM series|not a file'):
        read_ct(tmp_path / '001.png')


@pytest.mark.parametrize(
    'text', [DEEP, DIGITS, '{"a":' * 100_000, '"' + '\\u12' * 9, '[1e999999]x']
)
def test_json(tmp_path, text):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(UserError, match='is not valid JSON') as raised:
        read_json(path)
    assert '\n' not in str(raised.value) and len(str(raised.value)) < 600
    with pytest.raises(UserError, match='is not valid JSON') as raised:
        CTSliceDataset(ann_file=str(path), data_prefix=dict(img=str(tmp_path)))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('error', [RecursionError('maximum recursion depth'), MemoryError()])
def test_every_tool_tells_what_got_past_the_bounds(error):
    @cli
    def main():
        raise error

    with pytest.raises(SystemExit, match='^error: .*(nested too deeply|memory does not suffice)'):
        main()


def test_messages_do_not_control_terminals():
    @cli
    def main():
        raise UserError('no slice \x1b]0;title\x07\x9b2J\u202e.png')

    with pytest.raises(SystemExit) as raised:
        main()
    assert str(raised.value).isprintable()


@pytest.mark.parametrize('text', ['a,b\n' + 'x' * 200_000 + ',1\n', 'a,"b\n' + 'x' * 200_000])
def test_csv(tmp_path, text):
    path = tmp_path / 'a.csv'
    path.write_text(text)
    for read in (read_csv, lambda path: read_case_table(path, with_boxes=False)):
        with pytest.raises(UserError, match='readable CSV|cannot be read as CSV'):
            read(path)


@pytest.mark.parametrize(
    'segmentation',
    [
        dict(size=[10**9, 10**9], counts='0'),
        dict(size=[10**9, 1], counts=[10**9]),
        dict(size=[-5, 10], counts='0'),
        dict(size=['a', 'b'], counts='0'),
        dict(size=[2, 2, 2], counts='0'),
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, float('nan'), 0, 5, 5]],
        [[0, 0, float('inf'), 0, 5, 5]],
        [[0, 0, -1e300, 0, 5, 5]],
        [['a', 0, 5, 0, 5, 5]],
        [[[0], 0, 5, 0, 5, 5]],
    ],
)
def test_masks(ramp_dataset, segmentation):
    """pycocotools crashes on polygons that are far from their image, or of NaN."""
    with pytest.raises(UserError, match='a "segmentation" has'):
        usable_segmentation(segmentation)
    ramp_dataset.add_image()
    ramp_dataset.add_lesion(1, [2, 2, 9, 9], segmentation=segmentation)
    with pytest.raises(UserError, match='a "segmentation" has'):
        images = dict(img=str(ramp_dataset.images_dir))
        CTSliceDataset(ann_file=str(ramp_dataset.write()), data_prefix=images)


@pytest.mark.parametrize('counts', ['zzzz' * 99, 'oooo', b'\xff', 3, None])
def test_masks_of_other_codes(counts):
    with pytest.raises(UserError, match='a "segmentation" is no'):
        decode_mask(dict(size=[2, 2], counts=counts))


def test_ranges_of_slices(ramp_dataset):
    image = ramp_dataset.add_image()
    image['slice_range'] = [1, 10**9]
    load = TRANSFORMS.build(dict(type='LoadCTSlices', num_slices=3))
    with pytest.raises(UserError, match='slice_range 1 to 1000000000 is longer'):
        load(ramp_dataset.sample(image))
    for name in ('a_1-999999999', 'a_1-' + '9' * 99, 'a_1-' + '9' * 9999):
        with pytest.raises(UserError, match='is no sub-volume'):
            SubVolume.parse(name)


def test_nested_results(tmp_path):
    """Depth that JSON has, but no annotation."""
    path = tmp_path / 'a.json'
    path.write_text('[' * 900 + ']' * 900)
    assert json.dumps(read_json(path)) == path.read_text()


@pytest.mark.parametrize('rows', [b'\xff\xff', b'\x00\x40'])
def test_a_dicom_series_of_few_bytes_is_not_made_room_for(tmp_path, rows):
    voxels = np.where(np.arange(8) < 4, -1000, 40) * np.ones((2, 8, 1))
    volume = sitk.GetImageFromArray(voxels.astype(np.int16))
    write_dicom(tmp_path / 'series', volume, '1.2.3', 'p')
    assert read_ct(tmp_path / 'series').GetSize() == (8, 8, 2)
    for path in (tmp_path / 'series').iterdir():
        content = path.read_bytes()
        for tag in (b'\x28\x00\x10\x00', b'\x28\x00\x11\x00'):  # rows and columns, 16 bits each
            head = tag + b'\x02\x00\x00\x00'  # implicit VR
            assert content.count(head) == 1
            start = content.index(head) + len(head)
            content = content[:start] + rows + content[start + 2 :]
        path.write_bytes(content)
    (said,) = attacks.outcomes(read_ct, {'a': tmp_path / 'series'}, tmp_path).values()
    assert said.startswith('UserError: ') and 'declares' in said and '\n' not in said

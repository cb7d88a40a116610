import json
from pathlib import Path

import pytest

from mmlesion.mining.experiments import keep_matched, withhold_lesions, withhold_slices
from mmlesion.mining.report import count_rows
from mmlesion.utils import UserError

SCRIPT = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'withhold_annotations.py'


def annotation(number, image, lesion, side=4, **fields):
    box = [0, 0, side, side]
    return dict(id=number, image_id=image, bbox=box, lesion_id=lesion, category_id=1, **fields)


@pytest.fixture
def data():
    """Lesion a on slices 1 to 3, largest on 2; b on slice 2; c on slice 4; an ignored one on 2."""
    return dict(
        images=[dict(id=i, file_name=f'series/{i}.png') for i in (1, 2, 3, 4)],
        annotations=[
            annotation(1, 1, 'a', side=3),
            annotation(2, 2, 'a', side=5),
            annotation(3, 3, 'a', side=4),
            annotation(4, 2, 'b'),
            annotation(5, 4, 'c'),
            annotation(6, 2, 'd', ignore=1),
        ],
        categories=[dict(id=1, name='lesion')],
    )


def test_each_lesion_stays_on_its_largest_slice(data):
    less = withhold_slices(data)
    assert [image['id'] for image in less['images']] == [2, 4]
    assert [a['id'] for a in less['annotations']] == [2, 4, 5, 6]
    assert less['categories'] == data['categories']


def test_a_fraction_of_the_lesions_is_removed_on_all_slices(data):
    removed = set()
    for seed in range(20):
        less = withhold_lesions(data, 1 / 3, seed)
        assert less['images'] == data['images']
        kept = {a['lesion_id'] for a in less['annotations']}
        assert 'd' in kept
        (gone,) = {'a', 'b', 'c'} - kept
        assert [a for a in data['annotations'] if a['lesion_id'] != gone] == less['annotations']
        removed.add(gone)
        assert withhold_lesions(data, 1 / 3, seed) == less
    assert removed == {'a', 'b', 'c'}


@pytest.fixture
def two_scans():
    """Lesion 1 on two slices each of two scans: lesions are numbered anew in each scan."""
    names = ('a/1.png', 'a/2.png', 'b/1.png', 'b/2.png')
    return dict(
        images=[dict(id=i, file_name=name) for i, name in enumerate(names)],
        annotations=[annotation(i, i, 1, side=4 + i % 2, source='annotated') for i in range(4)],
        categories=[dict(id=1, name='lesion')],
    )


def test_lesions_of_two_scans_are_told_apart(two_scans):
    assert [a['id'] for a in withhold_slices(two_scans)['annotations']] == [1, 3]
    kept = [a['id'] for a in withhold_lesions(two_scans, 0.5)['annotations']]
    assert kept in ([0, 1], [2, 3])
    (row,) = count_rows(two_scans, ())
    assert (row['lesions_3d'], row['lesions_2d']) == (2, 4)


def test_boxes_found_in_another_file(data):
    """With other ids and slightly other boxes; where an IoU is 0.5 or a box ignored is no match."""
    for image in data['images']:
        image.update(height=20, width=20)
    images = [dict(image, id=image['id'] + 10) for image in data['images']]
    found = [
        annotation(1, 11, 'a', side=3),
        annotation(2, 12, 'x', side=5),
        dict(annotation(3, 13, 'a'), bbox=[0, 0, 4, 2]),
        annotation(4, 14, 'c', ignore=1),
    ]
    less = keep_matched(data, dict(images=images, annotations=found))
    # on slice 2 the box of a, and that of b within it (IoU 16 / 25), with the ignored one
    assert [a['id'] for a in less['annotations']] == [1, 2, 4, 6]
    assert [image['id'] for image in less['images']] == [1, 2]


@pytest.mark.parametrize('fraction', [0, 1, -0.5])
def test_fraction_between_0_and_1(data, fraction):
    with pytest.raises(UserError, match='between 0 and 1'):
        withhold_lesions(data, fraction)


def test_annotations_without_a_lesion_id_are_lesions_of_their_own(data):
    for item in data['annotations']:
        del item['lesion_id']
    assert len(withhold_slices(data)['annotations']) == 6


def test_tool(load_tool, data, tmp_path, capsys):
    source, out = tmp_path / 'train.json', tmp_path / 'less.json'
    source.write_text(json.dumps(data))
    main = load_tool(SCRIPT).main
    main([str(source), '--key-slices', '--out', str(out)])
    assert json.loads(out.read_text()) == withhold_slices(data)
    assert '2 of 4 images\n4 of 6 annotations' in capsys.readouterr().out
    nameless = [dict(id=image['id']) for image in data['images']]
    source.write_text(json.dumps(dict(data, images=nameless)))
    with pytest.raises(SystemExit, match='error: .*train.json.*file_name'):
        main([str(source), '--key-slices', '--out', str(out)])
    source.write_text('[]')
    with pytest.raises(SystemExit, match='error: .*train.json needs lists'):
        main([str(source), '--lesions', '0.5', '--out', str(out)])

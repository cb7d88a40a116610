import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom.patient import PatientOptions, draw_patient
from phantom.studies import move_image, study_image

from mmlesion.followup.registration import register_rigid
from mmlesion.io.results import NOT_FOR_DIAGNOSIS
from mmlesion.utils import UserError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'compare_studies.py'
OPTIONS = PatientOptions(size=96, slice_intervals=(5.0,), studies=(0.0, 1.0), unannotated=0.0)


@pytest.fixture(scope='module')
def pose():
    transform = sitk.Euler3DTransform()
    transform.SetRotation(0.03, -0.02, 0.06)
    transform.SetTranslation([12.0, -8.0, 35.0])
    return transform


@pytest.fixture(scope='module')
def studies(pose):
    patient = draw_patient(np.random.SeedSequence(1), OPTIONS)
    earlier, later = patient.studies
    image = move_image(study_image(patient, later, OPTIONS), pose)
    earlier_image = study_image(patient, earlier, OPTIONS)
    return (earlier_image, earlier.lesions), (image, later.lesions)


def test_registration_finds_the_pose(studies, pose):
    (earlier, lesions), (later, _) = studies
    transform = register_rigid(earlier, later)
    for lesion in lesions:
        found = transform.TransformPoint(lesion.center)
        assert np.linalg.norm(np.subtract(found, pose.TransformPoint(lesion.center))) < 4.0


def test_a_scan_of_two_slices_is_registered(studies):
    (earlier, _), _ = studies
    few = earlier[:, :, 2:4]
    moved = sitk.Image(few)
    moved.SetOrigin(np.add(few.GetOrigin(), [12.0, -8.0, 0.0]).tolist())
    transform = register_rigid(few, moved)
    center = np.array(few.TransformContinuousIndexToPhysicalPoint([48, 48, 0.5]))
    shift = np.array(transform.TransformPoint(center.tolist())) - center
    assert np.abs(shift[:2] - [12, -8]).max() < 2.0


def test_scans_without_a_body_are_refused(studies):
    (earlier, _), _ = studies
    with pytest.raises(UserError, match='no body'):
        register_rigid(earlier, earlier * 0 - 1000)


@pytest.fixture
def results(studies, pose, tmp_path):
    """Folders as infer.py writes them, of lesions as they are."""
    for name, (image, lesions) in zip(('earlier', 'later'), studies):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / 'ct.nii.gz'
        sitk.WriteImage(image, str(path))
        entries = []
        for number, lesion in enumerate(lesions, 1):
            center = lesion.center if name == 'earlier' else pose.TransformPoint(lesion.center)
            diameter = float(lesion.profile.extent.max())
            entry = dict(id=number, label=f'lesion {lesion.number}', score=0.9)
            voxel = np.array(image.TransformPhysicalPointToContinuousIndex(center))
            half = diameter / 2 / np.array(image.GetSpacing())
            entry.update(center_mm=list(center), bbox_voxel=[*(voxel - half), *(voxel + half)])
            entry.update(diameter_mm=diameter, short_diameter_mm=diameter, recist_voxel=None)
            entries.append({**entry, 'diameter_source': 'box', 'key_slice': round(voxel[2])})
        volume = dict(
            source=str(path),
            slice_axis='k',
            size=image.GetSize(),
            spacing_mm=image.GetSpacing(),
            origin_mm=image.GetOrigin(),
            direction=image.GetDirection(),
        )
        content = dict(volume=volume, detector={}, lesions=entries)
        (folder / 'lesions.json').write_text(json.dumps(content))
    return tmp_path


def test_lesions_of_the_phantom_are_paired(load_tool, results, studies, capsys):
    main = load_tool(TOOL).main
    main([str(results / 'earlier'), str(results / 'later'), '--out', str(results / 'out')])
    content = json.loads((results / 'out' / 'followup.json').read_text())
    numbers = [{lesion.number: lesion for lesion in lesions} for _, lesions in studies]
    both = numbers[0].keys() & numbers[1].keys()
    paired = [row for row in content['lesions'] if row['status'] == 'paired']
    assert len(both) >= 2
    assert {row['label'] for row in paired} == {f'lesion {number}' for number in both}
    by_earlier = [studies[0][1][row['earlier_id'] - 1].number for row in paired]
    by_later = [studies[1][1][row['later_id'] - 1].number for row in paired]
    assert by_earlier == by_later
    grown = {number: numbers[1][number].profile.extent.max() for number in both}
    for row, number in zip(paired, by_earlier):
        assert row['later_mm'] == pytest.approx(grown[number])
    vanished = [row for row in content['lesions'] if row['status'] == 'vanished']
    assert len(vanished) == len(numbers[0].keys() - both)
    with open(results / 'out' / 'followup.csv', newline='') as file:
        assert len(list(csv.DictReader(file))) == len(content['lesions'])
    assert 'Sum of long diameters' in capsys.readouterr().out


@pytest.mark.parametrize(
    'patients, dates, warned',
    [
        ('aa', ('2023-01-02', '2024-01-02'), []),
        ('ab', ('2023-01-02', '2024-01-02'), ['different patients']),
        ('aa', ('2024-01-02', '2023-01-02'), ['earlier study is of 2024-01-02']),
        ((None, 'b'), (None, '2023-01-02'), []),
    ],
)
def test_other_patients_and_reversed_dates_are_told(
    load_tool, results, patients, dates, warned, capsys
):
    folders = [results / 'earlier', results / 'later']
    for folder, patient, date in zip(folders, patients, dates):
        content = json.loads((folder / 'lesions.json').read_text())
        content['volume'].update(patient=patient, study_date=date)
        (folder / 'lesions.json').write_text(json.dumps(content))
    page = results / 'page.html'
    load_tool(TOOL).main([*map(str, folders), f'--report={page}'])
    printed = capsys.readouterr()
    assert printed.err.count('warning:') == len(warned)
    for text in warned:
        assert text in printed.err and text in page.read_text(encoding='utf-8')
    assert all(f', {date or "of unknown date"}' in printed.out for date in dates)


def test_report_is_written(load_tool, results):
    page = results / 'page.html'
    main = load_tool(TOOL).main
    folders = [str(results / 'earlier'), str(results / 'later')]
    with pytest.raises(SystemExit, match='give a file name in .html'):
        main([*folders, '--report=page.pdf'])
    main([*folders, f'--report={page}'])
    text = page.read_text(encoding='utf-8')
    assert NOT_FOR_DIAGNOSIS in text and '"status":"paired"' in text


def test_studies_are_paired_with_an_embedding(load_tool, results, tmp_path):
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    import mmlesion  # noqa: F401 (registers mmlesion's components)
    from mmlesion.utils.configs import load_config

    config = ROOT / 'configs/phantom/lens/lesion-embedding_r18_phantom.py'
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(load_config(config).model)
    checkpoint = tmp_path / 'random.pth'
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    folders = [str(results / 'earlier'), str(results / 'later')]
    main = load_tool(TOOL).main
    out = tmp_path / 'out'
    embedder = ['--embedder', str(config), str(checkpoint)]
    main([*folders, *embedder, '--out', str(out)])
    content = json.loads((out / 'followup.json').read_text())
    assert content['embedder'] == embedder[1:]
    # Even with random features: the phantom's positions leave no doubt.
    paired = [row for row in content['lesions'] if row['status'] == 'paired']
    assert len(paired) >= 2
    detector = ROOT / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
    with pytest.raises(SystemExit, match='is the config of no LesionEmbedding'):
        main([*folders, '--embedder', str(detector), str(checkpoint)])


def test_bad_input_is_one_line(load_tool, results):
    main = load_tool(TOOL).main
    folders = [str(results / 'earlier'), str(results / 'later')]
    with pytest.raises(SystemExit, match='give mm above 0'):
        main([*folders, '--max-distance', '0'])
    (results / 'later' / 'lesions.json').write_text('{"lesions": [{}], "volume": {}}')
    with pytest.raises(SystemExit, match='is not what infer.py writes .*lesions'):
        main(folders)
    with pytest.raises(SystemExit, match='No such file'):
        main(['/nowhere', folders[1]])

import csv
import errno
import json
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from folders import digests
from phantom import (
    PatientOptions,
    draw_patient,
    make_deeplesion_phantom,
)
from phantom.lesions import LESION_LOOKS, draw_profile, recist, sample_extents
from phantom.shapes import Grid, Lobes, Section, blend, coverage
from scipy.stats import ks_2samp

from mmlesion.io.deeplesion import DL_INFO_HEADER
from mmlesion.io.slices import merge_ranges
from mmlesion.utils import OutputError, UserError

OPTIONS = PatientOptions(size=160)


def rows_of(root):
    with open(root / 'DL_info.csv', newline='') as file:
        return list(csv.DictReader(file))


def numbers(text):
    return np.array([float(part) for part in text.split(',')])


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom') / 'phantom'
    make_deeplesion_phantom(root, (8, 2, 4), seed=3, noisy=0.2, options=OPTIONS)
    return root


@pytest.fixture(scope='module')
def patients():
    options = PatientOptions(unannotated=0.3)
    return [draw_patient(np.random.SeedSequence(seed), options) for seed in range(60)]


def sites_of(patients):
    return [site for patient in patients for study in patient.studies for site in study.sites]


def test_box_sides_follow_deeplesion_at_512():
    sides = sample_extents(np.random.default_rng(0), 40000, size=512) + 10
    measured = np.percentile(sides, [1, 50, 99])
    np.testing.assert_allclose(measured, [13.5, 30, 133], rtol=0.03)
    assert 0.8 < np.corrcoef(np.log(sides - 10).T)[0, 1] < 0.95


def test_sizes_scale_and_fit_a_small_image():
    rng = np.random.default_rng
    full, half = (sample_extents(rng(0), 5000, 512, scale) for scale in (1.0, 0.5))
    small = (full.max(axis=1) < 150).nonzero()
    np.testing.assert_allclose(half[small], full[small] / 2)
    assert sample_extents(rng(0), 5000, 128).max() == pytest.approx(0.3 * 128)


def test_recist_spans_the_extent_and_crosses_at_right_angles():
    rng = np.random.default_rng(0)
    for extent in sample_extents(rng, 200):
        profile = draw_profile(rng, 5, extent)
        points = recist(profile, (100.0, 80.0)).reshape(4, 2)
        np.testing.assert_allclose(np.ptp(points, axis=0), extent)
        np.testing.assert_allclose((points.max(0) + points.min(0)) / 2, (100, 80))
        long, short = points[1] - points[0], points[3] - points[2]
        assert np.linalg.norm(long) >= np.linalg.norm(short) - 1e-9
        assert long @ short == pytest.approx(0, abs=1e-6)


def test_coverage_is_the_ellipse_area_and_lobes_spare_the_axes():
    grid = Grid(64, 0.5, (-16.0, -16.0), np.array([0.0, 1.0]))
    section = Section(np.zeros((2, 2)), np.array([[8.0, 5.0], [0.0, 0.0]]), np.array([0.3, 0.3]))
    volume = np.zeros((2, 64, 64), np.float32)
    blend(volume, coverage(grid, section, edge=0.5), 1.0)
    assert volume[0].sum() * 0.25 == pytest.approx(np.pi * 40, rel=0.02)
    assert volume[1].sum() == 0
    lobes = Lobes((0.1, 0.05, 0.05), (1.0, 2.0))
    np.testing.assert_allclose(lobes(np.arange(4) * np.pi / 2), 0, atol=1e-12)
    assert abs(lobes(0.7)) > 0.01
    outside = Section(np.full((2, 2), 90.0), section.radii, section.angles)
    assert coverage(grid, outside, 0.5) is None


def test_lesions_and_vessels_look_alike_in_one_slice(patients):
    """The section through the center has the same law for both: size, shape, HU, type."""
    # First studies only: later ones show the same findings again.
    sites = [site for patient in patients for site in patient.studies[0].sites]
    groups = [
        [finding.profile for site in sites for finding in getattr(site, kind)]
        for kind in ('lesions', 'vessels')
    ]
    assert min(map(len, groups)) > 150
    assert len(groups[1]) >= 0.9 * len(groups[0])
    for measure in (
        lambda profile: profile.extent.max(),
        lambda profile: min(profile.extent) / max(profile.extent),
        lambda profile: profile.hu,
        lambda profile: profile.type,
    ):
        lesions, vessels = ([measure(profile) for profile in group] for group in groups)
        assert ks_2samp(lesions, vessels).pvalue > 0.01


def test_vessels_go_on_and_shift_whereas_lesions_end(patients):
    for site in sites_of(patients):
        heights = site.z + np.array([-6.0, -2, 0, 2, 6])
        for vessel in site.vessels:
            section = vessel.section(heights)
            np.testing.assert_allclose(section.radii, np.tile(section.radii[2], (5, 1)))
            shift = np.linalg.norm(section.centers[[1, 3]] - section.centers[2], axis=1)
            assert (shift > 2.5 * 0.8).all()
        for lesion in site.lesions:
            section = lesion.section(heights)
            assert (section.radii[[0, 4]] == 0).all()
            assert (section.radii[[1, 3]] < 0.94 * section.radii[2]).all()
            np.testing.assert_array_equal(section.centers, np.tile(lesion.center[:2], (5, 1)))


def test_findings_of_a_level_do_not_overlap(patients):
    for patient in patients:
        for site in patient.studies[0].sites:
            found = [*site.lesions, *site.vessels]
            for index, one in enumerate(found):
                for other in found[:index]:
                    gap = np.hypot(*np.subtract(one.center, other.center)[:2])
                    assert gap > (max(one.profile.extent) + max(other.profile.extent)) / 2


def test_most_lesions_lie_in_their_organ(patients):
    inside = [
        patient.trunk.top_organ([lesion.center])[0] in lesion.profile.look.hosts
        for patient in patients
        for site in patient.studies[0].sites
        for lesion in site.lesions
    ]
    assert np.mean(inside) > 0.85


def test_patients_vary_as_promised(patients):
    studies = [study for patient in patients for study in patient.studies]
    assert {study.interval for study in studies} == {1.0, 2.0, 5.0}
    assert {len(patient.studies) for patient in patients} == {1, 2, 3}
    keys = [(s.slice_of(site.z), s.num_slices) for s in studies for site in s.sites]
    assert any(key == 0 for key, _ in keys) and any(key == n - 1 for key, n in keys)
    types = {lesion.profile.type for site in sites_of(patients) for lesion in site.lesions}
    assert types == set(LESION_LOOKS)
    assert any(not le.annotated for site in sites_of(patients) for le in site.lesions)
    repeated = [p for p in patients if len(p.studies) > 1]
    numbers = [
        [
            {le.number: max(le.profile.extent) for si in st.sites for le in si.lesions}
            for st in p.studies
        ]
        for p in repeated
    ]
    growth = [n[1][k] / n[0][k] for n in numbers for k in n[0].keys() & n[1].keys()]
    assert len(growth) > 20 and 1.0 < np.median(growth) < 1.3


def test_key_slices_go_through_the_center(patients):
    for patient in patients:
        for study in patient.studies:
            for site in study.sites:
                height = study.top + study.slice_of(site.z) * study.interval
                assert height == pytest.approx(site.z, abs=1e-9)


def test_csv_is_as_deeplesion_has_it(phantom):
    text = (phantom / 'DL_info.csv').read_text().splitlines()
    assert text[0].split(',') == DL_INFO_HEADER
    rows = rows_of(phantom)
    assert {row['Train_Val_Test'] for row in rows} == {'1', '2', '3'}
    assert {row['Possibly_noisy'] for row in rows} == {'0', '1'}
    for row in rows:
        points = numbers(row['Measurement_coordinates']).reshape(4, 2)
        box = numbers(row['Bounding_boxes'])
        np.testing.assert_allclose(box[:2], points.min(axis=0) - 5, atol=2e-3)
        np.testing.assert_allclose(box[2:], points.max(axis=0) + 5, atol=2e-3)
        lengths = np.linalg.norm(points[::2] - points[1::2], axis=1)
        np.testing.assert_allclose(lengths, numbers(row['Lesion_diameters_Pixel_']), atol=2e-3)
        key = int(row['Key_slice_index'])
        first, last = numbers(row['Slice_range'])
        assert first <= key <= last
        series = [row[name] for name in ('Patient_index', 'Study_index', 'Series_ID')]
        patient, study, number = map(int, series)
        assert row['File_name'] == f'{patient:06d}_{study:02d}_{number:02d}_{key:03d}.png'
        assert (row['Coarse_lesion_type'] == '-1') == (row['Train_Val_Test'] == '1')


def test_slices_are_16_bit_hu(phantom):
    for row in rows_of(phantom)[:12]:
        folder = phantom / 'Images_png' / row['File_name'][:12]
        first, last = numbers(row['Slice_range']).astype(int)
        for index in range(first, last + 1):
            image = cv2.imread(str(folder / f'{index:03d}.png'), cv2.IMREAD_UNCHANGED)
            assert image.dtype == np.uint16 and image.shape == (160, 160)
            hu = image.astype(int) - 32768
            assert -1024 <= hu.min() < -1000 and 100 < hu.max() <= 3071
            assert hu[0, 0] == -1024
            assert -200 < np.median(hu[60:100, 60:100]) < 200 or (hu < -700).any()


def test_truth_has_every_lesion_and_masks_end_where_lesions_do(phantom):
    truth = json.loads((phantom / 'truth' / 'lesions.json').read_text())
    listed = sum(row['Possibly_noisy'] == '0' for row in rows_of(phantom))
    lesions = [(name, le) for name, series in truth.items() for le in series['lesions']]
    assert sum(lesion['annotated'] for _, lesion in lesions) == listed < len(lesions)
    ratios = []
    for name, lesion in lesions:
        with np.load(phantom / 'truth' / f'{name}.npz') as stored:
            masks, slices = stored['labels'] == lesion['label'], stored['slices']
        position = slices.tolist().index(lesion['key_slice'])
        x, y, w, h = lesion['bbox']
        ratios.append(masks[position].sum() / (np.pi / 4 * w * h))
        rows, columns = masks[position].nonzero()
        np.testing.assert_allclose(columns.mean(), x + w / 2, atol=0.1 * w + 1)
        np.testing.assert_allclose(rows.mean(), y + h / 2, atol=0.1 * h + 1)
        # Beyond half its depth it is gone.
        reach = truth[name]['slice_interval'] * np.abs(slices - lesion['key_slice'])
        assert not masks[reach > lesion['diameters_mm'][2] / 2].any()
    assert 0.95 < np.median(ratios) < 1.15


def test_rows_count_pixels_from_one_and_the_truth_from_zero(phantom):
    truth = json.loads((phantom / 'truth' / 'lesions.json').read_text())
    rows = [row for row in rows_of(phantom) if row['Possibly_noisy'] == '0']
    for row in rows:
        name, key = row['File_name'][:12], int(row['Key_slice_index'])
        box = numbers(row['Bounding_boxes']) - 1
        ends = numbers(row['Measurement_coordinates']).reshape(4, 2) - 1
        lesions = [le for le in truth[name]['lesions'] if le['key_slice'] == key]
        extents = [[*le['bbox'][:2], *np.add(le['bbox'][:2], le['bbox'][2:])] for le in lesions]
        best = min(extents, key=lambda extent: np.abs(extent - box).sum())
        np.testing.assert_allclose(box + [5, 5, -5, -5], best, atol=2e-3)
        # the middle of what the mask shows
        label = lesions[extents.index(best)]['label']
        with np.load(phantom / 'truth' / f'{name}.npz') as stored:
            mask = stored['labels'][stored['slices'].tolist().index(key)] == label
        middle = np.mean(mask.nonzero(), axis=1)[::-1]
        np.testing.assert_allclose(ends.mean(axis=0), middle, atol=0.1 * np.ptp(ends) + 0.3)


def test_findings_stand_out_on_their_key_slice(phantom):
    """A lung nodule is bright in the lung: the mask covers what the picture shows."""
    truth = json.loads((phantom / 'truth' / 'lesions.json').read_text())
    seen = 0
    for name, series in truth.items():
        for finding in series['lesions'] + series['vessels']:
            x, y, w, h = finding['bbox']
            if finding['lesion_type'] != 5 or min(w, h) < 6:
                continue
            path = phantom / 'Images_png' / name / f'{finding["key_slice"]:03d}.png'
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int) - 32768
            cx, cy = map(round, finding['center'])
            assert -250 < image[cy - 1 : cy + 2, cx - 1 : cx + 2].mean() < 150
            seen += 1
    assert seen > 5


def test_same_seed_same_bytes_whatever_the_workers(tmp_path):
    for name, workers, seed in (('one', 1, 0), ('two', 2, 0), ('other', 1, 1)):
        make_deeplesion_phantom(
            tmp_path / name, (1, 1, 1), seed=seed, workers=workers, options=PatientOptions(size=128)
        )
    one, two, other = (digests(tmp_path / name) for name in ('one', 'two', 'other'))
    assert one == two
    assert one['DL_info.csv'] != other['DL_info.csv']


def test_more_patients_leave_the_first_as_they_are(tmp_path):
    for name, counts in (('few', (1, 0, 0)), ('more', (2, 0, 1))):
        make_deeplesion_phantom(tmp_path / name, counts, options=PatientOptions(size=128))
    few, more = (digests(tmp_path / name) for name in ('few', 'more'))
    pictures = [name for name in few if name.endswith('.png')]
    assert pictures and all(few[name] == more[name] for name in pictures)
    text = [(tmp_path / name / 'DL_info.csv').read_text() for name in ('few', 'more')]
    assert text[1].startswith(text[0])


def test_more_test_patients_leave_training_and_validation_as_they_are(tmp_path):
    for name, counts in (('few', (1, 1, 1)), ('more', (1, 1, 2))):
        make_deeplesion_phantom(tmp_path / name, counts, options=PatientOptions(size=128))
    few, more = (digests(tmp_path / name) for name in ('few', 'more'))
    changed = {name for name in few if few[name] != more[name]}
    assert changed == {'DL_info.csv', 'truth/lesions.json'} and len(more) > len(few)
    text = [(tmp_path / name / 'DL_info.csv').read_text() for name in ('few', 'more')]
    assert text[1].startswith(text[0])


def test_an_existing_folder_is_kept_unless_told(tmp_path, monkeypatch):
    options = PatientOptions(size=128)
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'mine.txt').write_text('mine')
    with pytest.raises(UserError, match='is not empty.*--overwrite'):
        make_deeplesion_phantom(out, (1, 0, 0), options=options)
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, 'No space left on device')
        patch.setattr(Path, 'write_bytes', Mock(side_effect=full))
        with pytest.raises(OutputError, match='cannot be written: No space left'):
            make_deeplesion_phantom(out, (1, 0, 0), overwrite=True, options=options)
    assert [path.name for path in tmp_path.rglob('*')] == ['out', 'mine.txt']
    make_deeplesion_phantom(out, (1, 0, 0), overwrite=True, options=options)
    assert sorted(p.name for p in out.iterdir()) == ['DL_info.csv', 'Images_png', 'truth']


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'patients': (1, -1, 0)}, '3 counts'),
        ({'context_mm': -1}, 'context'),
        ({'noisy': 2}, 'noisy'),
        ({'options': PatientOptions(size=16)}, 'image size'),
        ({'options': PatientOptions(slice_intervals=(0.0,))}, 'slice intervals'),
        ({'options': PatientOptions(lesion_scale=0)}, 'lesion scale'),
    ],
)
def test_numbers_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        make_deeplesion_phantom(tmp_path / 'out', **arguments)
    assert not (tmp_path / 'out').exists()


def test_overlapping_slice_ranges_are_joined():
    assert merge_ranges([(10, 14), (1, 5), (4, 8), (20, 20)]) == [(1, 8), (10, 14), (20, 20)]

import base64
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.io.json_files import read_json
from mmlesion.io.results import NOT_FOR_DIAGNOSIS
from mmlesion.report.page import binning_factor
from mmlesion.report.volume_report import write_volume_report
from mmlesion.utils import UserError

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'volume_report.py'
BALL, BODY = 200, 40  # HU


def data_of(page):
    text = page.read_text(encoding='utf-8')
    start = text.index('id="data">') + len('id="data">')
    return json.loads(text[start : text.index('</script>', start)])


def decode(text, folder):
    path = folder / 'embedded.nii.gz'
    path.write_bytes(base64.b64decode(text))
    return sitk.ReadImage(str(path))


def at(array, place):
    """The voxel (z, y, x) of the array at a place, x, y, z as fractions."""
    return tuple((np.array(place)[::-1] * array.shape).astype(int))


def test_embedded_volume_shows_the_lesions_at_their_places(volume_results, tmp_path):
    data = data_of(write_volume_report(volume_results))
    image = decode(data['volume'], tmp_path)
    array = sitk.GetArrayFromImage(image)
    assert image.GetSize() == tuple(data['size']) == (80, 60, 20)
    assert image.GetSpacing() == pytest.approx((0.8, 0.8, 2.5))
    # RAS in NIfTI, that is left to right and so on in SimpleITK's LPS
    assert image.GetDirection() == pytest.approx((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    listed = read_json(volume_results / 'lesions.json')
    for lesion, entry in zip(data['lesions'], listed['lesions']):
        box = np.array(lesion['box'])
        center = (box[:3] + box[3:]) / 2
        assert array[at(array, center)] == BALL
        assert data['sliceNumbers'][lesion['key']] == entry['key_slice'] == lesion['slice']
    one = data['lesions'][0]
    # x1 19 to x2 32 of 80 px, from the other end; key slice 5 of 20
    assert one['box'][::3] == pytest.approx([1 - 32 / 80, 1 - 19 / 80])
    assert one['key'] == 14 and data['sliceAxis'] == listed['volume']['slice_axis'] == 'j'
    ends = np.array(one['ends'])
    long_px = (ends[0] - ends[1]) * data['size']
    assert np.linalg.norm(long_px * data['spacing']) == pytest.approx(one['diameter'], abs=0.01)
    assert data['lesions'][1]['ends'] is None and one['window'] == 'soft tissue'


def test_masks_are_of_lesions_that_have_one(volume_results, tmp_path):
    data = data_of(write_volume_report(volume_results))
    masks = sitk.GetArrayFromImage(decode(data['masks'], tmp_path))
    array = sitk.GetArrayFromImage(decode(data['volume'], tmp_path))
    assert set(array[masks > 0]) == {BALL}
    # the half with the second ball has none
    assert masks.sum() == (array[10:] == BALL).sum() > 0 and not masks[:10].any()


def test_bound_on_the_size(volume_results, tmp_path):
    data = data_of(write_volume_report(volume_results, most_voxels=25_000))
    image = decode(data['volume'], tmp_path)
    assert image.GetSize() == (40, 30, 20) and image.GetSpacing()[0] == pytest.approx(1.6)
    assert 'more than this page holds: 2 × 2 px are averaged' in data['bound']
    array = sitk.GetArrayFromImage(image)
    assert array[at(array, np.array(data['lesions'][1]['box']).reshape(2, 3).mean(0))] == BALL
    assert data_of(write_volume_report(volume_results))['bound'] == ''


def test_binning_factor():
    assert binning_factor((100, 512, 512), 100 * 512 * 512) == 1
    assert binning_factor((100, 512, 512), 100 * 512 * 512 - 1) == 2
    assert binning_factor((10, 4, 4), 1) == 4  # no more than the px there are


def test_tool(load_tool, volume_results, tmp_path, capsys):
    out = tmp_path / 'page.html'
    load_tool(TOOL).main([str(volume_results), f'--out={out}', '--score-thr=0.7'])
    assert str(out) in capsys.readouterr().out
    page = out.read_text(encoding='utf-8')
    assert NOT_FOR_DIAGNOSIS in page and 'BSD 2-Clause License' in page and 'fflate' in page
    assert "default-src 'none'; img-src data:" in page
    assert [lesion['id'] for lesion in data_of(out)['lesions']] == [1]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--out=page.pdf'], 'give a file name in .html'),
        (['--max-voxels=0'], '--max-voxels'),
        (['--volume=/nowhere.nii.gz'], 'does not exist'),
    ],
)
def test_bad_input_is_one_line(load_tool, volume_results, options, message):
    with pytest.raises(SystemExit, match=message) as end:
        load_tool(TOOL).main([str(volume_results), *options])
    assert '\n' not in str(end.value) and not (volume_results / 'report.html').exists()


def test_another_volume_is_refused(volume_results, tmp_path):
    other = sitk.Image(8, 8, 8, sitk.sitkInt16) - 500
    other[0, 0, 0] = 100
    sitk.WriteImage(other, str(tmp_path / 'other.nii.gz'))
    with pytest.raises(UserError, match='give the volume that infer.py has read'):
        write_volume_report(volume_results, volume=tmp_path / 'other.nii.gz')


class Page:
    """The page of a volume in a browser."""

    def __init__(self, browser, path):
        self.browser, self.folder = browser, path.parent
        browser.open(path.as_uri())
        ready = "document.body.dataset.ready || document.getElementById('failure').textContent"
        deadline = time.monotonic() + 60
        while not (state := browser.run(ready)):
            assert time.monotonic() < deadline, 'the page does not become ready'
        assert state == 'yes'

    def picture(self):
        path = self.folder / 'screen.png'
        self.browser.screenshot(path)
        return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)

    def text(self, name):
        return self.browser.run(f"document.getElementById('{name}').textContent")

    def shown_lesions(self):
        return self.browser.run("document.getElementById('marks').dataset.lesions")

    def set(self, name, value):
        """Choose in a select, or check a box."""
        what = 'checked' if isinstance(value, bool) else 'value'
        self.browser.run(
            f"{{const e = document.getElementById('{name}'); e.{what} = {json.dumps(value)};"
            "e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change'));}"
        )

    def box(self, lesion):
        """Place of a lesion's box on the screen: left, top, right, bottom in px."""
        return self.browser.run(
            f'(r => [r.left, r.top, r.right, r.bottom])(document.querySelector('
            f'\'rect[data-lesion="{lesion}"]\').getBoundingClientRect())'
        )

    def outline(self, lesion):
        """Bounds of the outline of a lesion's mask, as of its box."""
        return self.browser.run(
            '(r => [r.left, r.top, r.right, r.bottom])(document.querySelector('
            f'\'path[data-mask="{lesion}"]\').getBoundingClientRect())'
        )

    def gray_within(self, box):
        """Mean gray, 0 to 1, of the middle half of a box, and just outside its left side."""
        left, top, right, bottom = box
        gray = self.picture() / 255
        width, height = (right - left) / 4, (bottom - top) / 4
        rows = slice(int(top + height), int(bottom - height))
        beside = gray[rows, int(left - width) : int(left - 4)]
        return gray[rows, int(left + width) : int(right - width)].mean(), beside.mean()


def gray_of(hu, window=(-160, 240)):
    return (hu - window[0]) / (window[1] - window[0])


@pytest.fixture
def page(volume_results, browser):
    return Page(browser, write_volume_report(volume_results))


def test_clicked_lesion_is_on_the_slice_shown(page, volume_results):
    second = read_json(volume_results / 'lesions.json')['lesions'][1]
    page.browser.run('document.querySelector(\'tr[data-lesion="2"]\').click()')
    assert f'slice j = {second["key_slice"]}, ' in page.text('position')
    assert page.shown_lesions() == '2'
    for name in 'show-masks', 'show-diameters':
        page.set(name, False)
    box = page.box(2)
    within, beside = page.gray_within(box)
    assert within == pytest.approx(gray_of(BALL), abs=0.03)
    assert beside == pytest.approx(gray_of(BODY), abs=0.03)
    # 13 px of 0.8 mm wide and high
    assert box[2] - box[0] == pytest.approx(box[3] - box[1], rel=0.02)
    # lesion 2 lies to the patient's left, which is on the right
    middle = page.browser.run("document.getElementById('canvas').clientWidth") / 2
    assert box[0] > middle
    page.set('window', 'bone')
    assert page.gray_within(box)[0] == pytest.approx(gray_of(BALL, (-450, 1050)), abs=0.03)
    outside = [url for url in page.browser.requests if not url.startswith(('file:', 'data:'))]
    assert outside == []


def test_keys_scroll(page):
    page.browser.run('document.querySelector(\'tr[data-lesion="2"]\').click()')
    page.browser.run("document.getElementById('viewer').focus()")
    box = page.box(2)
    start = page.text('position')
    page.browser.press('ArrowUp')
    assert page.text('position') != start and page.shown_lesions() == '2'
    page.browser.press('ArrowDown')
    assert page.text('position') == start
    for _ in range(4):
        page.browser.press('ArrowDown')
    # two slices below the ball's last one
    assert page.shown_lesions() == '' and 'no lesion here' in page.text('position')
    assert page.gray_within(box)[0] == pytest.approx(gray_of(BODY), abs=0.03)


def test_diameters_and_masks_lie_on_the_lesion(page):
    lines = page.browser.run('document.querySelectorAll(\'line[data-diameter="1"]\').length')
    assert lines == 2  # the first lesion is shown at once
    left, top, right, bottom = page.box(1)
    ends = page.browser.run(
        '(r => [r.left, r.top, r.right, r.bottom])(document.querySelector('
        '\'line[data-diameter="1"]\').getBoundingClientRect())'
    )
    assert left - 2 < ends[0] and ends[2] < right + 2 and top - 2 < ends[1] and ends[3] < bottom + 2
    # the outline of the ball meets its box on all sides, and leaves the lesion to be seen
    for name in 'show-diameters', 'show-boxes':
        page.set(name, False)
    assert page.outline(1) == pytest.approx([left, top, right, bottom], abs=2)
    page.picture()
    blue, _, red = np.moveaxis(cv2.imread(str(page.folder / 'screen.png')).astype(int), 2, 0)
    rows, columns = slice(round(top), round(bottom) + 1), slice(round(left), round(right) + 1)
    redder = (red - blue)[rows, columns]
    middle = slice(len(redder) // 3, 2 * len(redder) // 3)
    assert np.abs(redder[middle, middle]).max() <= 3 and redder.max() > 100
    assert 0.02 < (redder > 100).mean() < 0.2
    page.set('show-masks', False)
    assert page.browser.run('document.querySelectorAll("path[data-mask]").length') == 0
    page.set('show-masks', True)
    page.set('show-boxes', True)
    page.set('view', 'coronal')
    assert page.outline(1) == pytest.approx(page.box(1), abs=2)
    page.browser.run('document.querySelector(\'tr[data-lesion="2"]\').click()')
    assert page.browser.run('document.querySelectorAll("path[data-mask]").length') == 0, 'a box'


@pytest.mark.parametrize(('view', 'position'), [('coronal', 'plane'), ('sagittal', 'plane')])
def test_other_views(page, view, position):
    page.browser.run('document.querySelector(\'tr[data-lesion="2"]\').click()')
    for name in 'show-masks', 'show-diameters':
        page.set(name, False)
    page.set('view', view)
    assert page.text('position').startswith(position) and page.shown_lesions() == '2'
    within, beside = page.gray_within(page.box(2))
    assert within == pytest.approx(gray_of(BALL), abs=0.06)
    assert beside == pytest.approx(gray_of(BODY), abs=0.06)


def test_threshold_hides_lesions(page):
    page.set('threshold', '0.7')
    assert page.text('shown') == '1 of 2 lesions'
    assert page.browser.run("document.querySelectorAll('#lesions tbody tr').length") == 1

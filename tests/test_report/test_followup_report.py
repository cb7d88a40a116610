import numpy as np
import pytest

from mmlesion.io.ct import read_ct
from mmlesion.io.results import read_results
from mmlesion.report.followup_content import Study, followup_content
from mmlesion.report.page import write_page
from mmlesion.structures.ct_volume import CTVolume


@pytest.fixture
def content(volume_results):
    """The first lesion is paired with the second one, which is new; nothing else."""
    results = read_results(volume_results)
    source = results.volume['source']
    study = Study(source, CTVolume(read_ct(source)), results.lesions)
    paired = dict(status='paired', label='nodule', earlier_id=1, later_id=2, earlier_mm=10.4)
    paired.update(later_mm=13.0, change_percent=25.0, distance_mm=1.5)
    new = dict(status='new', label='nodule', earlier_id=None, later_id=2, earlier_mm=None)
    new.update(later_mm=13.0, change_percent=None, distance_mm=None)
    total = dict(earlier_mm=10.4, later_mm=13.0, change_percent=25.0, response='progressive')
    return followup_content(study, study, [paired, new], total)


def test_pictures_of_a_row_have_one_scale(content):
    paired, new = content['rows']
    assert set(paired['pictures']) == {'earlier', 'later'} and set(new['pictures']) == {'later'}
    for picture in paired['pictures'].values():
        assert picture['size'] == pytest.approx([80, 80])
        x1, y1, x2, y2 = picture['box']
        assert (x2 - x1, y2 - y1) == pytest.approx((13 * 0.8, 13 * 0.8))
    ends = np.array(paired['pictures']['earlier']['ends'])
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(13 * 0.8, abs=1)


def test_in_a_browser(content, browser, tmp_path):
    page = tmp_path / 'page.html'
    write_page('followup', content, page)
    browser.open(page.as_uri())
    assert browser.run("document.querySelectorAll('tbody tr').length") == 2
    assert browser.run("document.querySelectorAll('tr[data-status=paired] svg image').length") == 2
    browser.run(
        "{const s = document.getElementById('status'); s.value = 'new';"
        "s.dispatchEvent(new Event('change'));}"
    )
    rows = browser.run("document.getElementById('lesions').tBodies[0].textContent")
    assert 'not there yet' in rows and '13.0 mm' in rows
    assert '10.4 to 13.0 mm (+25 %)' in browser.run("document.getElementById('total').textContent")
    outside = [url for url in browser.requests if not url.startswith(('file:', 'data:'))]
    assert outside == []

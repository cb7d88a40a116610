import html.parser
import json
from pathlib import Path

import numpy as np
import pytest

from mmlesion.froc import (
    PER_IMAGE_FP_RATES,
    PER_SCAN_FP_RATES,
    OverlapCriterion,
    Protocol,
)
from mmlesion.io.coco import coco_ground_truth, read_coco_results
from mmlesion.io.json_files import read_json
from mmlesion.io.results import NOT_FOR_DIAGNOSIS
from mmlesion.report.matched_run import KINDS, NEVER, choose_images, lesion_areas, match_run

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'report.py'


@pytest.fixture
def report(load_tool, study):
    main = load_tool(TOOL).main
    out = study / 'out' / 'report.html'
    arguments = [f'--gt={study}/gt.json', f'--images={study}/Images_png', f'--out={out}']
    arguments += ['--no-inclusive', '--draws=50']

    def write(*more):
        main([*arguments, '--pred', f'A={study}/first.json', f'B={study}/second.json', *more])
        return out

    return write


@pytest.fixture
def matched(study):
    truth = coco_ground_truth(read_json(study / 'gt.json'), 'gt.json')
    detections = read_coco_results(study / 'first.json', truth.cases).detections
    protocol = Protocol(OverlapCriterion('iou', 0.5, inclusive=False), PER_IMAGE_FP_RATES)
    return match_run('A', detections, truth, protocol), truth


class _Parts(html.parser.HTMLParser):
    """The text of each element that holds a program, data or a style."""

    def __init__(self, page):
        super().__init__()
        self.parts, self.policy, self._open = {}, None, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self._open = attributes.get('id', tag) if tag in ('script', 'style') else None
        if attributes.get('http-equiv') == 'Content-Security-Policy':
            self.policy = attributes['content']

    def handle_data(self, text):
        if self._open:
            self.parts[self._open] = self.parts.get(self._open, '') + text

    def handle_endtag(self, tag):
        self._open = None


def test_detections_are_matched_as_in_the_curve(matched):
    run, _ = matched
    kinds = [KINDS[kind] for kind in run.kind]
    assert run.detections.score.tolist() == [0.9, 0.8, 0.7, 0.6, 0.4, 0.3]
    assert kinds == [
        'true positive',
        'false positive',
        'neutral',  # lesion A again
        'neutral',  # ignored ground truth
        'true positive',
        'false positive',
    ]
    assert run.found_score.tolist() == [0.9, 0.4, NEVER, 0.6]
    assert run.found_overlap == pytest.approx([1, 0.8, np.nan, 1], nan_ok=True)


def test_worst_images_come_first(matched):
    run, truth = matched
    area = lesion_areas(truth, [dict(spacing=(0.5, 0.5))] * 3)
    assert area.tolist() == [25, 25, 100, 25]
    # the false positive of 0.8 and lesion C on the third, the loosest match on the second
    assert choose_images(run, truth, area, 1) == [2, 1]
    assert choose_images(run, truth, area, 3) == [2, 1, 0]


def test_page_has_all_it_needs(report):
    page = report('--groups', 'organ').read_text(encoding='utf-8')
    parts = _Parts(page)
    data = json.loads(parts.parts['data'])
    assert NOT_FOR_DIAGNOSIS in page and '{{' not in page
    assert "default-src 'none'" in parts.policy
    assert 'http://' not in page.replace('http://www.w3.org/2000/svg', '') and '//cdn' not in page
    assert data['groups'] == {'organ=liver': [0], 'organ=lung': [1, 2, 3]}
    first, second = data['runs']
    assert first['scores'] == {'tp': [0.9, 0.4], 'fp': [0.8, 0.3], 'neutral': [0.7, 0.6]}
    assert second['foundScore'] == [None, None, 0.95, None]
    # 2 of 3 lesions at each FP rate but 0.5, where one false positive is allowed
    assert data['comparison'][0]['value'] == pytest.approx([2 / 3] * 8)
    assert data['comparison'][1]['difference'][0] == pytest.approx(-1 / 3)
    (picture,) = [one for one in data['pictures'] if one['image'] == 2]
    assert picture['lesions'] == [2, 3] and picture['source'].startswith('data:image/jpeg;base64,')


def test_text_of_files_cannot_end_its_element(report, study):
    truth = json.loads((study / 'gt.json').read_text())
    truth['annotations'][0]['organ'] = '</script><script>alert(1)</script>'
    (study / 'gt.json').write_text(json.dumps(truth))
    page = report('--groups', 'organ', '--title', '</title><b>').read_text(encoding='utf-8')
    assert page.count('<script') == 2 and '<b>' not in page
    assert (
        'organ=</script><script>alert(1)</script>'
        in json.loads(_Parts(page).parts['data'])['groups']
    )


def test_eval_froc_writes_the_same_page(load_tool, study):
    main = load_tool('analysis_tools/eval_froc.py').main
    page = study / 'page.html'
    arguments = ['deeplesion', f'--gt={study}/gt.json', f'--pred={study}/first.json']
    arguments += [f'--out={study}/out', f'--report={page}']
    with pytest.raises(SystemExit, match='give their folder as --images'):
        main(arguments)
    main([*arguments, f'--images={study}/Images_png', '--groups', 'organ'])
    data = json.loads(_Parts(page.read_text(encoding='utf-8')).parts['data'])
    assert data['groups'] == {'organ=liver': [0], 'organ=lung': [1, 2, 3]}
    assert data['runs'][0]['scores']['tp'] == [0.9, 0.4]
    froc = read_json(study / 'out' / 'froc.json')
    assert data['comparison'][0]['value'][-1] == pytest.approx(froc['mean'])


@pytest.fixture
def luna16(load_tool, tmp_path):
    """The page of three scans with two nodules and a finding that is ignored."""
    lists = {
        'series': ['a', 'b', 'c'],
        'gt': [
            'seriesuid,coordX,coordY,coordZ,diameter_mm',
            'a,10,20,-30,8',
            'b,0,0,0,20',
        ],
        'excluded': ['seriesuid,coordX,coordY,coordZ,diameter_mm', 'c,5,5,5,-1'],
        'pred': [
            'seriesuid,coordX,coordY,coordZ,probability',
            'b,0,3,0,0.9',
            'c,-40,7.25,5,0.8',
            'c,5,6,5,0.7',
            'a,1,2,3,0.6',
        ],
    }
    arguments = ['luna16', f'--out={tmp_path}/out', f'--report={tmp_path}/page.html']
    for name, lines in lists.items():
        (tmp_path / f'{name}.csv').write_text('\n'.join(lines))
        arguments += [f'--{name}', f'{tmp_path}/{name}.csv']
    load_tool('analysis_tools/eval_froc.py').main([*arguments, '--groups', 'diameter'])
    return tmp_path / 'page.html'


def test_page_of_scans_has_tables(luna16):
    data = json.loads(_Parts(luna16.read_text(encoding='utf-8')).parts['data'])
    assert data['item'] == 'scan' and data['fpRates'] == list(PER_SCAN_FP_RATES)
    assert data['pictures'] == [] and data['tables']['why'].startswith('No pictures: ')
    assert data['sizes'] == [8, 20, 10] and data['sizeUnit'] == 'mm'
    assert data['tables']['lesions']['name'] == ['a', 'b', 'c']
    assert data['tables']['lesions']['place'][0] == '10.0, 20.0, -30.0 mm'
    wrong = [dict(name='c', place='-40.0, 7.2, 5.0 mm', score=0.8)]
    wrong.append(dict(name='a', place='1.0, 2.0, 3.0 mm', score=0.6))
    assert data['tables']['falsePositives'] == [wrong]
    assert data['runs'][0]['foundScore'] == [None, 0.9, 0.7]
    assert data['runs'][0]['overlap'] == [None] * 3
    assert data['groups'] == {'<10 mm': [0], '10-30 mm': [1], '>30 mm': []}
    froc = read_json(luna16.parent / 'out' / 'froc.json')
    assert data['comparison'][0]['value'][-1] == pytest.approx(froc['mean'])


def test_tables_in_a_browser(luna16, browser):
    browser.open(luna16.as_uri())
    text = "document.getElementById('{}').textContent".format
    # one false positive per scan allows both
    assert 'c-40.0, 7.2, 5.0 mm0.800a1.0, 2.0, 3.0 mm0.600' in browser.run(text('findings'))
    assert browser.run(text('shown')) == '2 of 2'
    assert '3 scans of 3 patients' in browser.run(text('test-set'))
    browser.run(
        "let q = document.getElementById('question'); q.value = 'missed'; "
        "q.dispatchEvent(new Event('change'))"
    )
    assert 'a10.0, 20.0, -30.0 mmnever detected8.0–' in browser.run(text('findings'))
    options = "Array.from(document.getElementById('question').options, (o) => o.value).join()"
    assert browser.run(options) == 'fp,missed'


def test_page_of_sub_volumes(load_tool, tmp_path):
    truth = {'1_1_1_1-9': [[10, 10, 2, 19, 19, 5]], '2_1_1_1-9': []}
    found = {'1_1_1_1-9': [[10, 10, 2, 19, 18, 5, 0.9]], '2_1_1_1-9': [[0, 0, 1, 5, 6, 2, 0.8]]}
    for name, content in (('gt', truth), ('pred', found)):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    arguments = ['lens', f'--gt={tmp_path}/gt.json', f'--pred={tmp_path}/pred.json']
    main = load_tool('analysis_tools/eval_froc.py').main
    main([*arguments, f'--out={tmp_path}/out', f'--report={tmp_path}/page.html'])
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    data = json.loads(_Parts(page).parts['data'])
    assert data['item'] == 'sub-volume' and data['sizes'] == [400]
    wrong = dict(name='2_1_1_1-9', place='x 0 to 5, y 0 to 6, slices 1 to 2', score=0.8)
    assert data['tables']['falsePositives'] == [[wrong]]
    assert data['runs'][0]['overlap'] == [1.0]  # of the detected box, by LENS' rule


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--num', '0'], '--num is 0: give at least 1'),
        (['--out', 'report.pdf'], 'give a file name in .html'),
        (['--groups', 'color'], 'no lesion has the field color'),
        (['--images', '/nowhere'], 'no such slice'),
        (['--pred', 'a.json', 'a.json'], 'two runs are called'),
        (['--pred', 'nowhere.json'], 'No such file'),
    ],
)
def test_bad_input_is_one_line(report, study, options, message):
    with pytest.raises(SystemExit, match=message) as end:
        report(*options)
    assert '\n' not in str(end.value)
    assert not (study / 'out').exists()


def test_in_a_browser(report, browser):
    """Open, move the slider, ask for missed lesions, click one: the slice shown is the lesion's."""
    path = report('--groups', 'organ')
    browser.open(path.as_uri())
    text = "document.getElementById('{}').textContent".format
    assert browser.run('document.title') == 'Lesion detection'
    # one false positive per image allows all, so the threshold is the lowest score
    assert browser.run(text('threshold-value')) == '0.300'
    assert browser.run(text('operating-point')).count('2 of 3') == 1
    browser.run(
        "let r = document.getElementById('threshold'); r.value = 0; "
        "r.dispatchEvent(new Event('input'))"
    )
    assert browser.run(text('threshold-value')) == '0.900'  # above the first false positive
    assert 'organ=lung200.000' in browser.run(text('groups'))
    browser.run(
        "let q = document.getElementById('question'); q.value = 'missed'; "
        "q.dispatchEvent(new Event('change'))"
    )
    assert browser.run("document.querySelectorAll('.card').length") == 2
    browser.run("document.querySelector('.card[aria-label^=P2]').click()")
    assert browser.run("document.getElementById('viewer').open") is True
    assert browser.run(text('viewer-title')) == 'P2_01_01/003.png'
    assert 'never detected, 100 mm²' in browser.run(text('viewer-text'))
    browser.press('ArrowRight')
    assert browser.run(text('viewer-title')) == 'P1_01_01/002.png'
    browser.press('Escape')
    assert browser.run("document.getElementById('viewer').open") is False
    address = browser.run('location.href')
    assert 'show=missed' in address
    browser.open(address)
    assert browser.run("document.getElementById('question').value") == 'missed'
    outside = [url for url in browser.requests if not url.startswith(('file:', 'data:', 'about:'))]
    assert outside == []

"""compare_froc.py on scores that eval_froc.py wrote."""

import json
from pathlib import Path

import pytest

ANALYSIS = Path(__file__).parents[2] / 'tools' / 'analysis_tools'


@pytest.fixture
def scores(load_tool, tmp_path):
    """froc.json of detectors that find 2, 8 and 8 of ten lesions, five patients' two slices."""
    evaluate = load_tool(ANALYSIS / 'eval_froc.py').main
    images = [{'id': number, 'patient_id': number // 2} for number in range(10)]
    lesions = [{'id': n, 'image_id': n, 'bbox': [0, 0, 9, 9], 'category_id': 1} for n in range(10)]
    truth = {'images': images, 'annotations': lesions, 'categories': [{'id': 1, 'name': 'lesion'}]}
    (tmp_path / 'gt.json').write_text(json.dumps(truth))

    def score(name, found):
        results = [{'image_id': n, 'bbox': [0, 0, 9, 9], 'score': 0.9} for n in found]
        (tmp_path / 'pred.json').write_text(json.dumps(results))
        files = ['--gt', tmp_path / 'gt.json', '--pred', tmp_path / 'pred.json']
        evaluate(['deeplesion', *map(str, files), '--out', str(tmp_path / name)])
        return tmp_path / name / 'froc.json'

    found = {'a': [0, 5], 'b0': [*range(8)], 'b1': [*range(2, 10)]}
    return {name: score(name, numbers) for name, numbers in found.items()}


@pytest.fixture
def compare(load_tool):
    module = load_tool(ANALYSIS / 'compare_froc.py')
    return lambda *args: module.main([str(arg) for arg in args])


def test_two_rows(compare, scores, tmp_path, capsys):
    out = tmp_path / 'out'
    pattern = tmp_path / 'b*' / 'froc.json'
    compare(f'A={scores["a"]}', f'B={pattern}', '--draws', 200, '--out', out)
    table = capsys.readouterr().out
    assert (out / 'comparison.md').read_text(encoding='utf-8') in table
    assert '| B | 2 | 0.800 |' in table and '10 lesions' in table
    result = json.loads((out / 'comparison.json').read_text())
    assert result['rows']['B']['run_means'] == pytest.approx([0.8, 0.8])
    assert result['differences']['B']['value'] == pytest.approx([0.6] * 8)
    assert (out / 'comparison.png').read_bytes()[:4] == b'\x89PNG'
    compare(f'A={scores["a"]}', f'B={pattern}', '--draws', 200, '--out', tmp_path / 'again')
    assert (tmp_path / 'again' / 'comparison.md').read_text(encoding='utf-8') == (
        out / 'comparison.md'
    ).read_text(encoding='utf-8')


def test_bad_input(compare, scores, tmp_path):
    out = ('--out', tmp_path / 'out')
    with pytest.raises(SystemExit, match="error: A=.*none: no file matches '.*none'"):
        compare(f'A={tmp_path / "none"}', *out)
    with pytest.raises(SystemExit, match='two rows are named A'):
        compare(f'A={scores["a"]}', f'A={scores["b0"]}', *out)
    with pytest.raises(SystemExit, match='--reference C is none of the rows A'):
        compare(f'A={scores["a"]}', '--reference', 'C', *out)
    with pytest.raises(SystemExit, match='--draws is 0: give 1'):
        compare(f'A={scores["a"]}', '--draws', 0, *out)
    cases = scores['a'].with_suffix('.cases.json')
    content = json.loads(cases.read_text())
    cases.write_text(json.dumps({**content, 'fp_levels': [1, 2]}))
    with pytest.raises(SystemExit, match='differ in "fp_levels"'):
        compare(f'A={scores["a"]}', f'B={scores["b0"]}', *out)
    for broken in ({'patient': [99] * 10}, {'lesion_item': [10**9] * 10}, {'fp_point': 'x'}):
        cases.write_text(json.dumps({**content, **broken}))
        with pytest.raises(SystemExit, match='is not the cases of a FROC curve'):
            compare(f'A={scores["a"]}', *out)
    cases.unlink()
    with pytest.raises(SystemExit, match='test again with outfile_prefix'):
        compare(f'A={scores["a"]}', *out)
    assert not (tmp_path / 'out').exists()

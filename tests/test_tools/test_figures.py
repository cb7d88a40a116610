def test_figures_of_a_small_tree(load_tool, tmp_path):
    (tmp_path / 'mmlesion/room').mkdir(parents=True)
    (tmp_path / 'mmlesion/__init__.py').write_text('"""A package."""\n')
    (tmp_path / 'mmlesion/room/one.py').write_text(
        '"""A module,\n\nof three lines."""\n\nfrom typing import NamedTuple\n\n\n'
        'class Row(NamedTuple):\n    a: int\n\n\n'
        'def _helper():\n    # why\n    raise ValueError\n\n\ndef call():\n    return _helper()\n'
    )
    found = load_tool('dev/figures.py').figures(tmp_path)
    assert found['modules'] == 1 and found['lines'] == 19 and found['of docstrings'] == 4
    assert found['record types'] == found['raise'] == found['private functions named once'] == 1
    assert found['lines in room/'] == 18 and found['lines in tests'] == 0

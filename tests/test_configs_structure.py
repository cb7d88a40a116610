"""Configs can be followed: few levels of `_base_`, and transforms by name instead of position."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(ROOT.rglob('*.py'))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


def bases(path: Path) -> list[str]:
    """The names in a config's `_base_`."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            names = ast.literal_eval(node.value)
            return [names] if isinstance(names, str) else names
    return []


def levels(path: Path) -> int:
    """How many files one after the other a value may come through; mmdet's own count as one."""
    below = [
        0 if name.startswith('mmdet::') else levels((path.parent / name).resolve())
        for name in bases(path)
    ]
    return 1 + max(below) if below else 0


def positions(path: Path) -> list[str]:
    """Parts of lists that are taken by their position, such as `train_pipeline[4]`."""
    taken = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Subscript)]
    return [
        ast.unparse(node)
        for node in taken
        if isinstance(node.slice, (ast.Slice, ast.UnaryOp))
        or (isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int))
    ]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_few_levels_and_no_positions(path):
    assert levels(path) <= 3
    assert not positions(path)


def test_what_is_counted(tmp_path):
    (tmp_path / 'a.py').write_text("_base_ = 'mmdet::x.py'\n")
    (tmp_path / 'b.py').write_text(
        "_base_ = ['./a.py', './c.py']\nx = [y[0], *y[1:], z['w'], y[-1]]\n"
    )
    (tmp_path / 'c.py').write_text('x = 1\n')
    assert [levels(tmp_path / name) for name in ('a.py', 'b.py', 'c.py')] == [1, 2, 0]
    assert set(positions(tmp_path / 'b.py')) == {'y[0]', 'y[1:]', 'y[-1]'}

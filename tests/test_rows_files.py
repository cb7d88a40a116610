"""The tables' rows in configs/rows: each is read, and its options fit its config."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from mmlesion.utils import UserError
from mmlesion.utils.configs import load_config

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / 'configs' / 'rows').glob('*.yml'))


@pytest.fixture
def read_rows(load_tool, monkeypatch):
    monkeypatch.chdir(ROOT)
    return load_tool('run_rows.py').read_rows


@pytest.fixture
def numbered(load_tool):
    return load_tool('run_rows.py').numbered


def test_a_part_of_a_list_is_named_by_its_type(numbered):
    config = dict(hooks=[dict(type='A'), dict(type='B', c=dict(d=1))], model=dict(a=1))
    assert numbered(config, 'hooks.B.c.d') == 'hooks.1.c.d'
    assert numbered(config, 'hooks.0.x') == 'hooks.0.x'
    assert numbered(config, 'model.new.part') == 'model.new.part'
    with pytest.raises(UserError, match='hooks.C.x: the list has 0 parts'):
        numbered(config, 'hooks.C.x')


def parent_of(config, key):
    """The part of a config that an option's last name belongs to."""
    for name in key.split('.')[:-1]:
        config = config[int(name)] if isinstance(config, (list, tuple)) else config[name]
    return config


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_options_fit_the_configs(read_rows, numbered, path):
    rows, seeds, reference = read_rows(path)
    assert len(seeds) >= 3 and reference in rows
    for row in rows.values():
        plain = load_config(row.config)
        options = {**row.options, **row.test_options}
        options = {numbered(plain, key): value for key, value in options.items()}
        config = load_config(row.config, options)
        for key, value in options.items():
            name = key.rsplit('.', 1)[-1]
            parent = parent_of(config, key)
            assert parent[int(name) if isinstance(parent, (list, tuple)) else name] == value, key
        # a typing error in an option's path would make an entry that nothing reads
        unchanged = load_config(row.config)
        for key in options:
            if not key.startswith('default_hooks.'):  # a hook may be new
                assert parent_of(unchanged, key) is not None, key
            if key.startswith('custom_hooks.'):  # of a hook that has such an option
                assert key.rsplit('.', 1)[-1] in parent_of(unchanged, key), key


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_models_of_rows_with_options_of_the_model_build(read_rows, numbered, path):
    rows, _, _ = read_rows(path)
    for row in rows.values():
        options = {**row.options, **row.test_options}
        if not any(key.startswith('model.') for key in options):
            continue
        plain = load_config(row.config)
        options = {numbered(plain, key): value for key, value in options.items()}
        model = load_config(row.config, options).model
        with torch.device('meta'):
            assert MODELS.build(model) is not None

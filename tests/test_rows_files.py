"""The tables' rows in configs/rows: each is read, and its options fit its config."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from mmlesion.utils.configs import load_config

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / 'configs' / 'rows').glob('*.yml'))


@pytest.fixture
def read_rows(load_tool, monkeypatch):
    monkeypatch.chdir(ROOT)
    return load_tool('run_rows.py').read_rows


def parent_of(config, key):
    """The part of a config that an option's last name belongs to."""
    for name in key.split('.')[:-1]:
        config = config[int(name)] if isinstance(config, (list, tuple)) else config[name]
    return config


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_options_fit_the_configs(read_rows, path):
    rows, seeds, reference = read_rows(path)
    assert len(seeds) >= 3 and reference in rows
    for row in rows.values():
        options = {**row.options, **row.test_options}
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
            if key.startswith('custom_hooks.'):  # by its position, where another one may be now
                assert key.rsplit('.', 1)[-1] in parent_of(unchanged, key), key


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_models_of_rows_with_options_of_the_model_build(read_rows, path):
    rows, _, _ = read_rows(path)
    for row in rows.values():
        options = {**row.options, **row.test_options}
        if not any(key.startswith('model.') for key in options):
            continue
        model = load_config(row.config, options).model
        with torch.device('meta'):
            assert MODELS.build(model) is not None

"""Configs that are parsed once are what mmengine makes of them."""

from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs' / 'phantom'
DETECTOR = CONFIGS / 'baselines/faster-rcnn_r18_fpn_phantom.py'
OF_FOLD = CONFIGS / 'aggregated_rcnn3d/aggregated-rcnn3d_dense-unet_luna16-phantom.py'


def test_a_change_stays_with_the_copy():
    one = Config.fromfile(DETECTOR)
    one.model.backbone.depth = 17
    one.model.neck.in_channels.append(3)
    other = Config.fromfile(DETECTOR)
    assert other.model.backbone.depth == 18
    assert other.model.neck.in_channels == [32, 64, 128, 256]


def test_variables_of_the_environment_are_read_each_time(monkeypatch):
    monkeypatch.delenv('LUNA16_FOLD', raising=False)
    folds = [Config.fromfile(OF_FOLD).fold]
    for fold in ('0', '3'):
        monkeypatch.setenv('LUNA16_FOLD', fold)
        folds.append(Config.fromfile(OF_FOLD).fold)
    assert folds == [(0, 1, 2, 3, 4), 0, 3]


def test_the_text_can_be_loaded_again(tmp_path):
    cfg = Config.fromfile(DETECTOR)
    cfg.dump(tmp_path / 'config.py')
    assert Config.fromfile(tmp_path / 'config.py').to_dict() == cfg.to_dict()


def test_a_file_that_is_edited_is_read_again(tmp_path):
    path = tmp_path / 'config.py'
    for value in (1, 2):
        path.write_text(f"_base_ = '{DETECTOR}'\nvalue = {value}\n")
        assert Config.fromfile(path).value == value

from types import SimpleNamespace

from mmdet.registry import HOOKS
from mmengine.visualization import Visualizer

import mmlesion  # noqa: F401 (registers mmlesion's components)


def test_the_runner_s_visualizer_draws():
    """Not that of another runner, made later in the same process."""
    Visualizer.get_instance('of_another_runner')
    hook = HOOKS.build(dict(type='LesionVisualizationHook', draw=True))
    runner = SimpleNamespace(visualizer=object())
    hook.before_run(runner)
    assert hook._visualizer is runner.visualizer

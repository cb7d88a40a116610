import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / 'mmlesion'

# The package's own __init__ is left out: the test is of this folder and what it imports.
PROBE = """
import sys, types
package = types.ModuleType('mmlesion')
package.__path__ = [sys.argv[1]]
sys.modules['mmlesion'] = package
import mmlesion.structures, mmlesion.structures.ct_volume
print(sorted({'torch', 'mmcv', 'mmdet', 'mmengine'} & set(sys.modules)))
import mmlesion.structures.spheres
print(sorted({'torch', 'mmdet'} & set(sys.modules)))
"""


def test_only_spheres_need_the_framework():
    command = [sys.executable, '-c', PROBE, str(PACKAGE)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == ['[]', "['mmdet', 'torch']"]

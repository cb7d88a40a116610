import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROBE = """
import sys
import mmlesion.structures, mmlesion.structures.ct_volume
print(sorted({'torch', 'mmcv', 'mmdet', 'mmengine'} & set(sys.modules)))
import mmlesion.structures.spheres
print(sorted({'torch', 'mmdet'} & set(sys.modules)))
"""


def test_only_spheres_need_the_framework():
    command = [sys.executable, '-c', PROBE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ['[]', "['mmdet', 'torch']"]

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name):
    """The lines of a requirements file, without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    name='mmlesion',
    version=re.search(r"'(.+)'", (ROOT / 'mmlesion/version.py').read_text()).group(1),
    description='Lesion detection in CT on MMDetection',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmlesion', 'mmlesion.*']),
    package_data={'mmlesion.report': ['assets/*']},
    python_requires='>=3.9',
    # The mm* packages stay out of install_requires, as in mmdet: forks of them share their names.
    install_requires=requirements('runtime'),
    extras_require={
        'dicom': requirements('dicom'),
        'mim': requirements('mminstall'),
        'tests': requirements('tests'),
    },
)

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MIM_FOLDERS = ('configs', 'tools')


class BuildWithMim(build_py):
    """Put configs and tools into ``mmlesion/.mim``, where mmengine and mim look for them."""

    def run(self):
        super().run()
        if self.editable_mode:
            fill_mim(ROOT / 'mmlesion/.mim', link)
        else:
            fill_mim(Path(self.build_lib) / 'mmlesion/.mim', copy)


def fill_mim(folder, put):
    """Make the folder anew, so that no file of an earlier build stays in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in MIM_FOLDERS:
        put(ROOT / name, folder / name)
    write_index(folder)


def write_index(folder):
    """List all configs, as mim searches for them."""
    (folder / 'model-index.yml').write_text('Import:\n  - metafile.yml\n')
    configs = sorted(path.relative_to(ROOT) for path in (ROOT / 'configs').rglob('*.py'))
    configs = [path for path in configs if '_base_' not in path.parts]
    pages = sorted(path.relative_to(ROOT) for path in (ROOT / 'configs').rglob('README.md'))
    lines = ['Collections:']
    lines += [f'  - Name: {page.parent.name}\n    README: {page.as_posix()}' for page in pages]
    lines.append('Models:')
    for path in configs:
        collection = path.parent.name
        lines.append(f'  - Name: {path.stem}\n    In Collection: {collection}')
        lines.append(f'    Config: {path.as_posix()}')
    (folder / 'metafile.yml').write_text('\n'.join(lines) + '\n')


def link(source, target):
    try:
        target.symlink_to(os.path.relpath(source, target.parent))
    except OSError:  # Windows without the right to make links
        copy(source, target)


def copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
    else:
        shutil.copyfile(source, target)


def requirements(name):
    """The lines of a requirements file, without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    name='mmlesion',
    version=re.search(r"'(.+)'", (ROOT / 'mmlesion/version.py').read_text()).group(1),
    description='Lesion detection in CT on MMDetection',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='mmlesion maintainers',
    keywords='computer vision, object detection, lesion detection, CT, medical imaging',
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.9',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Topic :: Scientific/Engineering :: Medical Science Apps.',
    ],
    packages=find_packages(include=['mmlesion', 'mmlesion.*']),
    package_data={'mmlesion': ['weights/*'], 'mmlesion.report': ['assets/*', 'vendor/*/*']},
    entry_points={'console_scripts': ['mmlesion=mmlesion.__main__:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
    python_requires='>=3.9',
    # The mm* packages stay out of install_requires, as in mmdet: forks of them share their names.
    install_requires=requirements('runtime'),
    extras_require={
        'dicom': requirements('dicom'),
        'mim': requirements('mminstall'),
        'onedl': requirements('onedl'),
        'tests': requirements('tests'),
    },
)

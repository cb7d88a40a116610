import functools
import gc
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

# helpers of tests, which importlib's mode of importing does not find
sys.path.insert(0, str(Path(__file__).parent / 'helpers'))
# packages beside tools, as where these run as scripts
for folder in ('dataset_converters', 'benchmarks'):
    sys.path.append(str(Path(__file__).parents[1] / 'tools' / folder))

import forked_programs  # noqa: E402
import parsed_configs  # noqa: E402

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / 'tools'


@pytest.fixture(autouse=True)
def mmdet_scope():
    """A Runner leaves its own default scope behind; each test begins in mmdet's."""
    init_default_scope('mmdet')


def pytest_collection_finish():
    """Spare the garbage collector all that test modules have imported.

    mmengine collects garbage for each dataset that it builds: that would visit millions of objects.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def fast_configs():
    """Parse no config of the repository twice."""
    with parsed_configs.parsed_once():
        yield


@functools.cache
def import_script(path):
    """The module of a script, which is loaded once."""
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass looks its module up while it is made
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def load_tool():
    """Import a script by its path, which may be relative to ``tools``."""
    return lambda path: import_script(TOOLS / path)


@pytest.fixture(scope='session')
def run_tool(load_tool):
    """Run a script, named as for ``load_tool``, in this process with these arguments."""

    def run(path, *arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
            load_tool(path).main()

    return run


@pytest.fixture(scope='session')
def launch():
    """Run a script in processes that gloo joins, as ``torchrun`` does; they must end well."""
    return forked_programs.launch


def ramp_hu(index, height=24, width=32):
    """HU of one slice of a series that is linear in z, y and x, so that interpolation is exact."""
    y, x = np.mgrid[:height, :width]
    return 100 * index + 2 * y + x - 1000


def write_slice(path, hu):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), (hu + 32768).astype(np.uint16))


def annotation(ann_id, image_id, bbox, **extra):
    x, y, w, h = bbox
    return dict(
        id=ann_id, image_id=image_id, bbox=bbox, area=w * h, iscrowd=0, category_id=1, **extra
    )


class RampDataset:
    """Series of ramps in DeepLesion's layout, with an annotation file, in a folder."""

    def __init__(self, root):
        self.root = root
        self.images_dir = root / 'Images_png'
        self.content = dict(images=[], annotations=[], categories=[dict(id=1, name='lesion')])

    def add_image(self, key=6, first=3, last=9, interval=2.0, size=(24, 32), missing=()):
        """Write slices first..last but ``missing``, whose key slice becomes an image."""
        height, width = size
        image_id = len(self.content['images']) + 1
        series = f'{image_id:06d}_01_02'
        for index in range(first, last + 1):
            if index not in missing:
                path = self.images_dir / series / f'{index:03d}.png'
                write_slice(path, ramp_hu(index, height, width))
        image = dict(
            id=image_id,
            file_name=f'{series}/{key:03d}.png',
            height=height,
            width=width,
            spacing=[0.8, 0.8],
            slice_interval=interval,
            slice_index=key,
            slice_range=[first, last],
            patient_id=image_id,
            study_id=1,
            series_id=2,
            windows=[[-600.0, 200.0]],
        )
        self.content['images'].append(image)
        return image

    def add_lesion(self, image_id, bbox, **extra):
        annotations = self.content['annotations']
        annotations.append(annotation(len(annotations) + 1, image_id, bbox, **extra))

    def write(self, name='train.json'):
        path = self.root / name
        path.write_text(json.dumps(self.content))
        return path

    def sample(self, image):
        """What a dataset passes to the loader."""
        return dict(image, img_path=str(self.images_dir / image['file_name']))


@pytest.fixture
def ramp_dataset(tmp_path):
    return RampDataset(tmp_path)


@pytest.fixture
def ramp():
    return ramp_hu


@pytest.fixture
def two_studies(tmp_path):
    """A patient with two studies of ten slices; the first has one annotated lesion, on slice 5.

    The lesion is a bright square of 10 px at (10, 10) on slices 4 to 6 of either study. A brighter
    one at (40, 30) on slice 2 of the first is annotated nowhere.
    """
    for study in (1, 2):
        for number in range(1, 11):
            image = np.full((60, 60), 32768, np.uint16)
            if 4 <= number <= 6:
                image[10:20, 10:20] += 100
            if study == 1 and number == 2:
                image[30:40, 40:50] += 200
            path = tmp_path / 'images' / f'000001_0{study}_01' / f'{number:03d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    box = dict(bbox=[10, 10, 10, 10], area=100, iscrowd=0, category_id=1, lesion_type=4)
    noisy = dict(box, bbox=[30, 5, 10, 10], noisy=1)
    coco = dict(
        images=[_slice_of_study(7, 1, 5), _slice_of_study(8, 2, 5)],
        annotations=[dict(box, id=3, image_id=7), dict(noisy, id=4, image_id=8)],
        categories=[dict(id=1, name='lesion')],
    )
    (tmp_path / 'train.json').write_text(json.dumps(coco))
    return tmp_path


def _slice_of_study(image_id, study, number):
    return dict(
        id=image_id,
        file_name=f'000001_0{study}_01/{number:03d}.png',
        height=60,
        width=60,
        spacing=[0.8, 0.8],
        slice_interval=2.0,
        slice_index=number,
        slice_range=[1, 10],
        patient_id=1,
        study_id=study,
        series_id=1,
    )

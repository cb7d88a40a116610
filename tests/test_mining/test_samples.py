from mmlesion.io.json_files import read_json
from mmlesion.io.series import list_series
from mmlesion.mining.samples import pipeline_sample


def test_sample_is_that_of_the_dataset(two_studies):
    from mmdet.registry import DATASETS

    dataset = DATASETS.build(
        dict(
            type='CTSliceDataset',
            ann_file=str(two_studies / 'train.json'),
            data_prefix=dict(img=str(two_studies / 'images')),
            test_mode=True,
        )
    )
    expected = dataset.get_data_info(0)
    coco = read_json(two_studies / 'train.json')
    volume = list_series(coco, two_studies / 'images')[0]
    sample = pipeline_sample(volume.image(4), two_studies / 'images')
    assert {**sample, 'instances': None} == {
        key: None if key == 'instances' else expected[key] for key in sample
    }

import torch

from mmlesion.models.backbones.shared_features_backbone import FeatureCache, unique_images


def squares(images):
    return images**2, images.flatten(1).sum(1, keepdim=True)


def check(cache, images, computed):
    for found, expected in zip(cache(images), squares(images)):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert cache.computed == computed


def test_each_image_is_computed_once():
    torch.manual_seed(0)
    volume = torch.rand(9, 3, 4, 5)
    cache = FeatureCache(squares, 4)
    check(cache, volume[[0, 1, 0, 2]], 3)
    check(cache, volume[[1, 2, 3]], 4)
    check(cache, volume[[4, 5, 6, 7]], 8)  # 1 to 3 are left behind
    check(cache, volume[[3, 7]], 9)


def test_a_call_may_have_more_images_than_are_kept():
    volume = torch.rand(5, 2, 2)
    cache = FeatureCache(squares, 1)
    check(cache, volume[[0, 1, 2, 3, 0]], 4)
    check(cache, volume[[3, 4]], 6)  # 0 is the one that is kept


def test_images_of_the_same_sum_are_others(monkeypatch):
    """Of equal checksums the values decide."""
    monkeypatch.setattr(
        'mmlesion.models.backbones.shared_features_backbone._checksums', lambda x: [(0, 0)] * len(x)
    )
    cache = FeatureCache(squares, 8)
    images = torch.arange(8.0).reshape(4, 2)
    check(cache, images[[0, 1, 0]], 2)
    check(cache, images[[0, 2]], 3)


def test_swapped_rows_and_other_types():
    image = torch.arange(12.0).reshape(1, 3, 4)
    for dtype in (torch.float16, torch.float32, torch.float64):
        check(FeatureCache(squares, 8), torch.cat([image, image.flip(1), image]).to(dtype), 2)


def test_what_is_kept_does_not_change_with_the_input():
    image = torch.ones(1, 2, 2)
    cache = FeatureCache(squares, 2)
    check(cache, image, 1)
    image += 1
    check(cache, image, 2)


def test_unique_images():
    volume = torch.rand(3, 2, 2)
    assert unique_images(volume[[2, 0, 2, 1, 0]]) == ([0, 1, 3], [0, 1, 0, 2, 1])

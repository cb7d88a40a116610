from mmdet.registry import DATA_SAMPLERS

GROUPS = ['a', 'b', 'a', 'c', 'a']


class Lesions:
    def __len__(self):
        return len(GROUPS)

    def get_data_info(self, index):
        return dict(lesion_group=GROUPS[index])


def sampler(**options):
    return DATA_SAMPLERS.build(dict(type='LesionPairSampler', dataset=Lesions(), **options))


def test_pairs_are_of_one_lesion_and_of_two_annotations_where_there_are():
    indices = list(sampler(seed=0))
    pairs = list(zip(indices[::2], indices[1::2]))
    assert sorted(first for first, _ in pairs) == list(range(5))
    for first, second in pairs:
        assert GROUPS[first] == GROUPS[second]
        assert (first == second) == (GROUPS[first] != 'a')


def test_length_and_seeds():
    one, same, other = sampler(seed=1), sampler(seed=1), sampler(seed=2)
    assert len(one) == len(list(one)) == 10
    assert list(one) == list(one) == list(same) != list(other)
    one.set_epoch(1)
    assert list(one) != list(same)
    same.set_epoch(1)
    assert list(one) == list(same)

from harness.timing import Rounds, Seconds, interleave, time_call


def test_rounds_change_direction_and_leave_the_warm_up_out():
    calls = []
    functions = {name: lambda name=name: calls.append(name) or len(calls) for name in 'ab'}
    rounds = interleave(functions, runs=2, warmup=1)
    assert calls == ['b', 'a', 'a', 'b', 'b', 'a']
    assert rounds == [dict(a=3, b=4), dict(a=6, b=5)]


def test_ratio_is_the_median_of_ratios():
    rounds = Rounds([dict(a=1, b=2), dict(a=10, b=40), dict(a=2, b=6)])
    assert rounds.median_ratio('b', 'a') == 3
    assert rounds.median('b') == 6
    tenth = Rounds([dict(a=[0, 1], b=[0, 10])])
    assert tenth.median_ratio('a', 'b', lambda result: result[1]) == 0.1


def test_time_of_a_call():
    result, seconds = time_call(sum, range(10**6))
    assert result == 499999500000
    assert 0 < seconds.processor and 0 < seconds.wall < 10
    assert seconds + Seconds(1, 2) == Seconds(seconds.wall + 1, seconds.processor + 2)


def test_parts_of_two_detectors():
    def timed(feature_seconds):
        features, others = Seconds(feature_seconds, 2 * feature_seconds), Seconds(1.0, 1.0)
        return dict(features=features, rpn=others, roi_head=others, total=features)

    rounds = Rounds([dict(a=timed(1.0), b=timed(3.0)), dict(a=timed(2.0), b=timed(10.0))])
    assert rounds.part_medians('b', 'wall') == dict(features=6.5, rpn=1, roi_head=1, total=6.5)
    assert rounds.part_medians('b', 'processor')['total'] == 13
    assert rounds.total_ratios('b', 'a') == dict(wall=4, processor=4)

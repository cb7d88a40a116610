import math
import statistics
import threading
import time
from types import SimpleNamespace

import pytest
from harness.timing import StageClock


def make_program():
    program = SimpleNamespace()
    program.inner = lambda: time.sleep(0.05)

    def outer():
        time.sleep(0.02)
        program.inner()
        program.inner()

    program.outer = outer
    return program


def rows_of(clock):
    return {(row['stage'], row['beside']): row for row in clock.rows()}


def test_a_stage_is_without_those_that_it_calls():
    program = make_program()
    before = program.outer
    clock = StageClock()
    clock.add('outer', program, 'outer')
    clock.add('inner', program, 'inner')
    with clock.running():
        program.outer()
        time.sleep(0.03)
    rows = rows_of(clock)
    assert program.outer is before
    assert rows['inner', False]['calls'] == 2
    assert 0.1 <= rows['inner', False]['seconds'] < 0.1 + clock.total - 0.14
    assert rows['outer', False]['seconds'] >= 0.02
    assert rows['(rest)', False]['seconds'] >= 0.03
    assert sum(row['seconds'] for row in rows.values()) == pytest.approx(clock.total)
    assert sum(row['share'] for row in rows.values()) == pytest.approx(1)


def test_other_threads_are_told_apart():
    program = make_program()
    clock = StageClock()
    clock.add('inner', program, 'inner')
    with clock.running():
        thread = threading.Thread(target=lambda: program.inner())
        thread.start()
        thread.join()
    rows = rows_of(clock)
    assert rows['inner', True]['seconds'] >= 0.05
    assert rows['(rest)', False]['seconds'] == pytest.approx(clock.total)


def test_a_function_is_timed_in_all_modules_that_have_it(monkeypatch):
    monkeypatch.setattr(statistics, 'hypot', math.hypot, raising=False)
    clock = StageClock()
    clock.add_everywhere('hypot', math.hypot)
    with clock.running():
        assert math.hypot(3, 4) == statistics.hypot(3, 4) == 5
    assert rows_of(clock)['hypot', False]['calls'] == 2


def test_a_stage_that_fails_is_counted():
    program = SimpleNamespace(fail=lambda: 1 / 0)
    clock = StageClock()
    clock.add('fail', program, 'fail')
    with clock.running(), pytest.raises(ZeroDivisionError):
        program.fail()
    assert rows_of(clock)['fail', False]['calls'] == 1

import errno
import os
import time

import pytest

from mmlesion.io.atomic import _HOST, PARTIAL, atomic_folder, atomic_write, remove_partial
from mmlesion.io.schema import path_under
from mmlesion.utils import OutputError, UserError, cli

MINE = f'{PARTIAL}{_HOST}-'


def test_atomic_write_replaces_whole(tmp_path):
    path = tmp_path / 'new' / 'a.nii.gz'
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent and temporary.name.endswith('.nii.gz')
        temporary.write_text('whole')
        assert not path.exists()
    assert path.read_text() == 'whole'
    assert list(path.parent.iterdir()) == [path]


def test_atomic_write_leaves_the_old_file_on_error(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('old')
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text('half')
        _ = 1 / 0
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_folder_replaces_whole(tmp_path):
    path = tmp_path / 'new' / 'data'
    for name in ('old', 'whole'):
        with atomic_folder(path) as temporary:
            (temporary / name).write_text(name)
            assert temporary.parent == path.parent
        assert [child.name for child in path.iterdir()] == [name]
    assert list(path.parent.iterdir()) == [path]


def test_atomic_folder_leaves_the_old_one_on_error(tmp_path):
    path = tmp_path / 'data'
    path.mkdir()
    (path / 'old').touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(path) as temporary:
        (temporary / 'half').touch()
        _ = 1 / 0
    assert [child.name for child in tmp_path.rglob('*')] == ['data', 'old']


@pytest.fixture
def left(tmp_path):
    """A file and a folder that killed processes have left, one of them still being written."""
    (tmp_path / f'{MINE}x.json').touch()
    (tmp_path / f'{MINE}data-1').mkdir()
    (tmp_path / f'{MINE}data-1' / 'half').touch()
    (tmp_path / '.hidden').touch()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    return tmp_path


def test_what_a_killed_process_left_is_removed(left):
    with atomic_write(left / 'b.json') as other:
        os.utime(other, (0, 0))
        remove_partial(left)  # what is being written is locked
        assert sorted(path.name for path in left.iterdir()) == sorted(['.hidden', other.name])
    assert sorted(path.name for path in left.iterdir()) == ['.hidden', 'b.json']


def test_a_folder_removes_what_was_left_of_itself_alone(left):
    with atomic_folder(left / 'data') as other, atomic_folder(left / 'data'):
        assert other.is_dir()
    assert sorted(path.name for path in left.iterdir()) == ['.hidden', f'{MINE}x.json', 'data']


def test_what_was_made_just_now_is_not_removed(tmp_path):
    (tmp_path / f'{MINE}x.json').touch()
    remove_partial(tmp_path)
    assert (tmp_path / f'{MINE}x.json').exists()


@pytest.mark.parametrize(
    ('name', 'hours', 'kept'),
    [
        ('.part-mine', 1000, True),  # a user's
        (f'{PARTIAL}thesis', 1000, True),  # nothing that this package has named
        (f'{PARTIAL}other_host-x', 2, True),  # whose locks are not seen everywhere
        (f'{PARTIAL}other_host-x', 30, False),
        (f'{MINE}x', 2, False),
    ],
)
def test_what_is_removed_is_known_by_its_name(tmp_path, name, hours, kept):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'thesis.tex').touch()
    begun = time.time() - 3600 * hours
    os.utime(tmp_path / name, (begun, begun))
    remove_partial(tmp_path)
    assert (tmp_path / name / 'thesis.tex').exists() == kept


def test_path_under(tmp_path):
    assert path_under(tmp_path, 'a/001.png') == str(tmp_path / 'a/001.png')
    for name in ('../x.png', 'a/../../x.png', '/etc/passwd'):
        with pytest.raises(UserError, match='outside'):
            path_under(tmp_path, name)


def test_cli_turns_a_user_error_into_one_line():
    @cli
    def main():
        raise UserError('what, where, what to do')

    with pytest.raises(SystemExit, match='error: what, where, what to do'):
        main()


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OutputError, match='file/name.json cannot be written: .*exists'):
        with atomic_write(tmp_path / 'file' / 'name.json'):
            pass
    with pytest.raises(OutputError, match='folder cannot be written: .*No space left'):
        with atomic_folder(tmp_path / 'folder'):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file']

import errno
import os

import pytest

from mmlesion.io.atomic import atomic_folder, atomic_write, remove_partial
from mmlesion.io.schema import path_under
from mmlesion.utils import OutputError, UserError, cli


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
    (tmp_path / '.part-x.json').touch()
    (tmp_path / '.part-data-1').mkdir()
    (tmp_path / '.part-data-1' / 'half').touch()
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
    assert sorted(path.name for path in left.iterdir()) == ['.hidden', '.part-x.json', 'data']


def test_what_was_made_just_now_is_not_removed(tmp_path):
    (tmp_path / '.part-x.json').touch()
    remove_partial(tmp_path)
    assert (tmp_path / '.part-x.json').exists()


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

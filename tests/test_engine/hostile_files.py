"""Checkpoint files that attack whoever loads them, made by code."""

import importlib
import io
import os
import pickle
import struct
import tarfile
import zipfile
from copy import copy

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

numpy_core = importlib.import_module('numpy._core' if hasattr(np, '_core') else 'numpy.core')
multiarray, numeric = numpy_core.multiarray, numpy_core.numeric
POINTERS = struct.pack('<2Q', 0x4141414141414141, 0x4242424242424242)
OBJECT = np.dtype('O')
STORAGE = object()


class Calls:
    """An object that a pickle makes by a call, and sets the state of."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = function, arguments, state

    def __reduce__(self):
        return self.reduced


def array(dtype, data, shape=(2,), kind=np.ndarray):
    state = (1, shape, dtype, False, data)
    return Calls(multiarray._reconstruct, kind, (0,), b'b', state=state)


def objects(canary):
    """Objects to be pickled, by name."""
    record = np.dtype([('a', 'O')])
    forged = array(OBJECT, POINTERS)
    return dict(
        command=Calls(os.mkdir, canary),
        evaluated=Calls(eval, f'__import__("os").mkdir({canary!r})'),
        object_array=forged,
        object_array_in_history=Calls(
            HistoryBuffer, state=dict(_log_history=forged, _count_history=forged, max_length=1)
        ),
        object_scalar=Calls(multiarray.scalar, OBJECT, POINTERS[:8]),
        structured_array=array(record, POINTERS, (2,)),
        structured_scalar=Calls(multiarray.scalar, record, POINTERS[:8]),
        number_with_fields=array(
            Calls(np.dtype, 'f8', state=(3, '|', None, ('a',), {'a': (OBJECT, 0)}, 8, 8, 63)),
            POINTERS,
        ),
        text_array=array(np.dtype('U2'), POINTERS),
        array_without_data=array(np.dtype('f8'), b'', (1 << 40,)),
        array_of_too_many_bytes=array(np.dtype('f8'), b'0' * 800),
        array_of_negative_sides=array(np.dtype('f8'), POINTERS, (-1, -2)),
        array_of_a_list=array(OBJECT, [1, 2]),
        array_of_matrix=array(np.dtype('f8'), POINTERS, kind=np.matrix),
        array_built_directly=Calls(np.ndarray, (2,), 'O', POINTERS),
        buffer_of_objects=Calls(numeric._frombuffer, POINTERS, OBJECT, (2,), 'C'),
        attribute=Calls(getattr, HistoryBuffer, '__init__'),
        attribute_of_tensor=Calls(getattr, torch.Tensor, '__class__'),
        large_bytearray=Calls(bytearray, 1 << 40),
        large_set=Calls(set, b'a' * 10),
        tensor_class=Calls(torch.Tensor, 1 << 40),
        large_integer=1 << 1_000_000,
    )


def programs():
    """Pickle programs, by name."""
    deep, shared = b')' + b'\x85' * 100_000, b')' + b'q\x00h\x00\x86' * 200
    return dict(
        deep_key=b'\x80\x02}' + deep + b'K\x01s.',
        deep_value=b'\x80\x02}K\x01' + deep + b's.',
        deep_lists=b'\x80\x02' + b']' * 100_000 + b'a' * 99_999 + b'.',
        shared_key=b'\x80\x02}' + shared + b'K\x01s.',
        shared_value=b'\x80\x02}K\x01' + shared + b's.',
        shared_in_set=b'\x80\x04\x8f(' + shared + b'\x90.',
        shared_in_frozenset=b'\x80\x04(' + shared + b'\x91.',
        # 40 levels of pairs: not deep, but 2 ** 40 parts
        widely_shared=b'\x80\x02}K\x01)' + b'q\x00h\x00\x86' * 40 + b's.',
        list_in_itself=b'\x80\x02}K\x01]q\x00h\x00as.',
        nan_keys=b'\x80\x02}G\x7f\xf8\0\0\0\0\0\0K\x01s.',
        instance=b'(S"true"\nios\nsystem\n.',
        object_opcode=b'(cos\nsystem\nS"true"\no.',
        extension=b'\x80\x02\x82\x01.',
        dotted_name=b'\x80\x04\x8c\x0fcollections\n.os\x8c\x06system\x93)R.',
        long_bytearray=b'\x80\x05\x96' + struct.pack('<Q', 1 << 40) + b'.',
        state_of_dictionary=b'\x80\x02ccollections\nOrderedDict\n)R}X\x03\0\0\0getK\x01sb.',
        no_dictionary=b'\x80\x02]K\x01a.',
        called_number=b'\x80\x02K\x01)R.',
    )


def storage_program(numel=4, key='0', offset=0, size=(4,), stride=(1,), location='cpu'):
    """A pickle of one tensor of floats."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if item is STORAGE:
                return ('storage', torch.FloatStorage, key, location, numel)

    tensor = Calls(torch._utils._rebuild_tensor_v2, STORAGE, offset, size, stride, False, {})
    stream = io.BytesIO()
    Pickler(stream, 2).dump(dict(state_dict=dict(weight=tensor)))
    return stream.getvalue()


def tensors():
    """Pickles of tensors that do not fit their storage of 4 floats, by name."""
    return dict(
        storage_larger_than_file=storage_program(numel=1 << 40),
        storage_of_negative_size=storage_program(numel=-4),
        storage_smaller_than_file=storage_program(numel=2, size=(2,)),
        storage_missing=storage_program(key='1'),
        storage_elsewhere=storage_program(key='../../etc/passwd'),
        tensor_larger_than_storage=storage_program(size=(1 << 20,)),
        tensor_of_large_stride=storage_program(size=(2,), stride=(1 << 40,)),
        tensor_of_negative_stride=storage_program(size=(2,), stride=(-1,)),
        tensor_of_negative_offset=storage_program(offset=-1, size=(2,)),
        tensor_beyond_storage=storage_program(offset=3, size=(2,)),
        tensor_of_no_stride=storage_program(size=(1 << 40,), stride=(0,)),
        tensor_without_stride=storage_program(stride=()),
        tensor_of_other_numbers=storage_program(size=(True,), stride=(1.0,)),
    )


def write_zip(path, program, compression=zipfile.ZIP_STORED, extra=()):
    """Write a pickle and a storage of four floats as torch.save does."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', program)
        archive.writestr('archive/byteorder', 'little')
        archive.writestr('archive/data/0', bytes(16))
        archive.writestr('archive/version', '3\n')
        for name in extra:
            archive.writestr(f'archive/{name}', b'')
    return path


def write_overlapping(path):
    """A zip file many of whose members are the same bytes."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps({}, 2))
        archive.writestr('archive/data/0', bytes(1 << 16))
        for number in range(1, 99):
            member = copy(archive.getinfo('archive/data/0'))
            member.filename = f'archive/data/{number}'
            archive.filelist.append(member)
            archive.NameToInfo[member.filename] = member
    return path


def write_torchscript(path, prefix=b''):
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), stream)
    path.write_bytes(prefix + stream.getvalue())
    return path


def write_legacy(path, checkpoint):
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    return path


def write_tar(path, member_type, link=''):
    with tarfile.open(path, 'w') as archive:
        for name in ('sys_info', 'pickle', 'storages', 'tensors'):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = member_type, str(link), 0o600
            archive.addfile(member)
    return path


def write_all(folder, canary, victim):
    """Write all hostile files.

    Args:
        folder (Path): Where to.
        canary (Path): A folder that is made if code is run.
        victim (Path): A file that a tar's hard link aims at.

    Returns:
        dict[str, Path]: The files by name.
    """
    found = {}
    pickled = {name: pickle.dumps(dict(a=item), 2) for name, item in objects(str(canary)).items()}
    for name, program in {**pickled, **programs(), **tensors()}.items():
        found[name] = write_zip(folder / f'{name}.pth', program)
    for name, program in {**pickled, **programs()}.items():
        if name != 'no_dictionary':  # which is no fault in a pickle of arrays
            found[f'plain_{name}'] = folder / f'plain_{name}.pkl'
            found[f'plain_{name}'].write_bytes(program)
    for name in ('command', 'object_array', 'object_scalar'):
        file = folder / f'legacy_{name}.pth'
        found[f'legacy_{name}'] = write_legacy(file, dict(a=objects(str(canary))[name]))
    module = folder / 'legacy_module.pth'
    found['legacy_module'] = write_legacy(module, torch.nn.Linear(1, 1))
    source = module.read_bytes()
    at = source.index(b'class Linear')
    module.write_bytes(source[:at] + b'CLASS' + source[at + 5 :])
    empty = pickle.dumps({}, 2)
    found.update(
        tar_hard_link=write_tar(folder / 'link.pth', tarfile.LNKTYPE, victim),
        tar_fifo=write_tar(folder / 'fifo.pth', tarfile.FIFOTYPE),
        torchscript=write_torchscript(folder / 'script.pth'),
        torchscript_after_prefix=write_torchscript(folder / 'prefixed.pth', b'PK\x03\x04' + empty),
        constants=write_zip(folder / 'constants.pth', empty, extra=['constants.pkl']),
        code=write_zip(folder / 'code.pth', empty, extra=['code/__torch__.py']),
        compressed=write_zip(folder / 'bomb.pth', bytes(1 << 20), zipfile.ZIP_DEFLATED),
        overlapping=write_overlapping(folder / 'overlapping.pth'),
    )
    return found

"""Checkpoint files that attack whoever loads them, made by code."""

import codecs
import importlib
import io
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections import Counter, OrderedDict
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

numpy_core = importlib.import_module('numpy._core' if hasattr(np, '_core') else 'numpy.core')
multiarray, numeric = numpy_core.multiarray, numpy_core.numeric
POINTERS = struct.pack('<2Q', 0x4141414141414141, 0x4242424242424242)
OBJECT = np.dtype('O')


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
        # one piece of data, used so often that it would fill any memory
        arrays_of_same_bytes=[array(np.dtype('u1'), DATA, (len(DATA),)) for _ in range(2000)],
        buffers_of_same_bytes=[
            Calls(numeric._frombuffer, DATA, np.dtype('u1'), (len(DATA),), 'C') for _ in range(2000)
        ],
        bytearrays_of_same_bytes=[Calls(bytearray, DATA) for _ in range(2000)],
        bytes_of_same_text=[Calls(codecs.encode, TEXT, 'latin1') for _ in range(2000)],
        sets_of_same_list=[Calls(set, NUMBERS) for _ in range(2000)],
        counters_of_same_dictionary=[Calls(Counter, COUNTS) for _ in range(2000)],
        sizes_of_same_tuple=[Calls(torch.Size, SIDES) for _ in range(2000)],
        histories_of_same_array=histories(2000),
        history_of_lists=Calls(
            HistoryBuffer, state=dict(_log_history=[1], _count_history=[1], max_length=1)
        ),
        constructor_as_value=torch._utils._rebuild_tensor_v2,
        storage_type_as_value=torch.FloatStorage,
        method_as_value=getattr,
        class_as_value=np.ndarray,
        tensor_of_quantized_numbers=quantized(torch.qint8),
        tensor_of_truth_values_in_bytes=quantized(torch.bool),
        device_of_a_list=Calls(torch.device, ['cpu']),
    )


DATA, TEXT = b'd' * (1 << 20), 'd' * (1 << 20)
NUMBERS = list(range(50_000))
SIDES = tuple(NUMBERS)
COUNTS = dict.fromkeys(NUMBERS, 1)


def histories(count):
    """History buffers that share their data."""
    shared = np.zeros(1 << 17)
    state = dict(_log_history=shared, _count_history=shared, max_length=1 << 20)
    return [Calls(HistoryBuffer, state=state) for _ in range(count)]


def quantized(dtype):
    """A tensor of a type that torch saves in another way."""
    storage = (STORAGE, 0, (2,), (1,), False, OrderedDict())
    return Calls(torch._utils._rebuild_tensor_v3, *storage, dtype)


def programs():
    """Pickle programs, by name."""
    record = b'\x80\x02cmmengine.logging.history_buffer\nHistoryBuffer\nq\x00)R'
    text, weights = b'X\x0a\0\0\0state_dict', b'ccollections\nOrderedDict\nq\x00)R'
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
        many_sets=b'\x80\x04]' + b'\x8fa' * 300_000 + b'.',
        many_dictionaries=b'\x80\x02]' + weights + b'a' + b'h\x00)Ra' * 300_000 + b'.',
        many_opcodes=b'\x80\x02' + b'}' * 3_000_000 + b'.',
        records_in_records=record + b'h\x00)R' * 100_000 + b'b' * 100_000 + b'.',
        state_of_a_number=b'\x80\x02K\x01}b.',
        versions_of_no_dictionary=b'\x80\x02}' + text + weights + b'}X\x09\0\0\0_metadataK\x01sbs.',
        memo_that_is_empty=b'\x80\x02h\x07.',
        empty_program=b'',
        no_end=b'\x80\x02}',
        nothing_on_stack=b'\x80\x02.',
        popped_mark=b'\x80\x02(1.',
        text_of_another_length=b'\x80\x02X\xff\xff\xff\x7fa.',
        name_with_spaces=b'\x80\x02cos path\njoin\n.',
        submodule=b'\x80\x02cmmengine.runner\nRunner\n.',
        persistent_number=b'\x80\x02K\x01Q.',
        persistent_text=b'\x80\x02Pfile:///etc/passwd\n.',
    )


class Stored(NamedTuple):
    """A storage that a pickle refers to."""

    kind: type = torch.FloatStorage
    key: object = '0'
    location: object = 'cpu'
    numel: object = 4


STORAGE = Stored(torch.storage.UntypedStorage, numel=16)


class Pickler(pickle.Pickler):
    def persistent_id(self, item):
        return ('storage', *item) if isinstance(item, Stored) else None


def pickled(item):
    """The pickle of a checkpoint, protocol 2 as torch has it."""
    stream = io.BytesIO()
    Pickler(stream, 2).dump(item)
    return stream.getvalue()


def tensor_of(stored, offset=0, size=(4,), stride=(1,)):
    return Calls(torch._utils._rebuild_tensor_v2, stored, offset, size, stride, False, {})


def storage_program(offset=0, size=(4,), stride=(1,), **stored):
    """A pickle of one tensor of floats."""
    tensor = tensor_of(Stored(**stored), offset, size, stride)
    return pickled(dict(state_dict=dict(weight=tensor)))


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
        tensor_of_many_dimensions=storage_program(size=(1,) * 65, stride=(1,) * 65),
        tensor_of_overflowing_size=storage_program(size=(1 << 63, 2), stride=(0, 0)),
        tensor_of_overflowing_stride=storage_program(size=(0, 4), stride=(1 << 64, 1)),
        storage_of_text=storage_program(numel='4'),
        storage_without_place=storage_program(location=None),
        storage_on_no_device=storage_program(location='nowhere:0'),
        storage_of_numbered_key=storage_program(key=0),
        storage_of_another_class=storage_program(kind=dict),
        storage_of_two_types=pickled(
            [tensor_of(Stored()), tensor_of(Stored(torch.IntStorage))],
        ),
        tensors_of_same_storage=pickled(
            [tensor_of(Stored(numel=1 << 18, key='large'), i, ((1 << 18) - i,)) for i in range(999)]
        ),
        truth_values_beyond_one=pickled(
            [tensor_of(Stored(torch.BoolStorage, 'twos', numel=16), 0, (16,))],
        ),
    )


def write_zip(path, program, compression=zipfile.ZIP_STORED, extra=()):
    """Write a pickle and a storage of four floats as torch.save does."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', program)
        archive.writestr('archive/byteorder', 'little')
        archive.writestr('archive/data/0', bytes(16))
        archive.writestr('archive/version', '3\n')
        archive.writestr('archive/data/twos', b'\2' * 16)
        if b'large' in program:
            archive.writestr('archive/data/large', bytes(1 << 20))
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


def write_damaged(path, change):
    """A zip file some bytes of which are changed after it was written."""
    write_zip(path, pickle.dumps({}, 2))
    content = bytearray(path.read_bytes())
    change(content, content.rindex(b'PK\1\2'), content.rindex(b'PK\5\6'))
    path.write_bytes(content)
    return path


def rename_local(content, *_):
    at = content.index(b'archive/data.pkl')
    content[at : at + 7] = b'ARCHIVE'


def enlarge(content, member, _):
    content[member + 24 : member + 28] = b'\xff\xff\xff\x7f'


def encrypt(content, *_):
    content[content.index(b'PK\1\2') + 8] |= 1


def move_beyond(content, member, _):
    at = content.index(b'PK\1\2') + 42
    content[at : at + 4] = b'\xf0\xff\xff\x7f'


def lose_directory(content, _, end):
    content[end + 16 : end + 20] = b'\xf0\xff\xff\x7f'


def claim_zip64(content, _, end):
    content[end + 8 : end + 20] = b'\xff' * 12


DAMAGES = dict(
    local_name=rename_local,
    larger_than_stored=enlarge,
    encrypted=encrypt,
    beyond_its_end=move_beyond,
    directory_beyond_its_end=lose_directory,
    zip64_without_record=claim_zip64,
)


def write_many_members(path):
    """A zip file whose list of members takes far more memory than the file has bytes."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps({}, 2))
        member = archive.getinfo('archive/data.pkl')
        for number in range(80_000):
            other = copy(member)
            other.filename = other.orig_filename = f'a/{number}'
            archive.filelist.append(other)
    return path


def write_duplicates(path, names):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # zipfile's, of the duplicate
        with zipfile.ZipFile(path, 'w') as archive:
            for name in names:
                archive.writestr(name, pickle.dumps({}, 2))
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
    made = {name: pickled(dict(a=item)) for name, item in objects(str(canary)).items()}
    for name, program in {**made, **programs(), **tensors()}.items():
        found[name] = write_zip(folder / f'{name}.pth', program)
    for name, program in {**made, **programs()}.items():
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
        many_members=write_many_members(folder / 'many_members.pth'),
        same_name_twice=write_duplicates(folder / 'twice.pth', ['archive/data.pkl'] * 2),
        two_pickles=write_duplicates(folder / 'two.pth', ['a/data.pkl', 'b/data.pkl']),
        no_pickle=write_duplicates(folder / 'none.pth', ['archive/version']),
        pickle_below=write_duplicates(folder / 'below.pth', ['a/../data.pkl', 'a/b/data.pkl']),
        name_with_nul=write_duplicates(folder / 'nul.pth', ['a/data.pkl', 'a/data.pkl\0b']),
    )
    for name, change in DAMAGES.items():
        found[name] = write_damaged(folder / f'{name}.pth', change)
    for name, content in contents().items():
        found[name] = folder / f'{name}.pth'
        torch.save(content, found[name])
    return found


HUB = dict(log_scalars={}, runtime_info={}, resumed_keys={})
GROUP = dict(params=[0], lr=0.1)


def weights_with_versions(versions):
    weights = OrderedDict(weight=torch.ones(1))
    weights._metadata = versions
    return weights


def contents():
    """Checkpoints of plain data whose parts are not what those who use them expect, by name."""
    hub_of = lambda **parts: dict(message_hub={**HUB, **parts})  # noqa: E731
    return dict(
        epoch_of_text=dict(meta=dict(epoch='1', iter=1)),
        negative_iteration=dict(meta=dict(epoch=1, iter=-1)),
        endless_epoch=dict(meta=dict(epoch=1 << 60, iter=1)),
        seed_of_a_list=dict(meta=dict(seed=[1])),
        seed_too_large=dict(meta=dict(seed=1 << 40)),
        meta_of_a_list=dict(meta=[1]),
        dataset_of_text=dict(meta=dict(dataset_meta='classes')),
        hub_of_a_list=dict(message_hub=[1]),
        hub_without_log=dict(message_hub=dict(runtime_info={})),
        log_of_numbers=hub_of(log_scalars=dict(loss=1.0)),
        resumed_by_text=hub_of(resumed_keys=dict(loss='yes')),
        kept_by_name=hub_of(runtime_info=dict(keep_ckpt_ids=['x/../../..'])),
        best_of_a_number=hub_of(runtime_info=dict(best_ckpt=1)),
        large_tensor_in_hub=hub_of(runtime_info=dict(a=torch.zeros(1 << 21))),
        views_in_hub=hub_of(runtime_info=dict(enumerate([torch.zeros(1 << 18)] * 9))),
        optimizer_of_a_list=dict(optimizer=[1]),
        optimizer_without_state=dict(optimizer=dict(param_groups=[GROUP])),
        optimizer_without_groups=dict(optimizer=dict(state={}, param_groups=[1])),
        groups_without_parameters=dict(optimizer=dict(state={}, param_groups=[dict(lr=1)])),
        second_optimizer=dict(optimizer=dict(a=dict(state=1, param_groups=[GROUP]))),
        schedulers_of_text=dict(param_schedulers='linear'),
        scheduler_of_text=dict(param_schedulers=['linear']),
        optimizer_of_a_scheduler=dict(param_schedulers=[dict(optimizer=1)]),
        attributes_of_a_scheduler=dict(param_schedulers=[dict(step={1, 2})]),
        named_scheduler_of_text=dict(param_schedulers=dict(a='linear')),
        weights_of_a_list=dict(state_dict=[torch.ones(1)]),
        weight_of_text=dict(state_dict=dict(weight='1')),
        weight_of_an_array=dict(state_dict=dict(weight=np.ones(1))),
        weight_without_name=dict(state_dict={1: torch.ones(1)}),
        averaged_weight_of_text=dict(state_dict={}, ema_state_dict=dict(weight='1')),
        versions_of_text=dict(state_dict=weights_with_versions('1')),
        version_of_a_module_of_text=dict(state_dict=weights_with_versions({'': '1'})),
    )

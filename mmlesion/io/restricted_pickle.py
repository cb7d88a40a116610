"""Reading pickles without executing code.

A pickle is a program: it may name any importable callable, call it and set the state of what comes
back. Here its opcodes are carried out by a small machine that knows plain values, containers and
what an explicit allow-list holds, so that a file from elsewhere can carry data and nothing else.
What it may build is bounded, too: neither reading it nor using it later hangs or exhausts a stack.
"""

from __future__ import annotations

import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mmlesion.utils import UserError

from .budget import Budget, weight_of_parts

MAX_OPCODES = 2_000_000
"""No opcode makes an object of more than about a hundred bytes beside what it carries itself."""
MAX_CALLS = 200_000
"""Of constructors, and of sets: these are objects of up to a kilobyte."""
MAX_COPIES = 16
"""Bytes that constructors may be given and records may be made of, per byte of the pickle: one that
is remembered once and used often would otherwise grow to any size."""
MAX_DEPTH = 64
MAX_PARTS = 10_000_000
"""Of all containers, shared ones counted wherever they are met."""
MAX_INTEGER_BITS = 256
MAX_KEY_BITS = 60
"""Python's hash of larger integers wraps around, so that many of them can be made to collide."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray)
_DICTS = (dict, OrderedDict, Counter)


class Constructor(NamedTuple):
    """A callable that a pickle may use.

    Args:
        call (Callable): Takes the arguments that the pickle gives, of whatever types.
    """

    call: Callable


class Record:
    """An object whose state a pickle sets after its creation.

    It stands for the value until the whole pickle was read, and has no effect before.
    """

    state = None

    def finish(self, state: Any) -> Any:
        """Make the value.

        Args:
            state (Any): What the pickle set, its own records finished; None where it set nothing.
        """
        raise NotImplementedError


def read_pickle(
    data: bytes, allowed: dict, leaves: tuple = (), load_persistent: Callable | None = None
) -> Any:
    """Read a pickle.

    Args:
        data (bytes): The pickle, of any protocol.
        allowed (dict[tuple[str, str], Any]): What each (module, name) of the pickle stands for;
            it calls none but a :class:`Constructor`.
        leaves (tuple[type]): The types, beside plain ones and containers, that may come out.
        load_persistent (callable, optional): Takes a persistent id; refused if not given.

    Raises:
        UserError: If it asks for more than that, or its containers are too many or too deep.
        Exception: Nearly any, if it is damaged.
    """
    budget = Budget(MAX_COPIES, len(data))
    result = _Machine(allowed, load_persistent, budget).run(data)
    return _Finisher(leaves, budget)(result).value


def shown(text: Any) -> str:
    """Return the content of an untrusted file, on one line and shortened for a message."""
    return ascii(str(text)[:80])[1:-1]


class _Machine:
    """The stack machine of a pickle.

    Args:
        allowed (dict): As in :func:`read_pickle`.
        load_persistent (callable, optional): As in :func:`read_pickle`.
        budget (Budget): For what constructors are given.
    """

    def __init__(self, allowed: dict, load_persistent: Callable | None, budget: Budget) -> None:
        self.allowed, self.load_persistent, self.budget = allowed, load_persistent, budget
        self.calls = 0
        self.stack: list = []
        self.below_mark: list[list] = []
        self.memo: dict = {}

    def run(self, data: bytes) -> Any:
        """Execute a pickle and return its result."""
        # genops only decodes: what an opcode does is decided here, by its name
        for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if number == MAX_OPCODES:
                raise UserError(f'it has more than {MAX_OPCODES} opcodes')
            if opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name])
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            elif opcode.name not in _WITHOUT_EFFECT:
                raise UserError(f'its opcode {opcode.name} is not one that such a file needs')
        return self.stack.pop()

    def mark(self, _: Any) -> None:
        self.below_mark.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list:
        items, self.stack = self.stack, self.below_mark.pop()
        return items

    def put(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def make_tuple(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append(tuple(items))

    def make_list(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append(items)

    def make_dict(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.fill(items)

    def make_frozenset(self, _: Any) -> None:
        self.count_call()
        items = self.pop_mark()
        self.stack.append(frozenset(checked_keys(items)))

    def make_empty(self, kind: type) -> None:
        self.stack.append(kind())

    def make_set(self, _: Any) -> None:
        self.count_call()
        self.stack.append(set())

    def count_call(self) -> None:
        """Refuse the call after :data:`MAX_CALLS`."""
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise UserError(f'it makes more than {MAX_CALLS} tensors, arrays and sets')

    def top_tuple(self, length: int) -> None:
        self.stack[-length:] = [tuple(self.stack[-length:])]

    def top(self, kinds: tuple[type, ...]) -> Any:
        if type(self.stack[-1]) not in kinds:
            raise UserError(
                f'it adds to a {type(self.stack[-1]).__name__} as to a {kinds[0].__name__}'
            )
        return self.stack[-1]

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        self.top((list,)).append(item)

    def extend(self, _: Any) -> None:
        items = self.pop_mark()
        self.top((list,)).extend(items)

    def add(self, _: Any) -> None:
        items = self.pop_mark()
        self.top((set,)).update(checked_keys(items))

    def set_item(self, _: Any) -> None:
        # the key lies below the value
        items = [self.stack.pop(-2), self.stack.pop()]
        self.fill(items)

    def set_items(self, _: Any) -> None:
        self.fill(self.pop_mark())

    def fill(self, items: list) -> None:
        """Add alternating keys and values to the dictionary on top."""
        # the stack holds key, value, key, value
        keys, values = checked_keys(items[::2]), items[1::2]
        if len(keys) != len(values):
            raise UserError('it has a key without a value')
        _set_values(self.top(_DICTS), keys, values)

    def find_global(self, names: str) -> None:
        module, name = names.split(' ')
        self.find(module, name)

    def find_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise UserError('it refers to something without a name')
        self.find(module, name)

    def find(self, module: str, name: str) -> None:
        # nothing is imported: a name stands for what the caller listed, or for nothing
        if (module, name) not in self.allowed:
            raise UserError(
                f'it refers to {shown(module)}.{shown(name)}, which is not on the list of what '
                'such a file may hold; it could run code, so it was not loaded'
            )
        self.stack.append(self.allowed[module, name])

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Constructor or type(arguments) is not tuple:
            raise UserError(f'it calls a {type(function).__name__}, so it was not loaded')
        self.count_call()
        self.budget.spend(weight_of_parts(arguments))
        self.stack.append(function.call(*arguments))

    def set_state(self, _: Any) -> None:
        state, owner = self.stack.pop(), self.stack[-1]
        if isinstance(owner, Record) and owner.state is None:
            owner.state = state
        elif type(owner) is OrderedDict and type(state) is dict and list(state) == ['_metadata']:
            # a state dict keeps the versions of its modules there
            owner._metadata = state['_metadata']  # type: ignore[attr-defined]
        else:
            raise UserError(f'it sets the state of a {type(owner).__name__}, so it was not loaded')

    def find_persistent(self, _: Any) -> None:
        if self.load_persistent is None:
            raise UserError('it refers to data outside of itself')
        self.stack.append(self.load_persistent(self.stack.pop()))


_LITERALS = frozenset(
    'INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING '
    'UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 '
    'BYTEARRAY8'.split()
)
_CONSTANTS = dict(NONE=None, NEWTRUE=True, NEWFALSE=False, EMPTY_TUPLE=())
_WITHOUT_EFFECT = frozenset(['PROTO', 'FRAME', 'STOP'])
_OPERATIONS: dict[str, Callable] = dict(
    MARK=_Machine.mark,
    TUPLE=_Machine.make_tuple,
    TUPLE1=lambda machine, _: machine.top_tuple(1),
    TUPLE2=lambda machine, _: machine.top_tuple(2),
    TUPLE3=lambda machine, _: machine.top_tuple(3),
    EMPTY_LIST=lambda machine, _: machine.make_empty(list),
    EMPTY_DICT=lambda machine, _: machine.make_empty(dict),
    EMPTY_SET=_Machine.make_set,
    LIST=_Machine.make_list,
    DICT=_Machine.make_dict,
    FROZENSET=_Machine.make_frozenset,
    APPEND=_Machine.append,
    APPENDS=_Machine.extend,
    ADDITEMS=_Machine.add,
    SETITEM=_Machine.set_item,
    SETITEMS=_Machine.set_items,
    PUT=_Machine.put,
    BINPUT=_Machine.put,
    LONG_BINPUT=_Machine.put,
    MEMOIZE=_Machine.put,
    GET=_Machine.get,
    BINGET=_Machine.get,
    LONG_BINGET=_Machine.get,
    GLOBAL=_Machine.find_global,
    STACK_GLOBAL=_Machine.find_stack_global,
    REDUCE=_Machine.call,
    NEWOBJ=_Machine.call,
    BUILD=_Machine.set_state,
    BINPERSID=_Machine.find_persistent,
)


def checked_keys(keys: Any) -> list:
    """Return keys that are cheap to hash; a nested tuple's hash could hang or exhaust the stack.

    Raises:
        UserError: If one is neither text nor a whole number.
    """
    for key in keys:
        is_small = type(key) is int and key.bit_length() <= MAX_KEY_BITS
        if not is_small and type(key) not in (str, bytes, bool, type(None)):
            raise UserError(f'it has a {type(key).__name__} as a key, not text or a whole number')
    return list(keys)


class _Finished(NamedTuple):
    """A value without records, the depth of its containers, and the number of its parts."""

    value: Any
    depth: int = 0
    parts: int = 1


class _Finisher:
    """Replaces the records in the result of a pickle, and limits its size.

    Args:
        leaves (tuple[type]): As in :func:`read_pickle`.
        budget (Budget): For what records are made of.
    """

    def __init__(self, leaves: tuple[type, ...], budget: Budget) -> None:
        self.leaves, self.budget = leaves, budget
        # by identity; the unfinished value is kept, so that no other takes its identity
        self.done: dict[int, tuple] = {}

    def __call__(self, value: Any, level: int = 0) -> _Finished:
        if type(value) is int and value.bit_length() > MAX_INTEGER_BITS:
            raise UserError(f'it has an integer of {value.bit_length()} bits')
        if type(value) in _PLAIN or isinstance(value, self.leaves):
            return _Finished(value)
        # an object that is met again is counted again (parts), but not finished again
        if id(value) not in self.done:
            if level > MAX_DEPTH:
                raise UserError(f'its containers are nested more than {MAX_DEPTH} deep')
            self.done[id(value)] = value, self.container(value, level + 1)
        return self.done[id(value)][1]

    def container(self, value: Any, level: int) -> _Finished:
        """Finish a container or record, its items first."""
        items = [self(item, level) for item in _items(value)]
        depth = 1 + max((item.depth for item in items), default=0)
        parts = 1 + sum(item.parts for item in items)
        # levels are bounded on the way down; the depth also counts shared containers
        if depth > MAX_DEPTH or parts > MAX_PARTS:
            raise UserError(f'it has containers over {MAX_DEPTH} deep or {MAX_PARTS} parts')
        if isinstance(value, Record):
            (state,) = (item.value for item in items)
            self.budget.spend(weight_of_parts(state))
        return _Finished(_with_items(value, [item.value for item in items]), depth, parts)


def _items(value: Any) -> list:
    """Return the items of a container, without dictionary keys, which are plain."""
    if isinstance(value, Record):
        return [value.state]
    if type(value) in _DICTS:
        return list(value.values()) + [getattr(value, '_metadata', None)]
    if type(value) in (tuple, list, set, frozenset):
        return list(value)
    raise UserError(f'it has a {type(value).__name__} where only data may be')


def _with_items(value: Any, items: list) -> Any:
    """Return a container with its items replaced, in place if it is mutable."""
    if isinstance(value, Record):
        (state,) = items
        return value.finish(state)
    if type(value) is tuple:
        return tuple(items)
    if type(value) is list:
        value[:] = items
    elif type(value) in _DICTS:
        _set_values(value, list(value), items)
        if hasattr(value, '_metadata'):
            value._metadata = items[-1]
    return value


def _set_values(mapping: dict, keys: Sequence, values: Sequence) -> None:
    for key, value in zip(keys, values):  # a Counter's update would add
        mapping[key] = value

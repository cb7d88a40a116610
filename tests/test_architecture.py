"""The rules of docs/architecture.md: which room of mmlesion may import which, read from the source.

The packages below ``mmlesion`` are called rooms here. Imports inside functions count for them too;
only what a module imports at its top is loaded with it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmlesion'
FRAMEWORKS = {'torch', 'torchvision', 'mmcv', 'mmdet', 'mmengine'}

PLAIN = {'structures', 'io', 'froc'}
# What each room may import of the others; ``utils`` is for all.
MAY_IMPORT = {
    'utils': set(),
    'structures': set(),
    'froc': {'structures'},
    'io': {'structures', 'froc'},
    'visualization': {'structures', 'io'},
    'models': PLAIN | {'visualization'},
    'datasets': PLAIN,
    'evaluation': PLAIN | {'visualization'},
    'mining': PLAIN | {'visualization'},
    'engine': PLAIN | {'visualization'},
    'apis': PLAIN | {'converters', 'engine', 'report', 'visualization'},
    'converters': PLAIN | {'visualization'},
    'export': PLAIN,
    'followup': PLAIN,
    'report': PLAIN | {'evaluation', 'visualization'},
}

# Modules that import no framework, nor what does; a prefix stands for all below it.
WITHOUT_FRAMEWORK = (
    'mmlesion',
    'mmlesion.anchors',
    'mmlesion.converters',
    'mmlesion.evaluation',
    'mmlesion.export',
    'mmlesion.followup',
    'mmlesion.froc',
    'mmlesion.io',
    'mmlesion.mining',
    'mmlesion.registration',
    'mmlesion.report',
    'mmlesion.structures',
    'mmlesion.utils',
    'mmlesion.visualization.anchor_shapes',
    'mmlesion.visualization.froc_plots',
    'mmlesion.visualization.overlays',
    'mmlesion.visualization.match_panels',
    'mmlesion.visualization.overlays',
)
BUT = (
    'mmlesion.evaluation.metrics',
    'mmlesion.mining.volume_pass',
    'mmlesion.structures.spheres',
    'mmlesion.utils.configs',
    'mmlesion.utils.networks',
)

# The same idea in several rooms: a file's format, what it holds in memory, who makes it.
SHARED_NAMES = {
    'cases',
    'deeplesion',
    'luna16',
    'nifti',
    'registration',
    'segments',
    'slices',
    'sub_volumes',
    'volumes',
}


@cache
def modules() -> dict[str, Path]:
    """Every module of mmlesion by its full name; a package stands for its ``__init__``."""
    found = {}
    for path in PACKAGE.rglob('*.py'):
        parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imported_names(name: str, nodes) -> set[str]:
    """The full names that import statements of a module name."""
    path = modules()[name]
    package = name.split('.') if path.name == '__init__.py' else name.split('.')[:-1]
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = '.'.join([*base, *filter(None, [node.module])])
            names.update(f'{base}.{alias.name}' for alias in node.names)
    return names


@cache
def all_imports(name: str) -> set[str]:
    """All imports of a module but those for a type checker alone, which never run."""
    tree = ast.parse(modules()[name].read_text('utf-8'))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, 'id', None) == 'TYPE_CHECKING':
            node.body = []
    return imported_names(name, ast.walk(tree))


@cache
def loaded_imports(name: str) -> set[str]:
    """Those that are imported with the module, and not when a function is called."""
    body = ast.parse(modules()[name].read_text('utf-8')).body
    nodes = []
    for node in body:
        if isinstance(node, ast.Try):
            nodes += [inner for part in (*node.body, *node.handlers) for inner in ast.walk(part)]
        nodes.append(node)
    return imported_names(name, nodes)


def loaded_modules(name: str) -> set[str]:
    """Modules of mmlesion that importing one loads itself, the packages above them included."""
    loaded = set()
    for target in {name, *loaded_imports(name)}:
        parts = target.split('.')
        if parts[0] == 'mmlesion':
            above = {'.'.join(parts[:end]) for end in range(1, len(parts) + 1)}
            loaded |= above & modules().keys()
    return loaded - {name}


def room_of(name: str) -> str:
    return name.split('.')[1] if name.count('.') else ''


@cache
def rooms_imported_by() -> dict[str, dict[str, set[str]]]:
    """Of each room: the rooms it imports, each with the modules that do."""
    graph = defaultdict(lambda: defaultdict(set))
    for name, path in modules().items():
        is_room = path.parent != PACKAGE
        for target in all_imports(name) if is_room else ():
            if target.split('.')[0] == 'mmlesion' and room_of(target) != room_of(name):
                graph[room_of(name)][room_of(target)].add(name)
    return graph


def test_every_room_is_known():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / '__init__.py').is_file()}
    assert rooms <= MAY_IMPORT.keys(), 'say in MAY_IMPORT what a new room may import'


@pytest.mark.parametrize('room', sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room):
    allowed = MAY_IMPORT[room] | {'utils', 'version'}
    wrong = {
        other: sorted(names)
        for other, names in rooms_imported_by()[room].items()
        if other not in allowed
    }
    assert not wrong


def test_rules_have_no_cycle():
    """Each room comes after all that it may import; a cycle, which has no order, raises."""
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    for room, others in MAY_IMPORT.items():
        assert not others & set(order[order.index(room) :])


def test_modules_import_each_other_in_no_circle():
    # A package loads before its modules, which is no import of theirs.
    graph = {
        name: {other for other in loaded_modules(name) if not name.startswith(f'{other}.')}
        for name in modules()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(' -> '.join(error.args[1]))


def test_json_is_read_and_written_by_io_alone():
    """One place has the errors of bad files and whole writes; tools count too."""
    paths = [*PACKAGE.rglob('*.py'), *(PACKAGE.parent / 'tools').rglob('*.py')]
    inside = PACKAGE / 'io'
    wrong = [path for path in paths if inside not in path.parents and imports_json(path)]
    assert not wrong, 'use mmlesion.io.json_files'
    assert [path.name for path in inside.glob('*.py') if imports_json(path)] == ['json_files.py']


def test_configs_are_loaded_in_one_place():
    paths = [*PACKAGE.rglob('*.py'), *(PACKAGE.parent / 'tools').rglob('*.py')]
    loading = [path.name for path in paths if 'Config.fromfile(' in path.read_text('utf-8')]
    assert loading == ['configs.py'], 'use mmlesion.utils.configs.load_config'


def test_constructors_that_configs_reach_raise_one_kind():
    """``OptionError``, which names the component, or another ``UserError`` of what it is given."""
    rooms = ('models', 'datasets', 'engine', 'evaluation', 'visualization', 'structures')
    wrong = {}
    for name, path in modules().items():
        if room_of(name).split('.')[0] in rooms and (kinds := raised_in_constructors(path)):
            wrong[name] = kinds
    assert not wrong


def raised_in_constructors(path: Path) -> set[str]:
    """Exceptions other than errors of users that ``__init__`` and ``__post_init__`` raise."""
    constructors = [
        node
        for node in ast.walk(ast.parse(path.read_text('utf-8')))
        if isinstance(node, ast.FunctionDef) and node.name in ('__init__', '__post_init__')
    ]
    raised = set()
    for node in (inner for constructor in constructors for inner in ast.walk(constructor)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            raised.add(ast.unparse(node.exc.func))
    return raised - {'OptionError', 'UserError'}


def imports_json(path: Path) -> bool:
    nodes = list(ast.walk(ast.parse(path.read_text('utf-8'))))
    plain = [node for node in nodes if isinstance(node, ast.Import)]
    names = {alias.name.split('.')[0] for node in plain for alias in node.names}
    return 'json' in names or any(
        isinstance(node, ast.ImportFrom) and not node.level and node.module.split('.')[0] == 'json'
        for node in nodes
    )


def is_below(name: str, prefixes: tuple) -> bool:
    return any(name == prefix or name.startswith(f'{prefix}.') for prefix in prefixes)


def without_framework() -> list[str]:
    mixed = [name for name in modules() if is_below(name, WITHOUT_FRAMEWORK[1:])]
    return ['mmlesion', *(name for name in mixed if not is_below(name, BUT))]


def framework_loaded_by(start: str) -> str:
    """Which module that importing one loads imports a framework, if any does."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += loaded_modules(name)
        if used := {target.split('.')[0] for target in loaded_imports(name)} & FRAMEWORKS:
            return f'{name} imports {", ".join(sorted(used))}'
    return ''


def test_plain_rooms_load_no_framework():
    found = {name: framework_loaded_by(name) for name in without_framework()}
    assert not {name: offender for name, offender in found.items() if offender}


def test_other_rooms_do():
    assert framework_loaded_by('mmlesion.register') and framework_loaded_by('mmlesion.models')


def test_exceptions_are_in_use():
    frameworks = [name for name in BUT if name in modules() and is_below(name, WITHOUT_FRAMEWORK)]
    assert frameworks == list(BUT), 'take what is gone out of BUT'


def test_a_base_name_says_which_module():
    places = defaultdict(list)
    for name, path in modules().items():
        if path.name != '__init__.py':
            places[path.stem].append(name)
    repeated = {base for base, names in places.items() if len(names) > 1}
    assert not {base: places[base] for base in repeated - SHARED_NAMES}
    assert SHARED_NAMES <= repeated, 'take what is no longer shared out of SHARED_NAMES'

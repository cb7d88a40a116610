"""Print figures of the code's size, documentation, density and structure as Markdown tables.

Nothing of the tree is imported or run: every figure is read from the syntax trees of its files.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

LONG = 40  # lines of code above which a function is counted as long
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef) + FUNCTIONS
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NOT_CODE = ('COMMENT', 'NL', 'NEWLINE', 'INDENT', 'DEDENT', 'ENDMARKER')

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


class Source(NamedTuple):
    """A Python file; ``path`` is relative to the tree."""

    path: Path
    lines: int
    tree: ast.Module
    code: set[int]  # numbers of the lines with code, docstrings left out
    comments: int


def read_source(path: Path, root: Path) -> Source:
    """Read and parse a file of the tree ``root``."""
    text = path.read_text(encoding='utf-8')
    tree = ast.parse(text)
    code: set[int] = set()
    comments = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        comments += token.type == tokenize.COMMENT
        if tokenize.tok_name[token.type] not in _NOT_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and has_docstring(node):
            code.difference_update(lines_of(node.body[0]))
    return Source(path.relative_to(root), len(text.splitlines()), tree, code, comments)


def lines_of(node: ast.stmt) -> range:
    """Return the numbers of a node's lines."""
    return range(node.lineno, (node.end_lineno or 0) + 1)


def has_docstring(node: ast.AST) -> bool:
    """Return whether a module, class or function has a docstring."""
    return ast.get_docstring(node, clean=False) is not None


def nodes(sources: Iterable[Source], kinds: type | tuple[type, ...]) -> Iterator:
    """Yield all syntax nodes of some kinds."""
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, kinds):
                yield node


def parameters(function: Function) -> list[ast.arg]:
    """Return the parameters of a function, ``self`` and ``cls`` left out."""
    args = function.args
    found = args.posonlyargs + args.args + args.kwonlyargs
    found += filter(None, (args.vararg, args.kwarg))
    # the instance and the class need no annotation
    return [arg for arg in found if arg.arg not in ('self', 'cls')]


def all_parameters(functions: Iterable[Function]) -> list[ast.arg]:
    """Return the parameters of several functions."""
    return list(chain.from_iterable(map(parameters, functions)))


def percent(part: int, whole: int) -> str:
    """Format a share."""
    return f'{100 * part / whole:.1f} %' if whole else '-'


def spread(numbers: np.ndarray) -> str:
    """Format the median, the 90th percentile and the maximum."""
    if not len(numbers):
        return '-'
    median, high = np.percentile(numbers, (50, 90))
    return f'{median:.0f} / {high:.0f} / {max(numbers)}'


def function_lengths(source: Source) -> list[int]:
    """Return the lines of code of each function of a file."""
    functions = nodes([source], FUNCTIONS)
    return [len(source.code.intersection(lines_of(function))) for function in functions]


def size_row(sources: Sequence[Source]) -> dict[str, object]:
    """Measure files and functions, and how much of them is documented."""
    lengths = np.array(list(chain.from_iterable(map(function_lengths, sources))), int)
    lines = np.array([source.lines for source in sources])
    comments = sum(source.comments for source in sources)
    functions = list(nodes(sources, FUNCTIONS))
    public = [function for function in functions if not function.name.startswith('_')]
    classes = list(nodes(sources, ast.ClassDef))
    arguments = all_parameters(functions)
    annotated = [argument for argument in arguments if argument.annotation is not None]
    trees = [source.tree for source in sources]
    return {
        'files': len(sources),
        'lines': lines.sum(),
        'file lines median / p90 / max': spread(lines),
        'function code lines median / p90 / max': spread(lengths),
        f'> {LONG} lines': percent((lengths > LONG).sum(), len(lengths)),
        'public functions with docstring': percent(sum(map(has_docstring, public)), len(public)),
        'classes with docstring': percent(sum(map(has_docstring, classes)), len(classes)),
        'modules with docstring': percent(sum(map(has_docstring, trees)), len(trees)),
        'parameters annotated': percent(len(annotated), len(arguments)),
        'comment lines': percent(comments, lines.sum()),
    }


def density_row(sources: Sequence[Source]) -> dict[str, object]:
    """Count dense constructs per 100 lines of code."""
    comprehensions = list(nodes(sources, COMPREHENSIONS))
    calls = Counter(ast.unparse(call.func) for call in nodes(sources, ast.Call))
    counts = {
        'comprehensions': len(comprehensions),
        'nested comprehensions': sum(map(is_nested, comprehensions)),
        'starred arguments and targets': len(list(nodes(sources, ast.Starred))),
        'zip': calls['zip'],
    }
    code = max(sum(len(source.code) for source in sources), 1)
    return {name: f'{100 * count / code:.2f}' for name, count in counts.items()}


def is_nested(comprehension: ast.AST) -> bool:
    """Return whether a comprehension has another one in it."""
    return sum(isinstance(node, COMPREHENSIONS) for node in ast.walk(comprehension)) > 1


def structure_row(sources: Sequence[Source], configs: int) -> dict[str, object]:
    """Measure how modules are laid out and import each other."""
    modules = [source.path for source in sources if source.path.name != '__init__.py']
    names = Counter(path.name for path in modules)
    folder, most = Counter(path.parent for path in modules).most_common(1)[0]
    return {
        'modules': len(modules),
        'packages': len(sources) - len(modules),
        'import cycles': len(import_cycles(sources)),
        'base names of several modules': sum(count > 1 for count in names.values()),
        'largest folder': f'{folder.as_posix()}, {most}',
        'configs': configs,
    }


def import_cycles(sources: Sequence[Source]) -> list[list[str]]:
    """Return the groups of modules that import each other at their top level."""
    names = [module_name(source.path) for source in sources]
    index = {name: number for number, name in enumerate(names)}
    imports = np.zeros((len(names), len(names)), bool)
    for number, source in enumerate(sources):
        for name in imported(source, index):
            imports[number, index[name]] = True
    # Modules that reach each other are a strongly connected component of the graph.
    count, component = connected_components(csr_matrix(imports), connection='strong')
    members: list[list[str]] = [[] for _ in range(count)]
    for name, number in zip(names, component):
        members[number].append(name)
    return [cycle for cycle in members if len(cycle) > 1]


def module_name(path: Path) -> str:
    """Return the dotted name of a file."""
    return '.'.join(path.with_suffix('').parts).removesuffix('.__init__')


def imported(source: Source, known: dict[str, int]) -> Iterator[str]:
    """Yield the known modules that a file imports at its top level, itself left out."""
    own = module_name(source.path)
    for node in source.tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = imported_module(node, alias.name, source.path, known)
                if name in known and name != own:
                    yield name


def imported_module(
    node: ast.Import | ast.ImportFrom, name: str, path: Path, known: dict[str, int]
) -> str:
    """Return the dotted module that an import of ``name`` in the file ``path`` reads."""
    if isinstance(node, ast.Import):
        return name
    # one dot is the file's own folder, that of __init__.py too
    folder = path.parts[: len(path.parts) - node.level] if node.level else ()
    base = '.'.join(filter(None, folder + (node.module,)))
    # what is imported may be a module itself, or a name in one
    member = f'{base}.{name}'
    return member if member in known else base


def print_table(rows: dict[str, dict[str, object]]) -> None:
    """Print a table of Markdown, a row for each folder."""
    header = list(next(iter(rows.values())))
    print('|', ' | '.join([''] + header), '|')
    print('|' + '---|' * (len(header) + 1))
    for name, row in rows.items():
        print('|', ' | '.join([name] + list(map(str, row.values()))), '|')
    print()


def main(argv: Sequence[str] | None = None) -> None:
    """Print the three tables of a tree."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('tree', type=Path, help='root of the repository')
    parser.add_argument('--folders', nargs='+', default=['mmlesion', 'tools'], help='of the tree')
    args = parser.parse_args(argv)
    folders = {}
    for name in args.folders:
        paths = sorted(args.tree.joinpath(name).rglob('*.py'))
        folders[name] = [read_source(path, args.tree) for path in paths]
    if missing := [name for name, sources in folders.items() if not sources]:
        parser.error(f'{args.tree} has no Python file in {", ".join(missing)}')
    configs = len(list(args.tree.joinpath('configs').rglob('*.py')))
    for measure in (size_row, density_row, partial(structure_row, configs=configs)):
        print_table({name: measure(sources) for name, sources in folders.items()})


if __name__ == '__main__':
    main()

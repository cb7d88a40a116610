"""Print figures of the code's size and shape for one tree or several, as Markdown tables.

    python tools/dev/figures.py . ../another-tree

Nothing is imported or run: all is read from the syntax trees of the files.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

RECORDS = {'NamedTuple', 'TypedDict', 'Struct', 'dataclass', 'namedtuple'}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('trees', nargs='+', type=Path, help='roots of checkouts')
    return parser.parse_args(argv)


def sources(tree: Path, folder: str) -> list[Path]:
    """Return the Python files of a folder of a checkout."""
    return sorted((tree / folder).rglob('*.py'))


def num_lines(paths: list[Path]) -> int:
    return sum(path.read_text('utf-8').count('\n') for path in paths)


def docstring_lines(tree: ast.AST) -> int:
    """Return how many lines docstrings have."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            count += node.body[0].end_lineno - node.body[0].lineno + 1
    return count


def names_of(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        yield ast.unparse(node.func if isinstance(node, ast.Call) else node).rpartition('.')[2]


def is_record(node: ast.AST) -> bool:
    """Return whether a node defines a class of fields alone: a tuple, a dictionary, a dataclass."""
    return isinstance(node, ast.ClassDef) and not RECORDS.isdisjoint(
        names_of([*node.bases, *node.decorator_list])
    )


def named_once(text: str, tree: ast.AST) -> int:
    """Return how many private functions are named once beside their definition, in their file."""
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    words = Counter(re.findall(r'\w+', text))
    private = [name for name in functions if name.startswith('_') and not name.startswith('__')]
    return sum(words[name] == 2 for name in private)


def figures(tree: Path) -> dict[str, int]:
    """Return the figures of a checkout by name."""
    paths = sources(tree, 'mmlesion')
    texts = [path.read_text('utf-8') for path in paths]
    parsed = list(map(ast.parse, texts))
    nodes = [node for one in parsed for node in ast.walk(one)]
    found = {
        'modules': sum(path.name != '__init__.py' for path in paths),
        'lines': num_lines(paths),
        'of docstrings': sum(map(docstring_lines, parsed)),
        'blank or comments': sum(
            len(re.findall(r'^\s*(?:#.*)?$', text, re.MULTILINE)) for text in texts
        ),
        'record types': sum(map(is_record, nodes)),
        'raise': sum(isinstance(node, ast.Raise) for node in nodes),
        'private functions named once': sum(map(named_once, texts, parsed)),
    }
    found['of code, about'] = found['lines'] - found['of docstrings'] - found['blank or comments']
    rooms = sorted(path for path in (tree / 'mmlesion').iterdir() if path.is_dir())
    for room in rooms:
        if lines := num_lines(sources(room, '.')):
            found[f'lines in {room.name}/'] = lines
    for folder in ('tests', 'tools', 'configs'):
        found[f'lines in {folder}'] = num_lines(sources(tree, folder))
    return found


def main():
    args = parse_args()
    columns = [figures(tree) for tree in args.trees]
    names = list(dict.fromkeys(name for column in columns for name in column))
    print('| | ' + ' | '.join(tree.resolve().name for tree in args.trees) + ' |')
    print('| --- |' + ' --- |' * len(args.trees))
    for name in names:
        print(f'| {name} | ' + ' | '.join(f'{column.get(name, 0):,}' for column in columns) + ' |')


if __name__ == '__main__':
    main()

"""Compare FROC scores on the same test set: a paired bootstrap over patients.

Each argument is a row of the table: FILE, or NAME=FILE[,FILE...] with the runs of several seeds. A
FILE is a froc.json of test.py or eval_froc.py, whose froc.cases.json lies beside it; a pattern such
as 'work_dirs/rows/trpn/seed*/froc.json' stands for all files that it matches.
"""

import argparse
import glob
from pathlib import Path

from mmlesion.evaluation.comparison_files import comparison_table, write_comparison
from mmlesion.froc import compare_rows
from mmlesion.io.cases import check_same_cases, read_cases
from mmlesion.utils import UserError, check_draws, check_range, cli


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'rows', nargs='+', metavar='[NAME=]FILE[,FILE...]', help='one row per argument'
    )
    parser.add_argument('--reference', help='name of the row to compare with (default: the first)')
    parser.add_argument(
        '--draws', type=int, default=2000, help='bootstrap samples of patients (default: 2000)'
    )
    parser.add_argument('--seed', type=int, default=0, help='random seed (default: 0)')
    parser.add_argument(
        '--out', help='folder for comparison.md, .json and .png (default: print the table)'
    )
    return parser.parse_args(argv)


def parse_row(text: str) -> tuple:
    """Return a row's name and its files."""
    # the last =, as a folder of the files may have one
    name, _, patterns = text.rpartition('=')
    files = []
    for pattern in patterns.split(','):
        found = sorted(glob.glob(pattern))
        if not found:
            raise UserError(f'{text}: no file matches {pattern!r}')
        files += found
    return name or Path(files[0]).parent.name or files[0], files


def read_rows(texts: list) -> dict:
    """Return the runs of each row by its name; all are on the same test set."""
    rows, runs = {}, {}
    for name, files in map(parse_row, texts):
        if name in rows:
            raise UserError(f'two rows are named {name}: give each a name, as NAME=FILE')
        # each file is a run of the row, by another seed
        cases = {file: read_cases(file) for file in files}
        rows[name] = list(cases.values())
        runs.update(cases)
    check_same_cases(runs)
    if not len(next(iter(runs.values())).lesion_case):
        raise UserError('the test set has no lesions, so there is no sensitivity to compare')
    return rows


@cli
def main(argv=None):
    args = parse_args(argv)
    check_draws('--draws', args.draws, 1)
    check_range('--seed', args.seed, 0)
    rows = read_rows(args.rows)
    if args.reference is not None and args.reference not in rows:
        raise UserError(f'--reference {args.reference} is none of the rows {", ".join(rows)}')
    comparison = compare_rows(rows, args.reference, args.draws, args.seed)
    cases = next(iter(rows.values()))[0]
    num_lesions = len(cases.lesion_case)
    table = comparison_table(comparison, cases.fp_rates, num_lesions)
    print(table, end='')
    if args.out is None:
        return
    settings = {'draws': args.draws, 'seed': args.seed, 'num_lesions': num_lesions}
    settings['files'] = args.rows
    try:
        write_comparison(comparison, cases.fp_rates, table, settings, args.out)
    except OSError as error:
        raise UserError(f'{args.out}: {error.strerror}; name another folder as --out') from None


if __name__ == '__main__':
    main()

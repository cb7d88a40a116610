"""``tools/convert.py lits`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('lits')


if __name__ == '__main__':
    main()

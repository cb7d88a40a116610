"""``tools/convert.py deeplesion`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('deeplesion')


if __name__ == '__main__':
    main()

"""``tools/convert.py nih_ln`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('nih_ln')


if __name__ == '__main__':
    main()

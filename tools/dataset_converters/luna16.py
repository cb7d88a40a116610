"""``tools/convert.py luna16`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('luna16')


if __name__ == '__main__':
    main()

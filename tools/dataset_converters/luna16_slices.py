"""``tools/convert.py luna16_slices`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('luna16_slices')


if __name__ == '__main__':
    main()

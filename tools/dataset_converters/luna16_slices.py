"""``tools/convert.py luna16_slices`` under a name of its own."""

from mmlesion.converters.commands import run_command


def main():
    run_command('luna16_slices')


if __name__ == '__main__':
    main()

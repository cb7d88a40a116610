"""``tools/convert.py recist_masks`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('recist_masks')


if __name__ == '__main__':
    main()

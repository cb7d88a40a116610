"""``tools/convert.py deeplesion_subvolumes`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('deeplesion_subvolumes')


if __name__ == '__main__':
    main()

"""``tools/convert.py kits19`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('kits19')


if __name__ == '__main__':
    main()

"""``tools/convert.py kits19`` under a name of its own."""

from mmlesion.converters.commands import run_command


def main():
    run_command('kits19')


if __name__ == '__main__':
    main()

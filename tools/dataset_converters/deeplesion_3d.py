"""``tools/convert.py deeplesion_3d`` under its own name."""

from mmlesion.converters.commands import run_command


def main():
    run_command('deeplesion_3d')


if __name__ == '__main__':
    main()

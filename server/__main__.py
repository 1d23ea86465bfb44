"""`python -m aserve`: the same as the command `aserve`."""

from aserve.cli import main

if __name__ == "__main__":
    main()

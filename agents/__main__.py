"""`python -m defedbio` is the command line `defedbio`; in a checkout, so is `python -m agents`."""

from defedbio.cli.main import program

if __name__ == "__main__":
    program()

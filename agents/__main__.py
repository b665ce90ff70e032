"""`python -m agents` is the command line `defedbio`."""

from agents.cli.main import main

if __name__ == "__main__":
    main()

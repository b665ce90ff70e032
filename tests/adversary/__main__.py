"""Write docs/attacks.md: the sentences of all attacks in this folder, read from their tests.

python -m tests.adversary
"""

from tests.adversary.catalogue import PAGE, page

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

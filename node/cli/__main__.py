"""``python -m node.cli`` is ``vtrace``."""

from node.cli import main

main()

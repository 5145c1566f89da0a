"""``python -m scripts.fuzzing``."""

import sys

from scripts.fuzzing.run import main

if __name__ == "__main__":
    sys.exit(main())

"""`make tools`: kubectl, validators and AWS' stand-in into `.tools`, which git ignores; nothing where they are current."""

from __future__ import annotations

import sys

from tests.deploy.tools import install

if __name__ == "__main__":
    sys.exit(install.run())

"""Run a module as `python -m` would, in a process that ends with its launcher.

`python -m core.local.child core.sandbox --port 9000`
"""

import runpy
import sys

from core.local.parent import end_with_parent


def main() -> None:
    """Watch the launcher, then become the module named by the first argument."""
    end_with_parent()
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

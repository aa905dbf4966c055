"""The product's version, as pyproject.toml states it."""

import tomllib

from core.settings import ROOT

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

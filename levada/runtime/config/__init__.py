"""The configuration of a Levada process, read once where it starts.

`load()` gives the whole of it; parts of the program take the section they need (`config.worker`) and never look at the
environment themselves. `tree` lists the settings; `layers` says where values come from.
"""

from levada.runtime.config.check import is_loopback
from levada.runtime.config.layers import SPECS, VARIABLES, ConfigError, Loaded, Shown, load, value_at
from levada.runtime.config.secret import Secrets
from levada.runtime.config.tree import Config

__all__ = [
    "SPECS",
    "VARIABLES",
    "Config",
    "ConfigError",
    "Loaded",
    "Secrets",
    "Shown",
    "is_loopback",
    "load",
    "value_at",
]

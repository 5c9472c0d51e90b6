"""Found by processes that a program under clgrad.compat starts: installs the mapping there, which replaces this module."""

import clgrad.compat

clgrad.compat.install()

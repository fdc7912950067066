"""Runs the command in a checkout: python -m tools.bulkhead_audit."""

from __future__ import annotations

import sys

from .command import main

sys.exit(main())

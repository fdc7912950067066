"""Every reason for which a test may be skipped. Each names what the host lacks; there are no others.

The linux layer isn't in here: it never skips.
"""

from __future__ import annotations

REVIEWED_SKIPS: tuple[str, ...] = ()

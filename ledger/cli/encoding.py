"""Names of files are UTF-8, whatever the locale says."""

import locale
import os
import sys


def require_utf8() -> None:
    """Start this program again in Python's UTF-8 mode where it would take paths for ASCII.

    A data directory with an `é` could not be written to a file of settings, nor be read back from
    one (LC_ALL=C with PYTHONUTF8=0). Output stays in the locale's encoding.
    """
    if sys.getfilesystemencoding() == "utf-8" or sys.flags.utf8_mode:
        return
    os.environ.setdefault("PYTHONIOENCODING", locale.getencoding())
    words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execv(sys.executable, words)  # noqa: S606 - the same program

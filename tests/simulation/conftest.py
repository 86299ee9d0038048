"""Garbage is collected between seeds, and what was there before is not looked through."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def quiet_collector():
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()

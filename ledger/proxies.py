"""This machine's loopback addresses, past an HTTP proxy."""

import os


def around_proxies() -> dict[str, str]:
    """NO_PROXY with 127.0.0.1 added: a proxy cannot reach this machine's loopback."""
    given = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    hosts = ",".join(dict.fromkeys([*filter(None, given.split(",")), "127.0.0.1", "localhost"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}

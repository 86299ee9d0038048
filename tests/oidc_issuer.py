"""An OpenID Connect issuer for tests: an HTTP server with discovery and keys, which signs tokens."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "https://ledger.example"
DISCOVERY = "/.well-known/openid-configuration"


def new_rsa(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def new_ec() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def new_ed() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(
        key.public_key(), as_dict=True
    )
    return {**found, "use": "sig", **more}


@dataclass
class OidcIssuer:
    """What the server publishes; `asked` has the paths that were asked for."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    described: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    away: bool = False

    def publish(self, kid: str, key: Any, algorithm: str) -> None:
        self.keys.append(public_jwk(key, algorithm, kid=kid))

    def document(self) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.described}

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        found = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300,
                 "scope": "openid ledger:read"}  # fmt: skip
        return {name: value for name, value in {**found, **more}.items() if value is not None}

    def sign(self, key: Any, algorithm: str, kid: str | None = "one", **claims: Any) -> str:
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(self.claims(**claims), key, algorithm=algorithm, headers=headers)


@contextmanager
def running_issuer() -> Iterator[OidcIssuer]:
    issuer = OidcIssuer()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            found = {DISCOVERY: issuer.document(), "/keys": {"keys": issuer.keys}}.get(self.path)
            self.send_response(503 if issuer.away else 200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

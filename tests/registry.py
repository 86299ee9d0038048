"""The schema registry as anybody may speak to it: its Confluent API over plain HTTP."""

from typing import Any, Self

import httpx

TYPE = "application/vnd.schemaregistry.v1+json"


class Registry:
    """`url` is the API's base; every call returns (status, parsed answer)."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, headers={"Content-Type": TYPE}, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str) -> tuple[int, Any]:
        return self._answer(self._client.get(path))

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self._answer(self._client.post(path, json=body))

    def put(self, path: str, body: Any) -> tuple[int, Any]:
        return self._answer(self._client.put(path, json=body))

    def delete(self, path: str) -> tuple[int, Any]:
        return self._answer(self._client.delete(path))

    def _answer(self, response: httpx.Response) -> tuple[int, Any]:
        try:
            return response.status_code, response.json()
        except ValueError:
            return response.status_code, response.text

    def register(self, subject: str, schema: str, kind: str = "AVRO") -> int:
        """The id that it gets; fails if it is refused."""
        status, answer = self.post(
            f"/subjects/{subject}/versions", {"schema": schema, "schemaType": kind}
        )
        assert status == 200, (status, answer)
        return int(answer["id"])

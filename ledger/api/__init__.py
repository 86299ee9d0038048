"""The HTTP API: routes call services; services read the balance view, the flow and the books."""

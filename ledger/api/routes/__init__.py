"""The API's routes, one file a resource: each parses, calls a service and names its answers."""

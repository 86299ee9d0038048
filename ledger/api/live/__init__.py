"""Live balances: subscriptions, the presentation buffer, WebSocket and server-sent events."""

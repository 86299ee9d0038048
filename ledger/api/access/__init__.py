"""Who may use the API: bearer tokens, OpenID Connect, scopes, accounts and rates."""

"""The Faust applications: `app.py`, then one file an agent, in the order of the flow."""

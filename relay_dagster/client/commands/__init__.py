"""The client's commands, one module per subject; the `relay` command loads each when called."""

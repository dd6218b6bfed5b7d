"""The local runner: one tenant's feeds through the engine, with files of this machine."""

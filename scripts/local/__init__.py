"""The local runner: one tenant's feeds through the engine, with the files of this machine."""

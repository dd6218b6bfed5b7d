"""The commands of ``relay`` that are clients of the HTTP API, as any other program could be.

They know the API by its answers alone: nothing here imports the server, AWS or Dagster.
"""

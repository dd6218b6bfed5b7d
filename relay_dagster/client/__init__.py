"""The commands of ``relay`` that know the HTTP API by its answers alone, as any client does."""

"""The client commands of `relay`: like any client, they use the HTTP API and nothing else."""

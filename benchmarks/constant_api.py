"""The least that a FastAPI route costs: one that answers with a constant.

python -m benchmarks.constant_api HOST PORT
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(docs_url=None, redoc_url=None)


class Constant(BaseModel):
    """As much text as a run's status."""

    status: str = "SUCCEEDED"
    filler: str = "x" * 700


@app.get("/constant")
def get_constant() -> Constant:
    """Answer with the same as ever; a plain function, run by a thread as the API's routes are."""
    return Constant()


if __name__ == "__main__":
    host, port = sys.argv[1:]
    uvicorn.run(
        app, host=host, port=int(port), log_config=None, access_log=False
    )

"""A function that does nothing, for comparison: FastAPI and Mangum with one route."""

from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


@app.get("/nothing")
async def nothing() -> dict[str, bool]:
    return {"ok": True}


handler = Mangum(app, lifespan="off")

"""What a route costs that does almost nothing: FastAPI, Mangum, and one SELECT by key on our driver and connection.

A coroutine although it blocks, as our own are: a thread for each request would make this one look worse than it is.
"""

from fastapi import FastAPI
from mangum import Mangum
from sqlalchemy import text

from shared.db.session import engine

app = FastAPI()
_SELECT = text("select name from organizations where id = cast(:id as uuid)")


@app.get("/organizations/{organization_id}")
async def get_name(organization_id: str) -> dict[str, str]:
    autocommit = engine().execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        return {"name": connection.execute(_SELECT, {"id": organization_id}).scalar_one()}


handler = Mangum(app, lifespan="off")

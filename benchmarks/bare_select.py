"""A route that does almost nothing, for comparison: FastAPI, Mangum, and one SELECT by primary key on our driver and connection.

It is a coroutine although it blocks, like our own routes: a thread for each request would make it look slower than it is.
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

from pydantic import BaseModel


class AnnSpec(BaseModel):
    kind: str = "flat"
    rerank: int = 1

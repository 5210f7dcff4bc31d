"""What a segment's manifest says of its index: the kind, how it is searched, and what was measured."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FLAT = "flat"
TUNED_K = 10  # recall is measured and tuned at 10 results


class AnnSpec(BaseModel):
    """The kind of an index, its parameters, and the measurements that they were chosen by.

    `build` and `search` are parameters of the kind, such as {"nlist": 4096} and {"nprobe": 32}. `rerank` × k candidates
    are scored exactly for k results. `recall_at_10` counts after that; `ms_per_query` is of one thread and includes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    rows: int = Field(ge=1)
    dimension: int = Field(ge=1)
    build: dict[str, int] = {}
    search: dict[str, int] = {}
    rerank: int = Field(default=1, ge=1)
    recall_at_10: float = Field(ge=0, le=1)
    ms_per_query: float = Field(ge=0)
    bytes_per_vector: float = Field(gt=0)

    @model_validator(mode="after")
    def _flat_has_no_parameters(self) -> Self:
        if self.exact and (self.build or self.search or self.rerank != 1):
            raise ValueError("a flat index has no parameters")
        return self

    @property
    def exact(self) -> bool:
        """Whether the index compares with every row, so that nothing has to be scored again."""
        return self.kind == FLAT

    @property
    def memory_share(self) -> float:
        """Resident memory as a share of the float32 vectors'; a flat index has those themselves."""
        return self.bytes_per_vector / (4 * self.dimension)

    def candidates(self, k: int) -> int:
        """How many rows to ask the index for, to be scored exactly, when k are wanted."""
        return k if self.exact else max(k, TUNED_K) * self.rerank

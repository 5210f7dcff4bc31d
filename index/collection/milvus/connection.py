"""The calls to Milvus that the store makes, with its errors as ours."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from index.collection.milvus.location import TOKEN_VARIABLE, Location
from model.errors import ArtifactError, ArtifactMissing, ConfigError, InvalidInput

CONNECT_SECONDS = 10
CALL_SECONDS = 60
# Flushing and loading wait until the cluster has built its indexes.
BUILD_SECONDS = 3600
# Rows of one request: below the 64 MB that a request may have, at up to 64 KB of text a row.
PAGE_ROWS = 500

# Milvus Lite reads and sorts all rows for every page, but takes pages of any size below 16,384.
_LITE_PAGE_ROWS = 16_000

Row = dict[str, Any]

_NOT_FOUND = 100
# What goes wrong is raised as well: these would show tracebacks of errors that are handled.
_LOGGERS = ("pymilvus", "pymilvus.milvus_client")


class Connection:
    """A client of one server, for many threads; every method raises ArtifactError where the server fails."""

    def __init__(self, location: Location) -> None:
        """Connect; raises ArtifactError that names the address where nothing answers there."""
        self.location = location
        self._token = os.environ.get(TOKEN_VARIABLE, "")
        self._client = self._connect()

    def _connect(self) -> Any:
        try:
            import pymilvus
        except ImportError as error:
            raise ConfigError(f"{self.location} needs pymilvus; run `pip install 'aahr[milvus]'`") from error
        for name in _LOGGERS:  # After the import, which sets them up.
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            return pymilvus.MilvusClient(
                uri=self.location.uri, token=self._token, db_name=self.location.database, timeout=CONNECT_SECONDS
            )
        except Exception as error:  # pymilvus raises its own, grpc's and the file system's.
            remedy = (
                "is it open in another process, which Milvus Lite does not allow?"
                if self.location.lite
                else f"start Milvus there, or correct the address and {TOKEN_VARIABLE}"
            )
            raise ArtifactError(f"{self.location} cannot be opened ({self._reason(error)}); {remedy}") from None

    def collections(self) -> list[str]:
        """The names of all collections."""
        return list(self._call("list_collections", timeout=CALL_SECONDS))

    def create(self, name: str, fields: Sequence[Mapping[str, Any]], indexes: Sequence[Mapping[str, Any]]) -> None:
        """Create a collection, index it and load it: fields and indexes as `add_field` and `add_index` take them."""
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field in fields:
            types = {name: DataType[field[name]] for name in ("datatype", "element_type") if name in field}
            schema.add_field(**{**field, **types})
        # Readers must see what was written before they came, whichever node answers them.
        self._call("create_collection", name, schema=schema, consistency_level="Strong", timeout=CALL_SECONDS)
        if not indexes:  # A name that is taken, not to be read.
            return
        params = self._client.prepare_index_params()
        for index in indexes:
            params.add_index(**index)
        # Nothing is there yet that could be indexed; to load it waits for what has to be waited for.
        self._call("create_index", name, params, timeout=CALL_SECONDS, sync=False)
        self.load(name)

    def is_indexed(self, name: str) -> bool:
        """Whether the creation of a collection came as far as its index; without one it cannot be read."""
        return bool(self._call("list_indexes", name, timeout=CALL_SECONDS))

    def field_names(self, name: str) -> list[str]:
        """The names of the fields of a collection."""
        return [field["name"] for field in self._call("describe_collection", name, timeout=CALL_SECONDS)["fields"]]

    def drop(self, name: str) -> None:
        """Drop a collection; nothing happens where it is not there."""
        self._call("drop_collection", name, timeout=CALL_SECONDS)

    def load(self, name: str) -> None:
        """Load a collection, so that it can be read."""
        self._call("load_collection", name, timeout=BUILD_SECONDS)

    def flush(self, name: str) -> None:
        """Make everything durable that was written to a collection."""
        self._call("flush", name, timeout=BUILD_SECONDS)

    def insert(self, name: str, rows: list[Row]) -> None:
        """Insert rows whose keys are new."""
        self._call("insert", name, rows, timeout=CALL_SECONDS)

    def upsert(self, name: str, rows: list[Row]) -> None:
        """Replace rows of the same keys, or insert them."""
        self._call("upsert", name, rows, timeout=CALL_SECONDS)

    def count(self, name: str, expression: str) -> int:
        """The number of rows where an expression holds."""
        counted = self._call("query", name, filter=expression, output_fields=["count(*)"], timeout=CALL_SECONDS)
        return int(counted[0]["count(*)"])

    def query(self, name: str, expression: str, fields: Sequence[str], limit: int = PAGE_ROWS) -> list[Row]:
        """At most `limit` rows where an expression holds, in no order."""
        found = self._call(
            "query", name, filter=expression, output_fields=list(fields), limit=limit, timeout=CALL_SECONDS
        )
        return [dict(row) for row in found]

    def pages(self, name: str, expression: str, fields: Sequence[str], rows: int = PAGE_ROWS) -> Iterator[list[Row]]:
        """All rows where an expression holds, in pages."""
        pages = self._call(
            "query_iterator",
            name,
            batch_size=_LITE_PAGE_ROWS if self.location.lite else rows,
            filter=expression,
            output_fields=list(fields),
            timeout=CALL_SECONDS,
        )
        try:
            while page := self._translated(pages.next):
                yield [dict(row) for row in page]
        finally:
            pages.close()

    def search(
        self,
        name: str,
        queries: list[Any],
        limit: int,
        expression: str,
        fields: Sequence[str],
        params: Mapping[str, int],
    ) -> list[list[Row]]:
        """For each query the best `limit` rows where an expression holds, with their `distance`."""
        found = self._call(
            "search",
            name,
            data=queries,
            anns_field="vector",
            limit=limit,
            filter=expression,
            output_fields=list(fields),
            search_params={"metric_type": "IP", "params": dict(params)},
            timeout=CALL_SECONDS,
        )
        return [[{"distance": hit["distance"], **hit["entity"]} for hit in hits] for hits in found]

    def alias(self, alias: str) -> str | None:
        """The collection that an alias names, or None where there is no such alias."""
        if alias not in self._call("list_aliases", timeout=CALL_SECONDS)["aliases"]:
            return None
        return str(self._call("describe_alias", alias, timeout=CALL_SECONDS)["collection_name"])

    def set_alias(self, alias: str, name: str, *, exists: bool) -> None:
        """Make an alias name a collection, in one step."""
        self._call("alter_alias" if exists else "create_alias", name, alias, timeout=CALL_SECONDS)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._translated(getattr(self._client, method), *args, **kwargs)

    def _translated(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        import grpc
        from pymilvus import MilvusException

        try:
            return call(*args, **kwargs)
        except MilvusException as error:
            reason = self._reason(error)
            if error.code == _NOT_FOUND:
                raise ArtifactMissing(
                    f"{self.location} has lost a part that is read ({reason}); open its current version"
                ) from error
            if error.is_input_error:
                raise InvalidInput(f"{self.location} refuses the request ({reason}); change it") from error
            raise ArtifactError(f"{self.location} failed ({reason}); see the log of Milvus and try again") from error
        except grpc.RpcError as error:
            raise ArtifactError(
                f"{self.location} does not answer ({self._reason(error)}); is Milvus running, and can it be reached?"
            ) from error

    def _reason(self, error: Exception) -> str:
        details = getattr(error, "details", None)  # of an error of grpc, whose own text has many lines
        text = str(getattr(error, "message", "") or (details() if callable(details) else error)).strip()
        line = text.splitlines()[0] if text else type(error).__name__
        return (line.replace(self._token, "***") if self._token else line)[:300]

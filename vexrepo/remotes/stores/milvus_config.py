"""How a Milvus collection is set up, as the server says it, and a collection made from that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vexrepo.remotes.stores.milvus_server import MilvusServer

_FLAGS: Final = ("is_primary", "auto_id", "nullable", "is_partition_key", "is_clustering_key", "is_function_output")
# What an index says of its state, not of how it was made.
_STATE: Final = frozenset(
    {"field_name", "index_name", "total_rows", "indexed_rows", "pending_index_rows", "state", "index_state_fail_reason"}
)
_KEPT: Final = ("description", "properties")
_NO_METRIC: Final = ("", "NONE")


def read_collection(server: MilvusServer) -> tuple[dict[str, Any], int]:
    """Return how the collection is set up, as JSON that ``create`` makes the same of, and the server's number for it.

    Raises: StoreError.
    """
    name, timeout_s = server.collection, server.timeout_s
    with server.asking():
        told = server.client.describe_collection(name, timeout=timeout_s)
        indexes = [
            server.client.describe_index(name, index, timeout=timeout_s)
            for index in server.client.list_indexes(name, timeout=timeout_s)
        ]
    schema: dict[str, Any] = {
        "fields": [_field(each) for each in told["fields"]],
        "dynamic": bool(told.get("enable_dynamic_field")),
        "consistency": str(told.get("consistency_level_name") or "Bounded"),
    }
    schema |= {each: told[each] for each in _KEPT if told.get(each)}
    if told.get("functions"):
        schema["functions"] = [_function(each) for each in told["functions"]]
    if any(each.get("is_partition_key") for each in schema["fields"]) or (told.get("num_partitions") or 1) > 1:
        schema["partitions"] = int(told["num_partitions"])
    found: dict[str, list[dict[str, Any]]] = {}
    for each in indexes:
        if each:
            found.setdefault(each["field_name"], []).append(_index(each))
    schema["indexes"] = found
    return schema, int(told.get("collection_id") or 0)


def _field(told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": told["name"], "type": told["type"].name}
    if told.get("params"):
        found["params"] = {name: _number(value) for name, value in told["params"].items()}
    if told.get("element_type"):
        element = told["element_type"]
        found["element"] = getattr(element, "name", None) or str(element)
    found |= {name: True for name in _FLAGS if told.get(name)}
    default = told.get("default_value")
    if default is not None:
        kind = default.WhichOneof("data") if hasattr(default, "WhichOneof") else None
        held = getattr(default, kind) if kind else default
        if isinstance(held, (str, int, float, bool)):
            found["default"] = held
    if told.get("description"):
        found["description"] = told["description"]
    return found


def _number(value: Any) -> Any:
    """Return a parameter as JSON; some servers give numbers as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, (str, int, float, bool, list, dict)) else str(value)


def _index(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _number(value) for name, value in told.items() if name not in _STATE and value is not None}


def _function(told: Any) -> dict[str, Any]:
    kind = told.get("type")
    return {
        "name": told.get("name"),
        "type": getattr(kind, "name", str(kind)),
        "input_field_names": list(told.get("input_field_names") or ()),
        "output_field_names": list(told.get("output_field_names") or ()),
        "params": {name: _number(value) for name, value in (told.get("params") or {}).items()},
    }


def create(server: MilvusServer, schema: Mapping[str, Any]) -> None:
    """Make the collection that a schema says, with its indexes; it is not loaded.  Raises: StoreError."""
    client = server.client
    from pymilvus import DataType, Function, FunctionType

    with server.asking():
        made = client.create_schema(
            auto_id=False, enable_dynamic_field=bool(schema.get("dynamic")), description=schema.get("description") or ""
        )
        for each in schema["fields"]:
            more: dict[str, Any] = dict(each.get("params") or {})
            more |= {name: True for name in ("is_primary", "nullable", "is_partition_key") if each.get(name)}
            more |= {"is_clustering_key": True} if each.get("is_clustering_key") else {}
            if each.get("element"):
                more["element_type"] = DataType[each["element"]]
            if each.get("default") is not None:
                more["default_value"] = each["default"]
            if each.get("description"):
                more["description"] = each["description"]
            made.add_field(each["name"], DataType[each["type"]], **more)
        for each in schema.get("functions", ()):
            made.add_function(
                Function(
                    name=each["name"],
                    function_type=FunctionType[each["type"]],
                    input_field_names=each["input_field_names"],
                    output_field_names=each["output_field_names"],
                    params=each.get("params") or {},
                )
            )
        indexes = client.prepare_index_params()
        for name, several in (schema.get("indexes") or {}).items():
            for told in several:
                index = {key: value for key, value in told.items() if key not in ("index_type", "metric_type")}
                metric = {} if told.get("metric_type") in (None, *_NO_METRIC) else {"metric_type": told["metric_type"]}
                indexes.add_index(field_name=name, index_type=told.get("index_type", ""), params=index, **metric)
        more = {"properties": schema["properties"]} if schema.get("properties") else {}
        if schema.get("partitions", 1) > 1:
            more["num_partitions"] = schema["partitions"]
        client.create_collection(
            server.collection,
            schema=made,
            consistency_level=schema.get("consistency", "Bounded"),
            timeout=server.timeout_s,
            **more,
        )
        if indexes:
            client.create_index(server.collection, indexes, timeout=server.timeout_s)

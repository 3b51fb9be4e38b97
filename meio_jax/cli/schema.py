"""``meio schema``: the JSON Schema of network files."""

from __future__ import annotations

import dataclasses
import json as json_

from meio_jax.cli.common import Result

__all__ = ["Schema"]


@dataclasses.dataclass(frozen=True)
class Schema:
    """Print the JSON Schema of network files, with what each key means and its unit."""

    json: bool = False
    """One JSON object in one line."""

    def run(self) -> Result:
        from meio_jax.files import json_schema

        schema = json_schema()
        return Result(schema, json_.dumps(schema, indent=2, ensure_ascii=False))

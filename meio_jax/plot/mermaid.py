"""The network as text that becomes a picture."""

from __future__ import annotations

from meio_jax.network import Network

__all__ = ["mermaid"]


def mermaid(network: Network) -> str:
    """The network as a Mermaid flowchart, for Markdown: nodes, suppliers and customers as circles, lead times on arcs
    (after an order delay and a plus sign, where orders travel).

    Names are quoted, so any name is safe; identifiers are ``n0``, ``n1``, ...
    """
    w = network.wiring
    lines = ["flowchart LR"]
    lines += [f"  n{n}[{_quoted(name)}]" for n, name in enumerate(w.nodes)]
    for e in range(w.n_arcs):
        if w.dst[e] < 0:
            lines.append(f"  n{w.src[e]} --> c{e}((customer))")
        else:
            start = f"s{e}((supplier))" if w.src[e] < 0 else f"n{w.src[e]}"
            low, high = w.min_lead_time[e], w.max_lead_time[e]
            time = f"{w.lead_time[e]}" if low == high else f"{low}..{high}"
            time = f"{w.order_delay[e]} + {time}" if w.order_delay[e] else time
            lines.append(f'  {start} -->|"{time}"| n{w.dst[e]}')
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    escaped = name.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return f'"{" ".join(escaped.split())}"'

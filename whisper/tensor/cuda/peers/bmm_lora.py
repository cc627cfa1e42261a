"""Measures LoRA in which each row of a batch has its own adapter, as torch.bmm computes it: y = x W' + bmm(bmm(x, A), B) with A
(nRow, nIn, rank), B (nRow, rank, nOut), against the product x W' alone, over ranks, in bfloat16 and in CUDA graphs, so that launches
do not count. Adapters are gathered by row once, outside of the time. Prints one JSON object."""

import argparse
import json
import statistics

import torch


def graph_ms(f, repeat):
    """The median time of f in milliseconds, captured as a graph."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            f()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    inner = 20
    with torch.cuda.graph(graph):
        for _ in range(inner):
            f()
    times = []
    for _ in range(repeat + 1):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / inner)
    return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=int, default=1280)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--adapters", type=int, default=32)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--repeat", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(1)
    new = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16) / shape[-1] ** 0.5
    n, rows = args.state, args.batch
    w, x = new(n, n), new(rows, n)
    which = torch.arange(rows, device="cuda") % args.adapters
    results = []
    with torch.inference_mode():
        base = graph_ms(lambda: x @ w.T, args.repeat)
        for rank in args.ranks:
            a, b = new(args.adapters, n, rank)[which], new(args.adapters, rank, n)[which]
            lora = lambda: (x @ w.T) + torch.bmm(torch.bmm(x.unsqueeze(1), a), b).squeeze(1)
            ms = graph_ms(lora, args.repeat)
            results.append({"rank": rank, "base_ms": base, "ms": ms, "over_base": ms / base})
    print(json.dumps({
        "peer": "torch.bmm", "torch": torch.__version__, "gpu": torch.cuda.get_device_name(), "state": n, "batch": rows,
        "adapters": args.adapters, "bmm": results,
    }))


if __name__ == "__main__":
    main()

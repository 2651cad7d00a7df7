"""Read the tables of an output folder with DuckDB and pandas and compare them with the records.

    python .ci/frames.py OUT

Every value has to be that of the record, to the last digit, in a column of the right type. Some columns are read as text,
as docs/results.md says.
"""

import json
import sys
from pathlib import Path

import duckdb
import pandas

SCHEMA = 1
TEXT = {"seed", "budget", "version"}  # columns to read as text whatever their values look like


def identity(r):
    return {
        "schema": SCHEMA, **{k: r[k] for k in ("id", "experiment", "network", "width", "padding", "dataset", "method")},
        "variant": r.get("variant"), "budget": r["budget"], "budget_flops": r["budget_flops"], "seed": str(r["seed"]),
        "state": "failed" if "failure" in r else "done",
    }


def spaced(numbers):
    return numbers and " ".join(map(str, numbers))


def frame(record):
    r = record["result"]
    final, start, failure = r.get("final", {}), r.get("start", {}), r.get("failure", {})
    last = final["epochs"][-1] if final else {}
    cost, search = final.get("cost", {}), r["search_cost"]
    row = identity(r) | {k: final.get(k) for k in ("test_top1", "test_loss", "flops", "flops_without_stem", "params")}
    row |= {"epochs": final and len(final["epochs"]) or None, "train_top1": last.get("train_top1"),
            "train_loss": last.get("train_loss")}
    for k in ("forward_images", "backward_images", "flops"):
        row |= {"search_" + k: search[k], "final_" + k: cost.get(k)}
    for k in ("flops", "params", "validation_top1"):
        row["start_" + k] = start.get(k)
    row |= {"updates": len(r.get("updates", [])), "stopped": r.get("stopped"), "layers": spaced(r["layers"]),
            "start_channels": spaced(start.get("channels")), "channels": spaced(final.get("channels")),
            "failure": failure.get("reason"), "record_hash": record["hash"]}
    for k in ("epoch", "step", "learning_rate"):
        row["failure_" + k] = failure.get(k)
    for k in ("device", "version", "dataset_checksum"):
        row[k] = r[k]
    row["dataset_note"] = r.get("dataset_note")
    row["libraries"] = ", ".join(f"{k} {v}" for k, v in sorted(r["libraries"].items()))
    train = r["config"]["train"]
    return [row | {f"config.train.{k}": train[k] for k in ("epochs", "batch", "learning_rate")}]


def layers(record):
    r = record["result"]
    rows = []
    for u in r.get("updates", []):
        for i, name in enumerate(r["layers"]):
            moved = [word for word, where in (("grown", "grown"), ("shrunk", "shrunk")) if i in (u[where] or [])]
            rows.append(identity(r) | {
                "update": u["index"], "update_flops": u["flops"], "layer": i, "layer_name": name,
                "validation_loss": u["validation_loss"], "validation_top1": u["validation_top1"], "fur": u["fur"][i],
                "fur_std_err": u["fur_std_err"][i], "drop_rate": u["drop_rates"][i],
                "fur_image_std_err": u["fur_image_std_err"][i] if "fur_image_std_err" in u else None,
                "flops_per_channel": u["flops_per_channel"][i], "moved": ", ".join(moved) or None,
                "channels_before": u["channels"][i], "channels_after": u["next"][i],
                "search_flops_so_far": u["cost"]["flops"],
            })
    return rows


def epochs(record):
    r = record["result"]
    return [identity(r) | {"epoch": e["index"], **{k: e[k] for k in ("learning_rate", "train_loss", "train_top1")}}
            for e in r.get("final", {}).get("epochs", [])]


def truth(record):
    r = record["result"]
    t = r.get("truth")
    rows = []
    for i, name in enumerate(r["layers"] if t else []):
        at = {"": {"channels": t["channels"][i], **{k: t[k] for k in ("flops", "validation_loss", "validation_top1")}},
              "_narrower": t["narrower"][i], "_wider": t["wider"][i]}
        row = identity(r) | {"layer": i, "layer_name": name, "drop_rate": t["drop_rates"][i]}
        row |= {k: t[k][i] for k in ("fur", "fur_std_err", "fur_image_std_err", "flops_per_channel")}
        for end, of in at.items():
            row |= {k + end: of[k] for k in ("channels", "flops", "validation_loss", "validation_top1")}
        for gain, a, b in (("shrinking", "_narrower", ""), ("growing", "", "_wider"), ("both", "_narrower", "_wider")):
            a, b = at[a], at[b]
            row[gain] = (a["validation_loss"] - b["validation_loss"]) / ((b["flops"] - a["flops"]) / 1e6)
        rows.append(row)
    return rows


def timing(record):
    run = record["run"]
    row = identity(record["result"]) | {"job": run.get("job"), "processor": run.get("processor"), "resumed": run.get("resumed", False)}
    row |= {k: run.get(k) for k in ("calibration_seconds", "search_wall_seconds", "search_device_seconds")}
    return [row | {k: run[k] for k in ("wall_seconds", "device_seconds", "host", "jobs", "threads", "go_version")}]


def same(got, want):
    if want is None:
        return got is None
    # A whole number in a column of reals is read as a real, and a column without any value has no type of its own.
    return got == want and (isinstance(got, str) == isinstance(want, str))


def check(out, name, want):
    path = str(out / name)
    text = TEXT.intersection(Path(path).read_text().partition("\n")[0].split(","))
    got = duckdb.sql(f"select * from read_csv('{path}', header=true, types={dict.fromkeys(text, 'VARCHAR')})")
    columns, values = got.columns, got.fetchall()
    if len(values) != len(want):
        sys.exit(f"{name}: DuckDB reads {len(values)} rows, the records have {len(want)}")
    missing = [c for c in want[0] if c not in columns]
    if missing:
        sys.exit(f"{name} has no column {', '.join(missing)}")
    key = [c for c in ("id", "update", "layer", "epoch") if c in columns]
    order = lambda row: tuple(row[c] for c in key)
    found = sorted((dict(zip(columns, row)) for row in values), key=order)
    for g, w in zip(found, sorted(want, key=order)):
        for column, value in w.items():
            if not same(g[column], value):
                sys.exit(f"{name}, {order(g)}: {column} is {g[column]!r}, the record has {value!r}")
    table = pandas.read_csv(path, dtype=dict.fromkeys(text, str))
    for column in want[0]:
        wanted = [w[column] for w in want if w[column] is not None]
        if wanted and not isinstance(wanted[0], str) and abs(table[column].sum() - sum(wanted)) > 1e-9 * abs(sum(wanted)):
            sys.exit(f"{name}: {column} sums to {table[column].sum()!r} in pandas, the records to {sum(wanted)!r}")
    print(f"{name}: {len(values)} rows, {len(want[0])} of {len(columns)} columns compared")
    return found


def main():
    out = Path(sys.argv[1])
    records = [json.loads(p.read_text()) for p in sorted(out.glob("cells/*/record.json"))]
    tables = {"frame.csv": frame, "layers.csv": layers, "epochs.csv": epochs, "truth.csv": truth, "timing.csv": timing}
    for name, rows in tables.items():
        check(out, name, [row for r in records for row in rows(r)])
    states = duckdb.sql(f"select state, count(*) from '{out}/frame.csv' group by state").fetchall()
    if dict(states).keys() != {"done", "failed"}:
        sys.exit(f"the experiment was to have cells that finish and one that fails, and has {states}")
    # What somebody would do with them: the mean gain of a method over uniform widths, paired by seed.
    print(duckdb.sql(f"""
        select a.method, a.budget, count(*) as n, round(100 * avg(a.test_top1 - b.test_top1), 2) as gain
        from '{out}/frame.csv' a join '{out}/frame.csv' b using (network, width, dataset, budget, seed)
        where b.method = 'uniform' and b.state = 'done' and b.variant is null and a.method = 'adjust'
        group by all order by all"""))


main()

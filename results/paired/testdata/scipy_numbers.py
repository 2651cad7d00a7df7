"""Writes scipy.json, the numbers that paired_test.go expects: python3 scipy_numbers.py > scipy.json

Needs SciPy and statsmodels; the file names the versions that made it.
"""
import json
import platform

import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(20)
samples = {
    "one budget": [[0.31, -0.12, 0.55, 0.42, 0.08]],
    "all positive": [[0.31, 0.12, 0.55, 0.42, 0.08], [0.2, 0.7, 0.1, 0.9, 0.3], [1.1, 0.4, 0.6, 0.35, 0.25]],
    "ties": [[1, -1, 2, 2, 0, 3], [-2, 0, 1, 1]],
    "two pairs": [[0.5, -0.25]],
    "negative": [list(np.round(rng.normal(-0.6, 0.9, 6), 3)), list(np.round(rng.normal(-0.3, 0.5, 5), 3))],
    "noise": [list(np.round(rng.normal(0, 1, 7), 3)), list(np.round(rng.normal(0, 2, 7), 3))],
}


def sign_flip(d):
    d = np.asarray(d, float)
    return stats.permutation_test((d, np.zeros_like(d)), lambda x, y, axis: np.mean(x - y, axis=axis),
                                  permutation_type="samples", vectorized=True, n_resamples=np.inf).pvalue


def pairs_needed(effect):
    n = 2
    while True:
        edge, shift = stats.t.ppf(0.975, n - 1), abs(effect) * np.sqrt(n)
        if stats.nct.sf(edge, n - 1, shift) + stats.nct.cdf(-edge, n - 1, shift) >= 0.8:
            return n
        n += 1


out = {"made_with": f"Python {platform.python_version()}, SciPy {scipy.__version__}, "
       f"statsmodels {statsmodels.__version__}"}
out["samples"] = []
for name, sample in samples.items():
    every = np.concatenate([np.asarray(d, float) for d in sample])
    freedom = sum(len(d) - 1 for d in sample)
    std = np.sqrt(sum((len(d) - 1) * np.var(d, ddof=1) for d in sample) / freedom)
    out["samples"].append({
        "name": name, "differences": [[float(v) for v in d] for d in sample], "p": float(sign_flip(every)),
        "std_dev": float(std), "effect": float(every.mean() / std),
        "intervals": [[float(v) for v in stats.ttest_1samp(d, 0).confidence_interval(0.95)] for d in sample],
        "wider": [[float(v) for v in stats.ttest_1samp(d, 0).confidence_interval(0.99)] for d in sample],
    })
p = [0.01, 0.04, 0.03, 0.005, 0.9, 0.04]
out["holm"] = {"p": p, "adjusted": [float(v) for v in multipletests(p, method="holm")[1]]}
out["needed"] = [{"effect": e, "pairs": pairs_needed(e)} for e in (0.2, 0.3, -0.5, 0.8, 1, 1.5, 2)]
print(json.dumps(out, indent=1))

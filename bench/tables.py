"""docs/tables.md: the recipes for tables beside scikit-learn's, on ten tables, and how many rows their intervals cover.

    PYTHONPATH=. python bench/tables.py docs/tables.md

Everybody has defaults and the same splits: a quarter of the rows for the test, seeds 0 to 4. scikit-learn's estimators get numbers with
medians for missing values, indicators, and standardised, and categories one-hot; its perceptron a standardised target too; its trees take
missing values as they are. The recipes' numbers were chosen on other splits of the same tables, seeds 10 to 13, once for all tables.
"""

import argparse
import sys
import time
import warnings

import numpy as np
from scipy.stats import rankdata
from sklearn import datasets
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import fastnn as fnn

RANKED = ("default", "plain", "sklearn MLP", "linear", "boosting")
SHOWN = (*RANKED, "tabm")
SEEDS = range(5)
SPLITS = 30
INTERVAL = 0.9


def with_categories(x, seed, categories=3, missing=0.08):
    """Return numbers with the first columns cut into texts, and some of all values missing."""
    rng, x = np.random.default_rng(seed), x.astype(object)
    for i in range(categories):
        numbers = x[:, i].astype(float)
        edges = np.quantile(numbers, np.linspace(0, 1, 5 + 2 * i)[1:-1])
        x[:, i] = np.array(list("abcdefghijkl"), object)[np.digitize(numbers, edges)]
    x[rng.random(x.shape) < missing] = None
    return x


def tables():
    """Yield (name, x, y, number of categorical columns, whether y are classes)."""
    for name in ("breast_cancer", "wine", "iris", "digits"):
        yield name, *getattr(datasets, f"load_{name}")(return_X_y=True), 0, True
    yield "diabetes", *datasets.load_diabetes(return_X_y=True), 0, False
    x, y = datasets.load_linnerud(return_X_y=True)
    yield "linnerud, first target", x, y[:, 0], 0, False
    x, y = datasets.make_classification(1000, 12, n_informative=6, n_redundant=2, n_classes=3, random_state=0)
    yield "make_classification", with_categories(x, 0), y, 3, True
    x, y = datasets.make_regression(1000, 12, n_informative=8, noise=20.0, random_state=0)
    yield "make_regression", with_categories(x, 1), y, 3, False
    yield "moons", *datasets.make_moons(1000, noise=0.3, random_state=0), 0, True
    yield "friedman1", *datasets.make_friedman1(1000, noise=1.0, random_state=0), 0, False


def as_table(x, categories):
    """Return the columns by name: texts, and floats with NaN."""
    return {f"c{i}": x[:, i] if i < categories else x[:, i].astype(float) for i in range(x.shape[1])}


def peer(name, categories, width, classes, seed):
    """Return an estimator of scikit-learn with what prepares its columns."""
    trees = name == "boosting"
    numbers = "passthrough"
    if not trees:
        numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    codes = OneHotEncoder(handle_unknown="ignore")
    if trees:
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    texts = make_pipeline(SimpleImputer(strategy="constant", fill_value="?", missing_values=None), codes)
    prepared = ColumnTransformer([
        ("texts", texts, list(range(categories))), ("numbers", numbers, list(range(categories, width))),
    ])  # fmt: skip
    regressor = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    estimator = {
        "linear": lambda: LogisticRegression() if classes else Ridge(),
        "sklearn MLP": lambda: MLPClassifier(random_state=seed) if classes else regressor,
        "boosting": lambda: (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
            random_state=seed
        ),
    }[name]()
    return make_pipeline(prepared, estimator)


def trained(x, y, categories, classes, seed, **options):
    """Return a model of fastnn."""
    task = "classification" if classes else "regression"
    return fnn.train_table(as_table(x, categories), y, task=task, seed=seed, verbose=False, **options)


def score(method, parts, categories, classes, seed):
    """Return accuracy or r2 of a method on test rows."""
    x_train, x_test, y_train, y_test = parts
    if method in ("default", "plain", "tabm"):
        options = {"default": {}, "plain": {"preset": "plain", "validation": 0.2}, "tabm": {"preset": "tabm"}}
        model = trained(x_train, y_train, categories, classes, seed, **options[method])
        predicted = model.predict(as_table(x_test, categories))
    else:
        estimator = peer(method, categories, x_train.shape[1], classes, seed)
        predicted = estimator.fit(x_train, y_train).predict(x_test)
    return (accuracy_score if classes else r2_score)(y_test, predicted)


def compared():
    """Return for each table its scores, an array (seeds, methods), and the seconds of a training by the default."""
    found = {}
    for name, x, y, categories, classes in tables():
        scores, seconds = np.zeros((len(SEEDS), len(SHOWN))), 0.0
        for seed in SEEDS:
            parts = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y if classes else None)
            for i, method in enumerate(SHOWN):
                start = time.process_time()
                scores[seed, i] = score(method, parts, categories, classes, seed)
                seconds += time.process_time() - start if method == "default" else 0
        found[name] = (x.shape, "accuracy" if classes else "R2", scores, seconds / len(SEEDS))
        print(name, dict(zip(SHOWN, scores.mean(axis=0).round(4).tolist(), strict=True)), file=sys.stderr)
    return found


def coverage(splits, names=("diabetes", "make_regression", "friedman1"), **options):
    """Return for tables of regression the share of test rows within intervals and their width in deviations, by split."""
    found = {}
    for name, x, y, categories, classes in tables():
        if name not in names:
            continue
        found[name] = np.zeros((splits, 2))
        for seed in range(splits):
            x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=seed)
            model = trained(x_train, y_train, categories, classes, seed, **options)
            low, high = model.predict(as_table(x_test, categories), interval=INTERVAL)[1].T
            found[name][seed] = ((low <= y_test) & (y_test <= high)).mean(), (high - low).mean() / y.std()
        print(name, *found[name].mean(axis=0).round(4), file=sys.stderr)
    return found


def ranks(found, recipe="default"):
    """Return the mean rank over tables and seeds of a recipe, and of the other methods that are ranked; equal scores share theirs."""
    columns = [SHOWN.index(recipe), *range(1, len(RANKED))]
    return np.mean([rankdata(-row[columns]) for _, _, scores, _ in found.values() for row in scores.round(6)], axis=0)


def written(found, covered):
    """Return the lines of docs/tables.md."""
    yield "# Tables: the default recipe beside others"
    yield ""
    yield f"Made by `make tables` with fastnn {fnn.__version__} and scikit-learn {sys.modules['sklearn'].__version__}, one thread. Accuracy, or R2 for regression, of a quarter"
    yield "of the rows that nobody was trained on: means over 5 splits, the best of the first five in bold. Everybody has defaults. `default` is"
    yield '`train_table(table, target)`, which is RealMLP in small; `plain` one multilayer perceptron (`preset="plain", validation=0.2`), which a fifth'
    yield "of its rows stops; `sklearn MLP` has standardised targets too; `linear` LogisticRegression or Ridge; `boosting` HistGradientBoosting;"
    yield "`tabm` the preset of that name. Rank: mean of the places among the first five, over tables and splits. The recipes' numbers were chosen"
    yield "on other splits of these tables (seeds 10 to 13), once for all; of the presets the one with the best mean rank is the default (with"
    yield f"`tabm` in its place: {ranks(found, 'tabm')[0]:.2f})."
    yield ""
    yield "| table | rows x columns | " + " | ".join(SHOWN) + " | default trains in |"
    yield "|---|---|" + "---|" * (len(SHOWN) + 1)
    lost = []
    for name, (shape, kind, scores, seconds) in found.items():
        means = scores.mean(axis=0)
        best = means[: len(RANKED)].max()
        cells = [f"**{mean:.4f}**" if round(mean, 4) == round(best, 4) else f"{mean:.4f}" for mean in means]
        yield f"| {name} ({kind}) | {shape[0]:,} x {shape[1]} | " + " | ".join(cells) + f" | {seconds:.1f} s |"
        better = [method for method, mean in zip(RANKED[1:], means[1:], strict=False) if mean > means[0] + 5e-5]
        lost += [f"{name} (to {', '.join(better)})"] if better else []
    places = ranks(found)
    yield (
        "| **rank** | | " + " | ".join(f"{place:.2f}" for place in places) + " | |" + " |" * (len(SHOWN) - len(RANKED))
    )
    yield ""
    yield "Where the default loses, by the means: " + ("; ".join(lost) if lost else "nowhere") + "."
    yield ""
    yield "## Intervals"
    yield ""
    yield f"`predict(table, interval={INTERVAL})` of the default recipe: the share of test rows between low and high end, mean over {SPLITS} splits with"
    yield "its standard error, and the mean width in standard deviations of the target."
    yield ""
    yield "| table | covered | width |"
    yield "|---|---|---|"
    for name, values in covered.items():
        (share, width), error = values.mean(axis=0), values[:, 0].std(ddof=1) / np.sqrt(len(values))
        yield f"| {name} | {share:.1%} +- {error:.1%} | {width:.2f} |"


def main():
    """Measure, and write the file that is named, or print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="where to write the Markdown; standard output if none")
    path = parser.parse_args().file
    fnn.set_num_threads(1)
    warnings.filterwarnings("ignore")  # scikit-learn's MLP says of most tables that it has not converged
    text = "\n".join(written(compared(), coverage(SPLITS))) + "\n"
    if path is None:
        print(text, end="")
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()

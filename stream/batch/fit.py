"""The fit: LightGBM on a training set, compiled."""

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

import numpy as np

from stream.batch.window import TrainingSet
from stream.errors import SettingsError
from stream.models.boosted import Boosted, boosted_from_lightgbm

ROUNDS: Final = 150
PARAMETERS: Final[Mapping[str, float | int]] = MappingProxyType(
    {
        "learning_rate": 0.05,
        "num_leaves": 15,
        "min_data_in_leaf": 50,
        "lambda_l2": 5.0,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
    }
)
"""Small trees, slowly: frauds are few, and of the last weeks' kind. They go into snapshots."""
_ALWAYS: Final[Mapping[str, str | bool | int]] = MappingProxyType(
    {
        "objective": "binary",
        # Features are never missing, and the compiled form does not know what that is.
        "use_missing": False,
        # One thread and one way to build histograms: the same rows give the same bits.
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
)


def require_lightgbm() -> ModuleType:
    """Return LightGBM.

    Raises
    ------
    SettingsError
        It is not there, or cannot be loaded: what to install.
    """
    try:
        import lightgbm  # noqa: PLC0415 - an extra; and half a second that only a fitter has to wait
    except ModuleNotFoundError:
        raise SettingsError(
            "the batch challenger needs LightGBM, which is not installed: pip install 'fraudstream[batch]'"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"LightGBM cannot be loaded ({error}): install the system's libgomp, on Debian the package"
            " libgomp1"
        ) from error
    module: ModuleType = lightgbm
    return module


def fit(sample: TrainingSet, seed: int) -> Boosted:
    """Fit a model that knows nothing but these rows: the same rows and seed give the same bits.

    Parameters
    ----------
    sample
        Its features are finite.
    seed
        Of the rows and features that each tree is shown; at least 0, less than 2**31.

    Raises
    ------
    SettingsError
        LightGBM is not installed.

    Notes
    -----
    On one core about 5 s with 200,000 rows. Other versions of LightGBM, or another processor's instructions,
    may give other bits.

    References
    ----------
    Ke et al. (2017), LightGBM: A highly efficient gradient boosting decision tree.
    """
    lightgbm = require_lightgbm()
    dataset = lightgbm.Dataset(sample.x, sample.y.astype(np.float32), params=dict(_ALWAYS))
    booster = lightgbm.train({**_ALWAYS, **PARAMETERS, "seed": seed}, dataset, ROUNDS)
    return boosted_from_lightgbm(booster.dump_model(), sample.negative_rate)

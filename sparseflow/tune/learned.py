"""What a training will lose, learned from those that are done, and from studies before."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.extras import install

__all__ = ["Learned", "Scale", "carried"]

Floats = npt.NDArray[np.float64]
FEW = 3  # samples that teach nothing but their mean
LOST = slice(2, 4)  # of features: logarithms of energies that are lost
USUAL = 4.0  # scaled loss that an energy costs if it is lost, before anything is known
WIDE = 1.0  # deviation, in a scale, of what nothing is known of


@dataclass(frozen=True)
class Scale:
    """Losses of a network so that those of others are alike.

    Linear where the loss is near the dense network's, logarithmic far above it, where differences
    do not matter.

    Parameters
    ----------
    dense : float
        Loss of the dense network.
    unit : float
        What counts as a difference.
    """

    dense: float
    unit: float

    def of(self, losses: Floats) -> Floats:
        """Scaled."""
        found: Floats = np.arcsinh((losses - self.dense) / self.unit)
        return found

    def losses(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Means and deviations as losses."""
        return self.dense + self.unit * np.sinh(mean), self.unit * np.cosh(mean) * deviation


class Learned:
    """A Gaussian process on scaled losses, alone or around what earlier studies say.

    Of a prior it learns the residuals, so that the prior fades as samples come, as that of AutoTVM
    (Chen et al., NeurIPS 2018) does; where the samples are likelier without it, it is dropped. Few
    samples and smooth effects are what such a process is for.

    Parameters
    ----------
    features : float array (choices, features)
        As :func:`sparseflow.tune.patterns.features` has them.
    scale : Scale
    prior : float array (choices,), optional
        Scaled losses as earlier studies would have them.
    seed : int
    """

    def __init__(
        self, features: Floats, scale: Scale, prior: Floats | None = None, seed: int = 0
    ) -> None:
        spread = features.std(axis=0)
        self.features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
        self.scale, self.prior, self.seed = scale, prior, seed
        self.usual = USUAL * np.exp2(features[:, LOST]).mean(axis=1)

    def predict(self, places: npt.NDArray[np.int64], losses: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the loss of every choice.

        Parameters
        ----------
        places : int array (samples,)
            Choices that were trained.
        losses : float array (samples,)
        """
        wanted = self.scale.of(losses)
        bases = [self.usual]
        bases += [] if self.prior is None else [self.prior]
        if len(places) < FEW:
            base = np.mean(bases, axis=0)
            middle = float((wanted - base[places]).mean()) if len(places) else 0.0
            return self.scale.losses(base + middle, np.full(len(base), WIDE))
        # around their mean, in the same units: so likelihoods can be compared
        bases = [base + float((wanted - base[places]).mean()) for base in bases]
        fits = [(_fitted(self.features[places], wanted - b[places], self.seed), b) for b in bases]
        model, base = max(fits, key=lambda fit: fit[0].log_marginal_likelihood_value_)
        mean, deviation = model.predict(self.features, return_std=True)
        return self.scale.losses(base + mean, deviation)


def _fitted(features: Floats, wanted: Floats, seed: int) -> Any:
    model = _process(features.shape[1], seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bounds of length scales that are reached
        return model.fit(features, wanted)


def _process(count: int, seed: int) -> Any:
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
    except ImportError as error:
        raise ValueError(f"a search needs scikit-learn: {install('scikit-learn')}") from error
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(np.full(count, 2.0), (0.3, 30), nu=2.5)
    kernel += WhiteKernel(0.02, (1e-4, 0.3))
    return GaussianProcessRegressor(kernel, random_state=seed)


def carried(
    samples: Floats, losses: Floats, scale: Scale, features: Floats, seed: int = 0
) -> Floats:
    """Scaled losses of a network as the trainings of another one would have them.

    Parameters
    ----------
    samples : float array (samples, features)
        Of the other network.
    losses : float array (samples,)
    scale : Scale
        Of the other network.
    features : float array (choices, features)
    seed : int

    Returns
    -------
    float array (choices,)
    """
    known = Learned(np.vstack([samples, features]), scale, None, seed)
    mean, _ = known.predict(np.arange(len(samples)), losses)
    return scale.of(mean[len(samples) :])

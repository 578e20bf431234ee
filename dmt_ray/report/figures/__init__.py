"""Figures: functions of plain values and tables that return a matplotlib `Figure`, and functions that read the records.

`dmt figures NAME` draws all that an ablation's or a sweep's records allow. In a notebook::

    from dmt_ray.report import figures
    from dmt_ray.results import tidy
    frame = tidy.of_ablation(Path("runs/ablations/components-shapes-c59ea718"))
    figures.forest_plot(figures.paired_differences(frame, "shapes"), "Baseline")

torch, Ray and Optuna are imported only where they are used.
"""

from dmt_ray.report.figures.best_of import best_of_k, best_of_k_plot
from dmt_ray.report.figures.calibration import calibration, calibration_plot
from dmt_ray.report.figures.compute import Costly, costs, pareto, score_against_compute, trial_costs
from dmt_ray.report.figures.curves import curves, training_curves
from dmt_ray.report.figures.forest import Difference, forest_plot, paired_differences
from dmt_ray.report.figures.fractions import fraction_scores, score_by_fraction, sweep_fraction_scores
from dmt_ray.report.figures.importances import LEAST_TRIALS, importance_plot, importances
from dmt_ray.report.figures.iterations import iteration_scores, score_by_iteration
from dmt_ray.report.figures.kit import save
from dmt_ray.report.figures.landscape import landscape, landscape_of
from dmt_ray.report.figures.maps import qualitative, stored_examples, weight_maps
from dmt_ray.report.figures.pairs import disagreement_and_gain, pairs_plot
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.figures.pseudo_labels import (
    error_by_class,
    error_of_most_confident,
    errors_by_share,
    label_errors,
    teacher_errors,
)
from dmt_ray.report.figures.rates import coupling, coupling_plot, disagreement_rates, disagreements
from dmt_ray.report.figures.reliability import reliability, reliability_plot
from dmt_ray.report.figures.setting import score_by_setting, setting_scores
from dmt_ray.report.figures.slices import slices
from dmt_ray.report.figures.trials import SweepTrials, parallel_coordinates, read_sweep

__all__ = ["LEAST_TRIALS", "Costly", "Difference", "Predictor", "SweepTrials", "best_of_k", "best_of_k_plot"]
__all__ += [
    "calibration",
    "calibration_plot",
    "costs",
    "coupling",
    "coupling_plot",
    "curves",
    "disagreement_rates",
    "disagreements",
    "error_by_class",
]
__all__ += ["error_of_most_confident", "errors_by_share", "forest_plot", "fraction_scores", "importance_plot"]
__all__ += ["importances", "iteration_scores", "label_errors", "landscape", "landscape_of", "paired_differences"]
__all__ += ["parallel_coordinates", "pareto", "qualitative", "read_sweep", "reliability", "reliability_plot", "save"]
__all__ += ["score_against_compute", "score_by_fraction", "score_by_iteration", "score_by_setting", "setting_scores"]
__all__ += ["slices", "stored_examples", "sweep_fraction_scores", "teacher_errors", "training_curves", "trial_costs"]
__all__ += ["disagreement_and_gain", "pairs_plot", "weight_maps"]

# ruff: noqa: F401
"""All that benchmarks take from `unseen` beside its public names, in one place; nothing else may.

The draws are those of `unseen.evaluate`, which peers must get too; figures are its own as well.
"""

from unseen.data.split import halves
from unseen.evaluation.metrics import FIGURES, LEAST, auroc, figures, over_classes, tpr_at_fpr
from unseen.evaluation.pixels import pixel_auroc, pixel_average_precision, pro
from unseen.evaluation.protocol import Draw, draw_rows, labelled
from unseen.vision.images import mask

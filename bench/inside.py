# ruff: noqa: F401
"""All that benchmarks take from `unseen` beside its public names, in one place; nothing else may.

The draws are those of `unseen.evaluate`, which peers must get too; figures are its own as well.
"""

from unseen.data.labels import encode_labels
from unseen.data.split import class_halves
from unseen.evaluation.choices import LEAST
from unseen.evaluation.draws import Draw, draw_rows
from unseen.evaluation.metrics import FIGURES, figures, over_classes, tpr_at_fpr
from unseen.evaluation.pixels import pixel_auroc, pixel_average_precision, pro
from unseen.vision.images import mask

"""Labels as a user gives them, and the codes that training wants."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.errors import DataError, FewNormals
from unseen.types import NORMAL, UNLABELLED
from unseen.wording import option

log = logging.getLogger("unseen")
FEW = 30  # normals below which the user is warned
LEAST = 2  # normals below which nothing can be held out
BOOLEANS = {"false": "0", "true": "1"}
WHOLE = re.compile(r"-?\d+\.0+")  # a number that pandas writes with a point, as the column has gaps


def encode_labels(
    y: Any, *, rows: int, normal: Any = "normal", known: tuple[str, ...] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes (n,) and the names of the anomaly classes, in the order of their codes 1, 2, ...; those
    `known` go first.

    The label `normal` is normal, and so is 0 or False unless another one is given; None, NaN, an
    empty text or -1 is unlabelled; every other value names an anomaly class. Labels read as text
    mean what they mean as numbers. Where y holds only 1 and -1, `normal` must say which is normal,
    and the other one is an anomaly.

    Parameters
    ----------
    y : sequence (n,) or None
        A label for each row. No y at all: every row is taken for normal.
    rows : int
        How many rows there are, n.
    normal : str, number or bool
        The label of normal rows.
    known : tuple of str
        Names of classes that have the first codes.

    Returns
    -------
    array, tuple of str
        Codes (n,), 0 for normal and -1 for unlabelled rows, and the names of classes 1, 2, ...

    Raises
    ------
    DataError
        For labels of another number, of no value that names something, or of no clear meaning.

    >>> encode_labels(["normal", "dos", None, "probe"], rows=4)
    (array([ 0,  1, -1,  2]), ('dos', 'probe'))
    >>> encode_labels([-1, 1, 1], rows=3)
    Traceback (most recent call last):
    unseen.errors.DataError: y holds only -1 and 1, which is scikit-learn's convention ...
    >>> encode_labels([-1, 1, 1], rows=3, normal=1)
    (array([1, 0, 0]), ('-1',))
    """
    if y is None:
        return np.zeros(rows, dtype=np.int64), known
    name = _normal_name(normal)
    names = spellings(_label_values(y, rows))
    present = {label for label in names if label is not None}
    fixed: dict[str | None, int] = {None: UNLABELLED, "-1": UNLABELLED}
    if present and present <= {"-1", "1"}:
        if "-1" in present and name == "1":  # scikit-learn's outliers
            del fixed["-1"]
        elif len(present) == 2 and name != "-1":
            raise DataError(
                "y holds only -1 and 1, which is scikit-learn's convention for predictions and "
                f"ambiguous as labels: say which is normal, {option('normal', 1)} (scikit-learn's "
                f"convention) or {option('normal', -1)}; or pass 0 or 'normal' for normal rows, "
                "1, 2, ... or names for anomalies, and -1 only for unlabelled rows"
            )
    fixed[name] = NORMAL
    if name == "normal":  # another name leaves 0 to be a class
        fixed["0"] = NORMAL
    classes = (*known, *sorted(present - fixed.keys() - set(known), key=_numbers_first))
    codes = fixed | {label: code for code, label in enumerate(classes, start=1)}
    return np.fromiter((codes[label] for label in names), dtype=np.int64, count=len(names)), classes


def _normal_name(normal: Any) -> str:
    """The one spelling of the label of normal rows.

    >>> _normal_name(True), _normal_name("1.0"), _normal_name(" ok ")
    ('1', '1', 'ok')
    """
    if not isinstance(normal, str | int | float | np.generic) or _absent(normal):
        raise DataError(
            f"{option('normal')} must be the label of normal rows, such as 'normal', 0 or True, "
            f"got {normal!r}"
        )
    return _label_spelling(normal)


def originals(y: Any) -> dict[str, Any]:
    """For each label's one spelling, its first value as the data has it.

    >>> originals([True, False, None, True])
    {'1': True, '0': False}
    """
    values = (
        y.to_pylist()
        if isinstance(y, pa.Array | pa.ChunkedArray)
        else _as_objects(y).ravel().tolist()
    )
    found: dict[str, Any] = {}
    for name, value in zip(spellings(values), values, strict=True):
        if name is not None and name not in found:
            found[name] = value.item() if isinstance(value, np.generic) else value
    return found


def as_given(names: Sequence[str], y: Any) -> tuple[str, ...]:
    """Names of classes as the data spells them: "True" for what is "1" in `encode_labels`."""
    found = {} if y is None else originals(y)
    return tuple(str(found.get(name, name)).strip() for name in names)


def doubt(codes: NDArray[np.int64], names: Sequence[str], y: Any) -> None:
    """Warn where one anomaly class has more rows than there are normal and unlabelled ones: is it
    the normal one?
    """
    taken = int((codes <= 0).sum())
    counts = np.bincount(codes[codes > 0], minlength=1)
    if y is None or counts.max() <= taken:
        return
    label = originals(y)[names[int(counts.argmax()) - 1]]
    log.warning(
        "%s of %s rows are labelled %r and taken for anomalies, only %s rows are taken for "
        "normal: if %r is the label of normal rows, say so with %s",
        *(
            f"{counts.max():,}",
            f"{len(codes):,}",
            label,
            f"{taken:,}",
            label,
            option("normal", label),
        ),
    )


def encode_groups(
    groups: Any, *, rows: int, known: tuple[str, ...] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes 0, 1, ... (n,) of which domain a row belongs to, and the domains' names; those
    `known` go first.

    All 0, and no new name, when nothing is said.
    """
    if groups is None:
        return np.zeros(rows, dtype=np.int64), known
    values = np.asarray(groups)
    if values.shape != (rows,):
        raise DataError(f"groups must have shape ({rows},), one per row of X, got {values.shape}")
    gaps = [row for row, name in enumerate(spellings(values.tolist()), start=1) if name is None]
    if gaps:
        raise DataError(
            f"groups must name the domain of every row, and name none for {len(gaps):,}, "
            f"the first is row {gaps[0]:,}: give these rows a domain, or leave them out"
        )
    present, place = np.unique(values.astype(str), return_inverse=True)
    names = (*known, *(str(name) for name in present if name not in known))
    codes = np.array([names.index(name) for name in present], dtype=np.int64)
    return codes[place], names


def _label_values(y: Any, rows: int) -> list[Any]:
    """The values of a list, array, series or Arrow column."""
    values = y.to_pylist() if isinstance(y, pa.Array | pa.ChunkedArray) else _as_objects(y)
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise DataError(f"y must have shape ({rows},), one label per row, got {values.shape}")
        values = values.tolist()
    if len(values) != rows:
        raise DataError(f"y must have one label per row: X has {rows} rows, y has {len(values)}")
    return list(values)


def _as_objects(y: Any) -> NDArray[np.object_]:
    """Labels as an array of objects, None where a masked array has none."""
    if not isinstance(y, np.ma.MaskedArray):
        return np.asarray(y, dtype=np.object_)
    found = np.asarray(y.data, dtype=np.object_)
    found[np.ma.getmaskarray(y)] = None
    return found


class _Spellings(dict[Any, str | None]):
    """The one spelling of each value that occurs, None for one that is absent; worked out once a
    value.
    """

    def __missing__(self, value: Any) -> str | None:
        self[value] = name = None if _absent(value) else _label_spelling(value)
        return name


def spellings(values: Sequence[Any]) -> list[str | None]:
    """The one spelling of each label, None where there is none."""
    spellings = _Spellings()
    try:
        return [spellings[value] for value in values]
    except TypeError as error:
        raise DataError(
            f"y must hold numbers or texts, one label per row, found something else ({error})"
        ) from error


def _label_spelling(value: Any) -> str:
    """One name for one label, typed or read as text: "1" for 1, 1.0, True, "1.0" and "true"."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    text = str(value).strip()
    if text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    whole = text.partition(".")[0] if WHOLE.fullmatch(text) else text
    return "0" if whole == "-0" else whole


def _numbers_first(name: str) -> tuple[bool, str]:
    """Sorts 9 before 10, and numbers before words."""
    return not name.isdigit(), name.rjust(20) if name.isdigit() else name


def _absent(value: Any) -> bool:
    """None, NaN, an empty text, and pandas' NA and NaT, which alone differ from themselves or
    cannot tell.
    """
    try:
        return value is None or str(value).strip() == "" or bool(value != value)
    except TypeError:  # pandas.NA has no truth
        return True


def calibrators(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that may calibrate: those labelled normal; where they are few, unlabelled ones too."""
    labelled = np.flatnonzero(codes == 0)
    return labelled if len(labelled) >= FEW else np.flatnonzero(codes <= 0)


def check_normals(codes: NDArray[np.int64], what: str = "rows") -> None:
    """Enough rows that may be taken for normal: refused below 2, warned about below 30."""
    normals = int((codes <= 0).sum())
    if normals < LEAST:
        raise DataError(
            f"y marks {normals} of {len(codes)} {what} (n_samples = {len(codes)}) as normal or "
            f"unlabelled, and learning normality needs at least {LEAST}, better "
            f"{'1,000' if what == 'rows' else '100'}: add normal {what}, or check the name of the "
            f"normal label ({option('normal', ...)})"
        )
    if normals < FEW:
        warnings.warn(
            f"only {normals} normal {what} (fewer than {FEW}): no p-value can be below "
            f"{1 / (normals + 1):.2g}, and thresholds are uncertain; add normal {what}",
            FewNormals,
            stacklevel=3,
        )

"""The metrics of a test as they are written out, in percentage points of fractions."""

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "ece": "expected calibration error",
}
TESTED_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")  # by a study, all corrected together
